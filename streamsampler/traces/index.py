"""An open-addressing index from trace ids to rows of a table, four bytes a slot.

Any structured array with the fields ``id_hi`` and ``id_lo`` can be indexed. A slot holds a row
number plus one; 0 is empty. Linear probing; removal shifts what follows back, so that there are
no tombstones and a table that lives for months stays as quick as on its first day.

Hot: one look-up a span.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Rows, UInt32s, Word
from streamsampler.spans.compiled import inlined, kernel

_ODD: Final = 0x9E3779B97F4A7C15
_MIX: Final = 0xBF58476D1CE4E5B9


def empty_slots(count: int) -> UInt32s:
    """Make an index without entries.

    Args:
        count: Slots; a power of two, at least half as many again as there will be rows.

    Returns:
        uint32[count], all empty.
    """
    return np.zeros(count, np.uint32)


def slots_for(rows: int) -> int:
    """Tell how many slots serve so many rows at a load of two thirds or less.

    Args:
        rows: The most rows that will be indexed.

    Returns:
        A power of two.
    """
    return 1 << max(4, (rows * 3 // 2).bit_length())


@inlined
def mixed(hi: Word, lo: Word) -> Word:
    """Mix two words into one whose low bits depend on all of theirs.

    Args:
        hi: uint64.
        lo: uint64.

    Returns:
        uint64. Ids are chosen by strangers, so equal low bits must not collide by themselves.
    """
    word = (hi * np.uint64(_ODD)) ^ lo
    word = (word ^ (word >> np.uint64(32))) * np.uint64(_MIX)
    return word ^ (word >> np.uint64(29))


@inlined
def find(slots: UInt32s, rows: Rows, hi: Word, lo: Word) -> Word:
    """Look a trace id up.

    Args:
        slots: The index.
        rows: The table it indexes.
        hi: uint64, first half of the id.
        lo: uint64, second half.

    Returns:
        The row, or -1.
    """
    mask = len(slots) - 1
    slot = np.int64(mixed(hi, lo) & np.uint64(mask))
    found: Word = -1
    while slots[slot] != 0:
        row = np.int64(slots[slot]) - 1
        if rows[row]["id_lo"] == lo and rows[row]["id_hi"] == hi:
            found = row
            break
        slot = (slot + 1) & mask
    return found


@inlined
def insert(slots: UInt32s, rows: Rows, row: Word) -> None:
    """Enter a row whose id is not in the index.

    Args:
        slots: The index, with a free slot.
        rows: The table.
        row: The row, its id already written.
    """
    mask = len(slots) - 1
    slot = np.int64(mixed(rows[row]["id_hi"], rows[row]["id_lo"]) & np.uint64(mask))
    while slots[slot] != 0:
        slot = (slot + 1) & mask
    slots[slot] = row + 1


@inlined
def remove(slots: UInt32s, rows: Rows, row: Word) -> None:
    """Take a row out, closing the gap it leaves.

    Args:
        slots: The index, which has the row.
        rows: The table; the ids of all indexed rows still stand in it.
        row: The row.
    """
    mask = len(slots) - 1
    gap = np.int64(mixed(rows[row]["id_hi"], rows[row]["id_lo"]) & np.uint64(mask))
    while slots[gap] != row + 1:
        gap = (gap + 1) & mask
    slot = gap
    while True:
        slot = (slot + 1) & mask
        if slots[slot] == 0:
            break
        other = np.int64(slots[slot]) - 1
        home = np.int64(mixed(rows[other]["id_hi"], rows[other]["id_lo"]) & np.uint64(mask))
        # An entry may move into the gap unless its home lies behind the gap, cyclically.
        if ((slot - home) & mask) >= ((slot - gap) & mask):
            slots[gap] = slots[slot]
            gap = slot
    slots[gap] = 0


@kernel
def reindex(old: UInt32s, new: UInt32s, rows: Rows) -> None:
    """Enter all that an index holds into a larger one.

    Args:
        old: The index to read.
        new: An empty index.
        rows: The table.
    """
    for slot in range(len(old)):
        if old[slot] != 0:
            insert(new, rows, np.int64(old[slot]) - 1)
