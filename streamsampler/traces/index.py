"""An open-addressing index from trace ids to rows of a table, four bytes a slot.

Any structured array with the fields ``id_hi`` and ``id_lo`` can be indexed. A slot holds a row
number plus one; 0 is empty. Linear probing; removal shifts what follows back, so that there are
no tombstones and a table that lives for months stays as quick as on its first day.

Where the search for an id begins depends on a key that strangers do not know (`spans.hash_key`); it
stands behind the slots. Without it, 80,000 traces with ids of a stranger's choice cost 220 us a
span, where others cost 2.

Hot: one look-up a span.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Rows, UInt32s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.hash_key import HASH_KEY, KEY_WORDS

_ODD: Final = 0x9E3779B97F4A7C15
_MIX: Final = 0xBF58476D1CE4E5B9
_LOW: Final = 0xFFFFFFFF


def empty_slots(count: int) -> UInt32s:
    """Make an index without entries.

    Args:
        count: How many; half as many again as there will be rows, at least.

    Returns:
        uint32[count + KEY_WORDS]: the slots, all empty, and the key behind them.
    """
    slots = np.zeros(count + KEY_WORDS, np.uint32)
    slots[count:] = HASH_KEY
    return slots


def slots_for(rows: int) -> int:
    """Tell how many slots serve so many rows at a load of two thirds or less.

    Args:
        rows: The most rows that will be indexed.

    Returns:
        How many slots.
    """
    return max(16, rows * 3 // 2)


@inlined
def mixed(hi: Word, lo: Word) -> Word:
    """Mix two words into one whose low bits depend on all of theirs.

    Args:
        hi: uint64.
        lo: uint64.

    Returns:
        uint64, the same for everybody.
    """
    word = hi * np.uint64(_ODD)
    word = (word ^ (word >> np.uint64(32))) * np.uint64(_ODD) ^ lo
    word = (word ^ (word >> np.uint64(32))) * np.uint64(_MIX)
    return word ^ (word >> np.uint64(29))


@inlined
def home_of(word: Word, count: Word) -> Word:
    """Tell where the search for a key begins.

    Args:
        word: uint64, the key `mixed`.
        count: How many slots there are, fewer than 2**32.

    Returns:
        int64, below `count`. Source: Lemire, "Fast random integer generation in an interval":
        the product's high half in place of a remainder.
    """
    return np.int64(((word >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@inlined
def slot_count(slots: UInt32s) -> Word:
    """Tell how many slots an index has, its key left out.

    Args:
        slots: The index.

    Returns:
        int64.
    """
    return len(slots) - KEY_WORDS


@inlined
def give_key(slots: UInt32s, key: UInt32s) -> None:
    """Write the key of an index that is part of a larger piece of scratch.

    Args:
        slots: uint32, not emptied yet; the key's words are written behind the slots.
        key: uint32[KEY_WORDS].
    """
    for word in range(KEY_WORDS):
        slots[slot_count(slots) + word] = key[word]


@inlined
def empty(slots: UInt32s) -> None:
    """Take everything out of an index but its key.

    Args:
        slots: The index, or scratch with a key.
    """
    slots[: slot_count(slots)] = 0


@inlined
def home(slots: UInt32s, hi: Word, lo: Word) -> Word:
    """Tell where the search for two words begins.

    Args:
        slots: The index, with its key.
        hi: uint64.
        lo: uint64.

    Returns:
        int64, a slot. Two pairs of words have the same 64 bits before they are scattered for one
        key in 2**32. Source: Black et al., "UMAC: Fast and Secure Message Authentication", NH.
    """
    count = slot_count(slots)
    low, half = np.uint64(_LOW), np.uint64(32)
    first = ((hi & low) + np.uint64(slots[count])) & low
    second = ((hi >> half) + np.uint64(slots[count + 1])) & low
    third = ((lo & low) + np.uint64(slots[count + 2])) & low
    fourth = ((lo >> half) + np.uint64(slots[count + 3])) & low
    word = first * second + third * fourth
    word = (word ^ (word >> half)) * np.uint64(_ODD)
    return home_of(word ^ (word >> half), count)


@inlined
def slot_after(slot: Word, count: Word) -> Word:
    """Tell the next slot, the first one behind the last.

    Args:
        slot: int64.
        count: How many slots there are.

    Returns:
        int64.
    """
    return slot + 1 if slot + 1 < count else 0


@inlined
def may_fill(gap: Word, slot: Word, home: Word) -> Word:
    """Tell whether the entry at a slot may move back into a gap.

    Args:
        gap: int64, an empty slot.
        slot: int64, where the entry is, at or behind the gap in cyclic order.
        home: int64, where the search for it begins.

    Returns:
        Whether its home does not lie behind the gap and up to the slot, cyclically.
    """
    if gap <= slot:
        return home <= gap or home > slot
    return home <= gap and home > slot


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
    slot = home(slots, hi, lo)
    found: Word = -1
    while slots[slot] != 0:
        row = np.int64(slots[slot]) - 1
        if rows[row]["id_lo"] == lo and rows[row]["id_hi"] == hi:
            found = row
            break
        slot = slot_after(slot, slot_count(slots))
    return found


@inlined
def insert(slots: UInt32s, rows: Rows, row: Word) -> None:
    """Enter a row whose id is not in the index.

    Args:
        slots: The index, with a free slot.
        rows: The table.
        row: The row, its id already written.
    """
    slot = home(slots, rows[row]["id_hi"], rows[row]["id_lo"])
    while slots[slot] != 0:
        slot = slot_after(slot, slot_count(slots))
    slots[slot] = row + 1


@inlined
def remove(slots: UInt32s, rows: Rows, row: Word) -> None:
    """Take a row out, closing the gap it leaves.

    Args:
        slots: The index, which has the row.
        rows: The table; the ids of all indexed rows still stand in it.
        row: The row.
    """
    gap = home(slots, rows[row]["id_hi"], rows[row]["id_lo"])
    while slots[gap] != row + 1:
        gap = slot_after(gap, slot_count(slots))
    slot = gap
    while True:
        slot = slot_after(slot, slot_count(slots))
        if slots[slot] == 0:
            break
        other = np.int64(slots[slot]) - 1
        begins = home(slots, rows[other]["id_hi"], rows[other]["id_lo"])
        if may_fill(gap, slot, begins):
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
    for slot in range(slot_count(old)):
        if old[slot] != 0:
            insert(new, rows, np.int64(old[slot]) - 1)
