"""The wire format of Protocol Buffers, as a kernel reads it: every read ends where it must.

Source: Protocol Buffers encoding, https://protobuf.dev/programming-guides/encoding/, and the
limits of upb's decoder: 100 levels, tags of at most 5 bytes, varints of at most 10.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int64s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.malformed import FAULTS

# By their places in `malformed.FAULTS`.
(
    OK,
    TRUNCATED,
    VARINT,
    TAG,
    LENGTH,
    GROUP,
    DEEP,
    TRACE_ID,
    SPAN_ID,
    PARENT_ID,
    LINK_ID,
) = range(len(FAULTS))

MAX_DEPTH: Final = 100
MAX_LENGTH: Final = 0x7FFFFFFF


@inlined
def read_varint(buffer: Bytes, at: Word, end: Word) -> tuple[Word, Word]:
    """Read a varint.

    Args:
        buffer: uint8.
        at: Position of its first byte.
        end: Position that it must end before.

    Returns:
        The value as uint64 and the position behind it; -1 for the position if there is no
        terminated varint of at most ten bytes before `end`.
    """
    # Nearly all tags and lengths are one byte.
    if at < end and buffer[at] < 0x80:
        return np.uint64(buffer[at]), at + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    stop = min(end, at + 10)
    while at < stop:
        byte = np.uint64(buffer[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            return value, at
        shift += np.uint64(7)
    return value, -1


@inlined
def read_big_endian(buffer: Bytes, at: Word) -> Word:
    """Read the eight bytes from a position on as a uint64, the first the highest."""
    word = np.uint64(0)
    for index in range(8):
        word = (word << np.uint64(8)) | np.uint64(buffer[at + index])
    return word


@inlined
def read_little_endian(buffer: Bytes, at: Word, size: Word) -> Word:
    """Read some bytes, eight at most, as a uint64, the first the lowest."""
    word = np.uint64(0)
    for index in range(size):
        word |= np.uint64(buffer[at + index]) << np.uint64(8 * index)
    return word


@kernel
def skip_group(
    buffer: Bytes, at: Word, end: Word, field: Word, room: Word, open_groups: Int64s
) -> tuple[Word, Word]:
    """Pass over a group, which OTLP has none of: it is an unknown field.

    Args:
        buffer: uint8.
        at: Position behind the group's start tag.
        end: Position that it must end before.
        field: Its field number, which the end tag must repeat.
        room: How many levels it may still nest.
        open_groups: int64, scratch for the numbers of the groups that are open.

    Returns:
        A fault, or 0, and the position behind the group.
    """
    depth = 0
    if room < 1:
        return DEEP, at
    open_groups[0] = field
    while True:
        tag, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0 or tag > np.uint64(0xFFFFFFFF):
            return TAG, at
        at = after
        number = np.int64(tag >> np.uint64(3))
        wire = np.int64(tag & np.uint64(7))
        if wire == 3:
            depth += 1
            if depth >= room:
                return DEEP, at
            open_groups[depth] = number
        elif wire == 4:
            if open_groups[depth] != number:
                return GROUP, at
            depth -= 1
            if depth < 0:
                return OK, at
        else:
            fault, _, at, size = read_payload(buffer, at, end, wire)
            if fault != OK:
                return fault, at
            at += size


@inlined
def read_payload(  # noqa: PLR0911 - one way out for each wire type and fault
    buffer: Bytes, at: Word, end: Word, wire: Word
) -> tuple[Word, Word, Word, Word]:
    """Read what follows a tag, for the wire types that are no group.

    Returns:
        A fault, or 0; the value of a varint or fixed field as uint64; the position of the bytes
        still to pass (all else has been passed); their number.
    """
    word = np.uint64(0)
    if wire == 0:
        word, after = read_varint(buffer, at, end)
        if after < 0:
            return VARINT, word, at, 0
        return OK, word, after, 0
    if wire == 2:
        word, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0 or word > np.uint64(MAX_LENGTH):
            return LENGTH, word, at, 0
        size = np.int64(word)
        if size > end - after:
            return TRUNCATED, word, after, 0
        return OK, word, after, size
    if wire == 1 or wire == 5:
        width = 8 if wire == 1 else 4
        if end - at < width:
            return TRUNCATED, word, at, 0
        return OK, read_little_endian(buffer, at, width), at + width, 0
    return TAG, word, at, 0
