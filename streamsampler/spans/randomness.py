"""The explicit randomness of a trace: ``rv`` in the ``ot`` member of its spans' tracestate.

Source: OpenTelemetry specification, tracestate handling: an ``ot`` member is a list of
``key:value`` joined by ``;``, and ``rv`` has exactly fourteen lower-case hexadecimal digits.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Rows, UInt64s, Word
from streamsampler.spans.compiled import inlined, kernel

NO_RANDOMNESS: Final = 0xFFFFFFFFFFFFFFFF
_DIGITS: Final = 14
_SPACE, _TAB, _COMMA, _EQUALS, _SEMICOLON, _COLON = 0x20, 0x09, 0x2C, 0x3D, 0x3B, 0x3A
_O, _T, _R, _V = 0x6F, 0x74, 0x72, 0x76


@inlined
def _blank(byte: Word) -> Word:
    return byte == _SPACE or byte == _TAB


@inlined
def _digits(buffer: Bytes, at: Word, end: Word) -> Word:
    """Read the value of an ``rv`` that begins here, up to ``;`` or the end of the member."""
    word = np.uint64(0)
    sound = end - at >= _DIGITS and (
        end - at == _DIGITS or buffer[at + _DIGITS] == np.uint8(_SEMICOLON)
    )
    if sound:
        for index in range(_DIGITS):
            byte: Word = np.int64(buffer[at + index])
            if 0x30 <= byte <= 0x39:
                digit = byte - 0x30
            elif 0x61 <= byte <= 0x66:
                digit = byte - 0x61 + 10
            else:
                sound = False
                digit = 0
            word = (word << np.uint64(4)) | np.uint64(digit)
    return word if sound else np.uint64(NO_RANDOMNESS)


@inlined
def _randomness(buffer: Bytes, at: Word, end: Word) -> Word:
    """Find the first ``ot`` member between two positions, and the ``rv`` in it."""
    found = np.uint64(NO_RANDOMNESS)
    while at < end:
        member = at
        while at < end and buffer[at] != np.uint8(_COMMA):
            at += 1
        stop = at
        at += 1
        while member < stop and _blank(buffer[member]):
            member += 1
        while member < stop and _blank(buffer[stop - 1]):
            stop -= 1
        if stop - member < 3 or buffer[member] != np.uint8(_O):
            continue
        if buffer[member + 1] != np.uint8(_T) or buffer[member + 2] != np.uint8(_EQUALS):
            continue
        place = member + 3
        while place < stop:
            if (
                stop - place > 3
                and buffer[place] == np.uint8(_R)
                and buffer[place + 1] == np.uint8(_V)
                and buffer[place + 2] == np.uint8(_COLON)
            ):
                found = _digits(buffer, place + 3, stop)
                break
            while place < stop and buffer[place] != np.uint8(_SEMICOLON):
                place += 1
            place += 1
        break
    return found


@kernel
def read_randomness(buffer: Bytes, spans: Rows, randomness: UInt64s) -> None:
    """Read R of every span that states it.

    Args:
        buffer: uint8, which the spans' positions speak of.
        spans: `SPAN` rows.
        randomness: uint64[n], written: R, 56 bits, or `NO_RANDOMNESS`.
    """
    for row in range(len(spans)):
        randomness[row] = np.uint64(NO_RANDOMNESS)
        size = np.int64(spans[row]["state_size"])
        if size > 0:
            at = spans[row]["state_at"]
            randomness[row] = _randomness(buffer, at, at + size)
