"""Keys against payloads: the Collector's key is the trace id in lower-case hexadecimal."""

import numpy as np
import pytest

from streamsampler.spans.columns import RECORD, SPAN
from streamsampler.spans.keys import AGREES, KEYLESS, MISMATCH, check_keys

TRACE = bytes.fromhex("0123456789abcdef00ff80a07f10900e")
KEY = TRACE.hex().encode()


def check(*records: tuple[bytes, list[bytes]]) -> list[int]:
    """Check keys of records that hold spans of these traces."""
    rows = np.zeros(len(records), RECORD)
    traces = [trace for _, held in records for trace in held]
    spans = np.zeros(len(traces), SPAN)
    for row, trace in enumerate(traces):
        spans[row]["trace_hi"] = int.from_bytes(trace[:8])
        spans[row]["trace_lo"] = int.from_bytes(trace[8:])
    first = 0
    for row, (_, held) in enumerate(records):
        rows[row]["first_span"], rows[row]["spans"] = first, len(held)
        rows[row]["mixed"] = len(set(held)) > 1
        first += len(held)
    keys = [key for key, _ in records]
    verdicts = np.full(len(records), 99, np.uint8)
    check_keys(
        np.frombuffer(b"".join(keys), np.uint8),
        np.cumsum([0, *map(len, keys)], dtype=np.int64),
        rows,
        spans,
        verdicts,
    )
    found: list[int] = verdicts.tolist()
    return found


TABLE = {
    "the trace id in lower case": (KEY, AGREES),
    "no key": (b"", KEYLESS),
    "upper case": (KEY.upper(), MISMATCH),
    "the trace id itself": (TRACE, MISMATCH),
    "a digit short": (KEY[:-1], MISMATCH),
    "a digit more": (KEY + b"0", MISMATCH),
    "dashes as in a UUID": (b"01234567-89ab-cdef-00ff-80a07f10900e", MISMATCH),
    "the last digit differs": (KEY[:-1] + b"f", MISMATCH),
    "the first digit differs": (b"1" + KEY[1:], MISMATCH),
    "the halves swapped": (KEY[16:] + KEY[:16], MISMATCH),
    "no digit": (b"g" + KEY[1:], MISMATCH),
    "a bit beside a digit": (bytes([KEY[0] | 0x80]) + KEY[1:], MISMATCH),
    "zeros": (b"0" * 32, MISMATCH),
}


@pytest.mark.parametrize("name", TABLE)
def test_rules(name: str) -> None:
    key, verdict = TABLE[name]
    assert check((key, [TRACE])) == [verdict]
    assert check((key, [TRACE] * 3)) == [verdict]


@pytest.mark.parametrize("key", [b"", KEY, b"other"])
def test_a_record_without_spans_agrees_with_any_key(key: bytes) -> None:
    assert check((key, [])) == [AGREES]


@pytest.mark.parametrize(("key", "verdict"), [(KEY, MISMATCH), (b"", KEYLESS)])
def test_no_key_can_agree_with_several_traces(key: bytes, verdict: int) -> None:
    assert check((key, [TRACE, b"x" * 16])) == [verdict]


def test_each_record_is_checked_against_its_own_spans() -> None:
    other = bytes(range(16))
    others = (other.hex().encode(), [other] * 2)
    found = check((KEY, [TRACE]), (KEY, []), others, (KEY, [other]), (b"", [TRACE]))
    assert found == [AGREES, AGREES, AGREES, MISMATCH, KEYLESS]


def test_every_byte_of_an_id_is_spelled() -> None:
    for start in range(0, 256, 16):
        trace = bytes(range(start, start + 16))
        assert check((trace.hex().encode(), [trace])) == [AGREES]
