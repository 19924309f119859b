"""A bounded memory of ids: when each was entered and a byte on it, the oldest forgotten first.

24 bytes an id of 128 bits, and a slot of six in an index; a ring in the order of entering. Ids go
when their time has passed, or when the memory is full, which is counted.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int64s, Rows, UInt32s, UInt64s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.hash_key import KEY_WORDS
from streamsampler.traces.index import empty_slots, find, insert, remove, slots_for

REMEMBERED: Final = np.dtype(
    [
        ("id_hi", np.uint64),
        ("id_lo", np.uint64),
        ("second", np.uint32),  # of stream time
        ("verdict", np.uint8),  # NOT_SAMPLED, SAMPLED, DROPPED
    ],
    align=True,
)

# Registers of the ring: the oldest row, how many there are, how many had to make room.
_FIRST, _COUNT, _EARLY = 0, 1, 2


class Remembered:
    """The ids of the last while, of one partition.

    Attributes:
        dtype: Of a row; `REMEMBERED`, perhaps with more fields behind.
    """

    dtype = REMEMBERED

    def __init__(self, most: int) -> None:
        """Remember nothing yet.

        Args:
            most: How many ids are remembered at most.
        """
        self._most = most
        self.rows: Rows = np.zeros(min(1024, most), self.dtype)
        self.slots: UInt32s = empty_slots(slots_for(len(self.rows)))
        self._registers: Int64s = np.zeros(3, np.int64)

    def __len__(self) -> int:
        return int(self._registers[_COUNT])

    @property
    def forgotten_early(self) -> int:
        """How many ids were forgotten before their time, for want of room."""
        return int(self._registers[_EARLY])

    def remember(self, id_hi: UInt64s, id_lo: UInt64s, second: Int64s, verdict: Bytes) -> None:
        """Remember ids; of one that is known already, what is said of it last counts.

        Args:
            id_hi: uint64[n], first halves of the ids.
            id_lo: uint64[n], second halves.
            second: int64[n], seconds of stream time.
            verdict: uint8[n], NOT_SAMPLED, SAMPLED or DROPPED.
        """
        self.reserve(len(id_hi))
        remember_ids(self.rows, self.slots, self._registers, id_hi, id_lo, second, verdict)

    def remember_before(
        self, id_hi: UInt64s, id_lo: UInt64s, second: Int64s, verdict: Bytes
    ) -> None:
        """Remember ids as if they had come before all others; what is known already counts.

        Args:
            id_hi: uint64[n], first halves of the ids.
            id_lo: uint64[n], second halves.
            second: int64[n], seconds of stream time.
            verdict: uint8[n].
        """
        new = self.look_up(id_hi, id_lo) < 0
        held = self._in_order()
        self.slots[:-KEY_WORDS] = 0
        self._registers[_FIRST] = self._registers[_COUNT] = 0
        self.remember(id_hi[new], id_lo[new], second[new], verdict[new])
        self.remember(
            np.ascontiguousarray(held["id_hi"]),
            np.ascontiguousarray(held["id_lo"]),
            held["second"].astype(np.int64),
            np.ascontiguousarray(held["verdict"]),
        )

    def look_up(self, id_hi: UInt64s, id_lo: UInt64s) -> Int64s:
        """Find ids.

        Args:
            id_hi: uint64[n], first halves.
            id_lo: uint64[n], second halves.

        Returns:
            int64[n], the row of each, or -1.
        """
        found = np.empty(len(id_hi), np.int64)
        look_up_ids(self.rows, self.slots, id_hi, id_lo, found)
        return found

    def forget(self, before_ms: int) -> None:
        """Forget what was entered before a point in stream time.

        Args:
            before_ms: Stream time, ms.
        """
        forget_ids(self.rows, self.slots, self._registers, before_ms // 1000)

    def reserve(self, more: int) -> None:
        """Make room, as far as there may be.

        Args:
            more: How many ids are to come.
        """
        count = min(len(self) + more, self._most)
        if count <= len(self.rows):
            return
        held = self._in_order()
        self.rows = np.zeros(min(self._most, max(count, 2 * len(self.rows))), self.dtype)
        self.rows[: len(held)] = held
        self.slots = empty_slots(slots_for(len(self.rows)))
        self._registers[_FIRST] = 0
        index_ids(self.rows, self.slots, len(held))

    def _in_order(self) -> Rows:
        held: Rows = np.roll(self.rows, -int(self._registers[_FIRST]))[: len(self)]
        return held


@kernel
def index_ids(rows: Rows, slots: UInt32s, count: Word) -> None:
    """Enter the first rows of a ring into an empty index.

    Args:
        rows: `REMEMBERED` rows.
        slots: An empty index.
        count: How many rows to enter.
    """
    for row in range(count):
        insert(slots, rows, row)


@inlined
def _forget_oldest(rows: Rows, slots: UInt32s, registers: Int64s) -> None:
    row = registers[_FIRST]
    remove(slots, rows, row)
    registers[_FIRST] = (row + 1) % len(rows)
    registers[_COUNT] -= 1


@inlined
def enter_id(
    rows: Rows, slots: UInt32s, registers: Int64s, hi: Word, lo: Word, second: Word, verdict: Word
) -> bool:
    """Append an id to the ring; where it is full, the oldest makes room.

    Args:
        rows: `REMEMBERED` rows.
        slots: Their index.
        registers: int64[3], the oldest row, how many there are, how many had to make room.
        hi: uint64, first half of the id.
        lo: uint64, second half.
        second: Of stream time.
        verdict: A byte.

    Returns:
        Whether it was there already with this second or a later one. One that was there keeps its
        place, and has this second and verdict now.
    """
    row = find(slots, rows, hi, lo)
    known = False
    if row >= 0:
        known = np.int64(rows[row]["second"]) >= second
    else:
        if registers[_COUNT] == len(rows):
            _forget_oldest(rows, slots, registers)
            registers[_EARLY] += 1
        row = (registers[_FIRST] + registers[_COUNT]) % len(rows)
        rows[row]["id_hi"] = hi
        rows[row]["id_lo"] = lo
        insert(slots, rows, row)
        registers[_COUNT] += 1
    rows[row]["second"] = second
    rows[row]["verdict"] = verdict
    return known


@kernel
def remember_ids(
    rows: Rows, slots: UInt32s, registers: Int64s,
    id_hi: UInt64s, id_lo: UInt64s, second: Int64s, verdict: Bytes,
) -> None:  # fmt: skip
    """Append ids to the ring.

    Args:
        rows: `REMEMBERED` rows.
        slots: Their index.
        registers: Of the ring.
        id_hi: uint64[n], first halves of the ids.
        id_lo: uint64[n], second halves.
        second: int64[n], seconds of stream time.
        verdict: uint8[n].
    """
    for one in range(len(id_hi)):
        enter_id(rows, slots, registers, id_hi[one], id_lo[one], second[one], verdict[one])


@kernel
def look_up_ids(rows: Rows, slots: UInt32s, id_hi: UInt64s, id_lo: UInt64s, found: Int64s) -> None:
    """Find ids.

    Args:
        rows: `REMEMBERED` rows.
        slots: Their index.
        id_hi: uint64[n], first halves.
        id_lo: uint64[n], second halves.
        found: int64[n], written: the row of each, or -1.
    """
    for one in range(len(id_hi)):
        found[one] = find(slots, rows, id_hi[one], id_lo[one])


@kernel
def forget_ids(rows: Rows, slots: UInt32s, registers: Int64s, before: Word) -> None:
    """Forget the oldest ids.

    Args:
        rows: `REMEMBERED` rows.
        slots: Their index.
        registers: Of the ring.
        before: Seconds of stream time; what was entered before goes.
    """
    while registers[_COUNT] > 0 and np.int64(rows[registers[_FIRST]]["second"]) < before:
        _forget_oldest(rows, slots, registers)
