"""Bytes put together from pieces of others: what is to be copied is noted first, then copied.

A *pen* is what a kernel that notes pieces knows of its work: an int64 array with the places below.
Where a table has no room for what is noted, the pen says so and the caller repeats the work with a
larger one. Nothing is written outside the tables.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int64s, Word
from streamsampler.spans.compiled import inlined, kernel

INPUT, MADE, ATTRIBUTES = range(3)
"""Where a piece's bytes lie: `SOURCE` of its row."""
SOURCE, AT, SIZE = range(3)
PIECE: Final = 3  # columns of the table of pieces

PIECES, WRITTEN, MADE_BYTES, RUN, FULL = range(5)
"""Of a pen: pieces noted, bytes in them, bytes of MADE used, where the input that is not noted yet
begins, and 1 where a table was full."""
PEN: Final = 5


@inlined
def note(pieces: Int64s, pen: Int64s, source: Word, at: Word, size: Word) -> None:
    """Note a piece; one without bytes is none.

    Args:
        pieces: int64[n, PIECE].
        pen: int64[PEN].
        source: `INPUT`, `MADE` or `ATTRIBUTES`.
        at: Position of its first byte there.
        size: Bytes of it.
    """
    row = pen[PIECES]
    if size > 0 and row < len(pieces):
        pieces[row, SOURCE] = source
        pieces[row, AT] = at
        pieces[row, SIZE] = size
        pen[PIECES] = row + 1
        pen[WRITTEN] += size
    elif size > 0:
        pen[FULL] = 1


@inlined
def note_input(pieces: Int64s, pen: Int64s, to: Word, onward: Word) -> None:
    """Note the input up to a position, and go on behind what is left out there.

    Args:
        pieces: int64[n, PIECE].
        pen: int64[PEN].
        to: Position behind what is noted.
        onward: Position of the next byte that is to be copied.
    """
    note(pieces, pen, INPUT, pen[RUN], to - pen[RUN])
    pen[RUN] = onward


@inlined
def varint_size(number: Word) -> Word:
    """How many bytes the shortest varint of a number has.

    Args:
        number: At least 0.
    """
    size = 1
    while number >= 0x80:
        number >>= 7
        size += 1
    return size


@inlined
def put_varint(made: Bytes, at: Word, number: Word) -> Word:
    """Write the shortest varint of a number.

    Args:
        made: uint8, with room for it.
        at: Position of its first byte.
        number: At least 0.

    Returns:
        The position behind it.
    """
    while number >= 0x80:
        made[at] = np.uint8(number & 0x7F | 0x80)
        number >>= 7
        at += 1
    made[at] = np.uint8(number)
    return at + 1


@inlined
def _copy(source: Bytes, at: Word, size: Word, out: Bytes, to: Word) -> None:
    # Positions from 0 on: else each may be one from the end, and the loop is ten times slower.
    goal = out[to : to + size]
    start = source[at : at + size]
    for index in range(len(goal)):
        goal[index] = start[index]


@kernel
def copy_pieces(buffer: Bytes, made: Bytes, attributes: Bytes, pieces: Int64s, out: Bytes) -> None:
    """Copy pieces one behind the other.

    Args:
        buffer: uint8, the input.
        made: uint8, what was written anew.
        attributes: uint8, what is added as it is.
        pieces: int64[n, PIECE].
        out: uint8, as large as they are together; written.
    """
    to = 0
    for row in range(len(pieces)):
        at = pieces[row, AT]
        size = pieces[row, SIZE]
        if pieces[row, SOURCE] == INPUT:
            _copy(buffer, at, size, out, to)
        elif pieces[row, SOURCE] == MADE:
            _copy(made, at, size, out, to)
        else:
            _copy(attributes, at, size, out, to)
        to += size
