"""A tracestate with another threshold, as a kernel writes it: `trace_context.with_threshold`.

Hot: once a span that is kept.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.ot_member import (
    COLON,
    COMMA,
    DIGITS,
    EQUALS,
    LETTER_H,
    LETTER_O,
    LETTER_R,
    LETTER_T,
    LETTER_V,
    SEMICOLON,
    UNSTATED,
    find_ot,
    is_ot,
    next_member,
    pair_end,
    read_stated,
)
from streamsampler.spans.trace_context import LONGEST_OT, LONGEST_OT_READ, MOST_MEMBERS

UNCHANGED: Final = -1
RESTATED_ROOM: Final = 64
"""Bytes that a tracestate grows by at the most, and a few more."""
_MODULUS: Final = 2**56


@inlined
def _put(made: Bytes, to: Word, buffer: Bytes, at: Word, stop: Word) -> Word:
    for index in range(stop - at):
        made[to + index] = buffer[at + index]
    return to + stop - at


@inlined
def _put_pair(made: Bytes, to: Word, first: Word, second: Word, word: Word, digits: Word) -> Word:
    """Write a key of two letters and the highest of 14 hexadecimal digits."""
    made[to] = first
    made[to + 1] = second
    made[to + 2] = COLON
    to += 3
    for index in range(digits):
        digit = np.int64((word >> np.uint64(4 * (DIGITS - 1 - index))) & np.uint64(15))
        made[to + index] = np.uint8(digit + 0x30 if digit < 10 else digit - 10 + 0x61)
    return to + digits


@inlined
def _needed(word: Word) -> Word:
    """How many digits are left without the zeros on the right; 0 has one."""
    digits = DIGITS
    while digits > 1 and word & np.uint64(15) == np.uint64(0):
        word >>= np.uint64(4)
        digits -= 1
    return digits


@inlined
def _lower(byte: Word) -> Word:
    return 0x61 <= byte <= 0x7A


@inlined
def _number(byte: Word) -> Word:
    return 0x30 <= byte <= 0x39


@inlined
def _key_end(buffer: Bytes, at: Word, last: Word) -> Word:
    """Find the colon of a ``key:value`` that keeps the rules; -1 where it breaks one."""
    if at == last or not _lower(buffer[at]):
        return -1
    colon = at + 1
    while colon < last and (_lower(buffer[colon]) or _number(buffer[colon])):
        colon += 1
    if colon == last or buffer[colon] != COLON:
        return -1
    for place in range(colon + 1, last):
        byte = np.int64(buffer[place])
        letter = _lower(byte) or 0x41 <= byte <= 0x5A
        if not (letter or _number(byte) or byte == 0x2D or byte == 0x2E or byte == 0x5F):
            return -1
    return colon


@inlined
def _comes_before(buffer: Bytes, first: Word, at: Word, colon: Word) -> Word:
    """Tell whether a key came already in the member's value that begins at `first`."""
    size = colon + 1 - at
    stop = at
    while first < stop:
        same = 0
        while same < size and first + same < stop and buffer[first + same] == buffer[at + same]:
            same += 1
        if same == size:
            return True
        first = pair_end(buffer, first, stop) + 1
    return False


@inlined
def _sampling(buffer: Bytes, at: Word, colon: Word) -> Word:
    """Tell whether a key is ``th`` or ``rv``."""
    return colon - at == 2 and (
        (buffer[at] == LETTER_T and buffer[at + 1] == LETTER_H)
        or (buffer[at] == LETTER_R and buffer[at + 1] == LETTER_V)
    )


@inlined
def _put_others(made: Bytes, value: Word, to: Word, buffer: Bytes, first: Word, stop: Word) -> Word:
    """Write the other keys of a member's value behind ``th`` and ``rv``, as many as it may hold.

    `value` is where the new value begins. Short values only: each key is looked for in all before.
    """
    at = first
    while at < stop:
        last = pair_end(buffer, at, stop)
        colon = _key_end(buffer, at, last)
        if (
            colon >= 0
            and not _sampling(buffer, at, colon)
            and not _comes_before(buffer, first, at, colon)
        ):
            between = 1 if to > value else 0
            if to - value + between + last - at > LONGEST_OT:
                break
            if between == 1:
                made[to] = SEMICOLON
            to = _put(made, to + between, buffer, at, last)
        at = last + 1
    return to


@inlined
def _put_ot(
    buffer: Bytes, first: Word, stop: Word, threshold: Word, randomness: Word, made: Bytes, to: Word
) -> Word:
    """Write the ``ot`` member; nothing where it would be empty."""
    value = to + 3
    after = value
    if threshold != np.uint64(UNSTATED):
        after = _put_pair(made, after, LETTER_T, LETTER_H, threshold, _needed(threshold))
    if randomness != np.uint64(UNSTATED):
        if after > value:
            made[after] = SEMICOLON
            after += 1
        after = _put_pair(made, after, LETTER_R, LETTER_V, randomness, DIGITS)
    if stop - first <= LONGEST_OT_READ:
        after = _put_others(made, value, after, buffer, first, stop)
    if after == value:
        return to
    made[to] = LETTER_O
    made[to + 1] = LETTER_T
    made[to + 2] = EQUALS
    return after


@kernel
def restate(buffer: Bytes, at: Word, end: Word, verdict: Word, made: Bytes, to: Word) -> Word:
    """Write a span's tracestate with the threshold that it is kept with.

    Args:
        buffer: uint8, which the tracestate lies in.
        at: Position of its first byte.
        end: Position behind it.
        verdict: T of the verdict, uint64 under 2**56; anything from there on: none is known, and
            the span's own is erased.
        made: uint8, with room for the tracestate and `RESTATED_ROOM` bytes more.
        to: Where to write it.

    Returns:
        The position behind it; `UNCHANGED` where the span's own reads as it should.
    """
    first, stop = find_ot(buffer, at, end)
    threshold, randomness, digits = read_stated(buffer, first, stop)
    raised = np.uint64(UNSTATED)
    if verdict < np.uint64(_MODULUS):
        raised = verdict
        if threshold != np.uint64(UNSTATED) and threshold > verdict:
            raised = threshold
    if raised == threshold and (raised == np.uint64(UNSTATED) or digits == _needed(raised)):
        return UNCHANGED
    start = to
    to = _put_ot(buffer, first, stop, raised, randomness, made, to)
    members = 1 if to > start else 0
    while at < end and members < MOST_MEMBERS:
        first, stop, at = next_member(buffer, at, end)
        if first == stop or is_ot(buffer, first, stop):
            continue
        if members > 0:
            made[to] = COMMA
            to += 1
        to = _put(made, to, buffer, first, stop)
        members += 1
    return to
