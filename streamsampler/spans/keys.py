"""Record keys against payloads: the payload's trace id is the truth, the key is only checked."""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int64s, Rows, Word
from streamsampler.spans.compiled import inlined, kernel

AGREES, KEYLESS, MISMATCH = 0, 1, 2
_DIGITS: Final = 32


@inlined
def _digit(nibble: Word) -> Word:
    return nibble + np.uint64(0x30) if nibble < np.uint64(10) else nibble + np.uint64(0x57)


@inlined
def _spells(keys: Bytes, at: Word, hi: Word, lo: Word) -> bool:
    """Tell whether 32 bytes are a trace id in lower-case hexadecimal."""
    same = True
    for index in range(_DIGITS):
        word = hi if index < _DIGITS // 2 else lo
        shift = np.uint64(60 - 4 * (index % (_DIGITS // 2)))
        if np.uint64(keys[at + index]) != _digit((word >> shift) & np.uint64(15)):
            same = False
            break
    return same


@kernel
def check_keys(
    keys: Bytes, key_bounds: Int64s, records: Rows, spans: Rows, verdicts: Bytes
) -> None:
    """Compare each record's key with the trace id of its first span.

    Args:
        keys: uint8, the records' keys.
        key_bounds: int64[n + 1], where each begins and ends.
        records: `RECORD` rows.
        spans: `SPAN` rows.
        verdicts: uint8[n], written: AGREES, KEYLESS or MISMATCH. A record without spans agrees;
            one of several traces cannot.
    """
    for record in range(len(records)):
        verdicts[record] = AGREES
        if records[record]["spans"] == 0:
            continue
        at = key_bounds[record]
        size = key_bounds[record + 1] - at
        if size == 0:
            verdicts[record] = KEYLESS
            continue
        first = records[record]["first_span"]
        if (
            records[record]["mixed"]
            or size != _DIGITS
            or not _spells(keys, at, spans[first]["trace_hi"], spans[first]["trace_lo"])
        ):
            verdicts[record] = MISMATCH
