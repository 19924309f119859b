"""OpenTelemetry's member of a tracestate, as a kernel reads it: ``ot=th:…;rv:…``.

Source: OpenTelemetry specification, tracestate handling: the member is a list of ``key:value``
joined by ``;``; ``th`` has one to fourteen lower-case hexadecimal digits, ``rv`` exactly fourteen.
Of several members and of several equal keys the first counts, as `trace_context.read_ot` has it.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Word
from streamsampler.spans.compiled import inlined

UNSTATED: Final = 0xFFFFFFFFFFFFFFFF
"""Stands for a value that is missing or malformed; no randomness or threshold is as great."""
DIGITS: Final = 14
SPACE, TAB, COMMA, EQUALS, SEMICOLON, COLON = 0x20, 0x09, 0x2C, 0x3D, 0x3B, 0x3A
LETTER_O, LETTER_T, LETTER_H, LETTER_R, LETTER_V = 0x6F, 0x74, 0x68, 0x72, 0x76


@inlined
def _blank(byte: Word) -> Word:
    return byte == SPACE or byte == TAB


@inlined
def next_member(buffer: Bytes, at: Word, end: Word) -> tuple[Word, Word, Word]:
    """Find where a member of the list begins and ends.

    Args:
        buffer: uint8.
        at: Position of the list's first byte, or of the one behind a comma.
        end: Position behind the list.

    Returns:
        Its first position and the one behind it, without the blanks around; they are equal where
        it is empty. And the position behind its comma.
    """
    behind = at
    while behind < end and buffer[behind] != COMMA:
        behind += 1
    first = at
    stop = behind
    while first < stop and _blank(buffer[first]):
        first += 1
    while first < stop and _blank(buffer[stop - 1]):
        stop -= 1
    return first, stop, behind + 1


@inlined
def is_ot(buffer: Bytes, at: Word, stop: Word) -> Word:
    """Tell whether a member is OpenTelemetry's."""
    return (
        stop - at >= 3
        and buffer[at] == LETTER_O
        and buffer[at + 1] == LETTER_T
        and buffer[at + 2] == EQUALS
    )


@inlined
def find_ot(buffer: Bytes, at: Word, end: Word) -> tuple[Word, Word]:
    """Find the value of the first ``ot`` member of a list.

    Args:
        buffer: uint8.
        at: Position of the list's first byte.
        end: Position behind the list.

    Returns:
        Where the value begins and the position behind it; equal where there is none.
    """
    while at < end:
        first, stop, at = next_member(buffer, at, end)
        if is_ot(buffer, first, stop):
            return first + 3, stop
    return end, end


@inlined
def pair_end(buffer: Bytes, at: Word, stop: Word) -> Word:
    """Find the end of the ``key:value`` that begins here: the next ``;``, or the value's end."""
    while at < stop and buffer[at] != SEMICOLON:
        at += 1
    return at


@inlined
def _fraction(buffer: Bytes, at: Word, stop: Word) -> Word:
    """Read one to fourteen hexadecimal digits, with zeros for those missing on the right."""
    size = stop - at
    if size < 1 or size > DIGITS:
        return np.uint64(UNSTATED)
    word = np.uint64(0)
    for index in range(size):
        byte: Word = np.int64(buffer[at + index])
        if 0x30 <= byte <= 0x39:
            digit = byte - 0x30
        elif 0x61 <= byte <= 0x66:
            digit = byte - 0x61 + 10
        else:
            return np.uint64(UNSTATED)
        word = (word << np.uint64(4)) | np.uint64(digit)
    return word << np.uint64(4 * (DIGITS - size))


@inlined
def read_stated(buffer: Bytes, at: Word, stop: Word) -> tuple[Word, Word, Word]:
    """Read what an ``ot`` member says of sampling.

    Args:
        buffer: uint8.
        at: Position of the member's value.
        stop: Position behind it.

    Returns:
        T of ``th`` and R of ``rv`` as uint64, 56 bits, or `UNSTATED`; and how many digits ``th``
        was written with.
    """
    threshold = np.uint64(UNSTATED)
    randomness = np.uint64(UNSTATED)
    digits = np.int64(0)
    th_seen = False
    rv_seen = False
    while at < stop and not (th_seen and rv_seen):
        last = pair_end(buffer, at, stop)
        if last - at >= 3 and buffer[at + 2] == COLON:
            if not th_seen and buffer[at] == LETTER_T and buffer[at + 1] == LETTER_H:
                th_seen = True
                digits = np.int64(last - at - 3)
                threshold = _fraction(buffer, at + 3, last)
            elif not rv_seen and buffer[at] == LETTER_R and buffer[at + 1] == LETTER_V:
                rv_seen = True
                if last - at == 3 + DIGITS:
                    randomness = _fraction(buffer, at + 3, last)
        at = last + 1
    return threshold, randomness, digits
