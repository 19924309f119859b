"""The trace table of one partition: a row a buffered trace, and the lists that rows are in.

A row is 128 bytes and holds all that a verdict by vector needs. Every row is in two lists, both
threaded through the rows themselves: the *arrival list*, oldest first, whose head gives the low
watermark, and the *bucket* of its deadline. A bucket holds the traces due within `BUCKET_MS` of
stream time, so there is no timer per span and no sorting per batch.

Hot: rows are made, moved between buckets and freed in kernels; Python only makes room.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.spans.columns import Int64s, Rows, UInt32s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.hash_key import KEY_WORDS
from streamsampler.traces.index import empty_slots, insert, reindex, slots_for
from streamsampler.traces.ledger import ENTRY, NEXT_ENTRY, reindex_ledger

BUCKET_MS: Final = 100
NO_OFFSET: Final = np.iinfo(np.int64).max
NO_RANDOMNESS: Final = np.iinfo(np.uint64).max

TRACE: Final = np.dtype(
    [
        ("id_hi", np.uint64),  # the trace id, big-endian halves
        ("id_lo", np.uint64),
        ("first_offset", np.int64),  # of the record that its first span came in
        ("first_ms", np.int64),  # stream time then
        ("due_ms", np.int64),  # stream time at which it is to be decided
        ("start", np.uint64),  # smallest start, ns
        ("end", np.uint64),  # largest end, ns
        ("matched", np.uint64),  # bit k: some span matched predicate k
        ("randomness", np.uint64),  # R of the tracestate, or NO_RANDOMNESS
        ("incoming", np.uint64),  # smallest T that a span came with
        ("spans", np.uint32),  # without duplicates
        ("size", np.uint32),  # bytes of them
        ("missing", np.uint32),  # parents that are named and not here
        ("tenant", np.uint32),  # tenant number, 0: none
        ("entry", np.uint32),  # first of its entries in the span ledger
        ("last_record", np.uint32),  # number of the stored record its newest span came in
        ("due_next", np.uint32),  # row + 1 in the same bucket, or in the free list; 0: the last
        ("due_before", np.uint32),
        ("arrived_next", np.uint32),  # row + 1 of the trace that began after this one
        ("arrived_before", np.uint32),
        ("root", np.uint32),  # root operation's number, 0: none has come
        ("flags", np.uint8),  # ROOT, ERROR, LIMIT
    ],
    align=True,
)

# Flags of a row.
ROOT, ERROR, LIMIT = 1, 2, 4

# Registers of a table; the ledger's come first (ledger.FREE_ENTRY, ledger.NEXT_ENTRY).
FREE_ROW, NEXT_ROW, LIVE, OLDEST, NEWEST = 2, 3, 4, 5, 6
NOW, NEXT_RECORD, CURSOR, SPANS, SIZE = 7, 8, 9, 10, 11
REGISTERS: Final = 12


@dataclass(slots=True)
class TraceTable:
    """The buffered traces of one partition.

    Attributes:
        rows: `TRACE` rows; which of them live, the arrival list says.
        slots: The index by trace id.
        entries: `ENTRY` rows of the span ledger; entry 0 is never used.
        entry_slots: The ledger's index.
        buckets: uint32[n], row + 1 of the first trace of each bucket; a ring over stream time.
        registers: int64[REGISTERS], the counters that kernels move.
    """

    rows: Rows
    slots: UInt32s
    entries: Rows
    entry_slots: UInt32s
    buckets: UInt32s
    registers: Int64s

    @property
    def live(self) -> int:
        """How many traces are buffered."""
        return int(self.registers[LIVE])

    @property
    def spans(self) -> int:
        """How many spans are buffered."""
        return int(self.registers[SPANS])

    @property
    def now_ms(self) -> int:
        """Stream time, ms; -1 before the first record."""
        return int(self.registers[NOW])

    @property
    def memory_bytes(self) -> int:
        """Bytes of all the table's arrays."""
        arrays = (self.rows, self.slots, self.entries, self.entry_slots, self.buckets)
        return sum(array.nbytes for array in arrays)

    @property
    def low_watermark(self) -> int:
        """The first offset that an undecided trace needs; `NO_OFFSET` where there is none."""
        oldest = int(self.registers[OLDEST])
        return int(self.rows[oldest - 1]["first_offset"]) if oldest else NO_OFFSET

    def oldest(self, field: str) -> int:
        """Read a field of the trace that began first; there must be one."""
        return int(self.rows[int(self.registers[OLDEST]) - 1][field])


def trace_table(wait_ms: int, now_ms: int = -1) -> TraceTable:
    """Make an empty table.

    Args:
        wait_ms: The longest that a trace waits for its verdict, ms of stream time.
        now_ms: Stream time to begin with, ms; -1: none yet.

    Returns:
        A table that grows as traces come.
    """
    registers = np.zeros(REGISTERS, np.int64)
    registers[NEXT_ENTRY] = 1
    registers[NOW] = now_ms
    registers[CURSOR] = max(now_ms, 0) // BUCKET_MS
    return TraceTable(
        rows=np.zeros(256, TRACE),
        slots=empty_slots(slots_for(256)),
        entries=np.zeros(2048, ENTRY),
        entry_slots=empty_slots(slots_for(2048)),
        buckets=np.zeros(wait_ms // BUCKET_MS + 3, np.uint32),
        registers=registers,
    )


def reserve(table: TraceTable, spans: int) -> None:
    """Make room, before a batch, for whatever it may bring.

    Args:
        table: The table.
        spans: How many spans are to be folded; each may begin a trace and name a parent.
    """
    registers = table.registers
    rows = int(registers[LIVE]) + spans
    if rows > len(table.rows):
        table.rows = _enlarged(table.rows, rows)
    if slots_for(rows) + KEY_WORDS > len(table.slots):
        larger = empty_slots(slots_for(len(table.rows)))
        reindex(table.slots, larger, table.rows)
        table.slots = larger
    # Struck entries serve again first, but how many there are is not counted.
    entries = int(registers[NEXT_ENTRY]) + 2 * spans
    if entries > len(table.entries):
        table.entries = _enlarged(table.entries, entries)
    if slots_for(entries) + KEY_WORDS > len(table.entry_slots):
        larger = empty_slots(slots_for(len(table.entries)))
        reindex_ledger(table.entry_slots, larger, table.entries)
        table.entry_slots = larger


def _enlarged(rows: Rows, least: int) -> Rows:
    larger = np.empty(max(least, len(rows) * 5 // 4), rows.dtype)
    larger[: len(rows)] = rows
    return larger


def lengthen(table: TraceTable, wait_ms: int) -> None:
    """Let the table hold deadlines further ahead, when a policy set waits longer.

    Args:
        table: The table.
        wait_ms: The new longest wait, ms of stream time.
    """
    count = wait_ms // BUCKET_MS + 3
    if count <= len(table.buckets):
        return
    table.buckets = np.zeros(count, np.uint32)
    rebucket(table.rows, table.buckets, table.registers)


@inlined
def put_in_bucket(rows: Rows, buckets: UInt32s, row: Word) -> None:
    """Put a row into the bucket of its deadline.

    Args:
        rows: The table's rows.
        buckets: The table's buckets.
        row: In no bucket; its ``due_ms`` written.
    """
    bucket = (rows[row]["due_ms"] // BUCKET_MS) % len(buckets)
    first = buckets[bucket]
    rows[row]["due_next"] = first
    rows[row]["due_before"] = 0
    if first != 0:
        rows[np.int64(first) - 1]["due_before"] = row + 1
    buckets[bucket] = row + 1


@inlined
def take_from_bucket(rows: Rows, buckets: UInt32s, row: Word) -> None:
    """Take a row out of the bucket of its deadline.

    Args:
        rows: The table's rows.
        buckets: The table's buckets.
        row: In the bucket of its ``due_ms``.
    """
    after = np.int64(rows[row]["due_next"])
    before = np.int64(rows[row]["due_before"])
    if after != 0:
        rows[after - 1]["due_before"] = before
    if before != 0:
        rows[before - 1]["due_next"] = after
    else:
        buckets[(rows[row]["due_ms"] // BUCKET_MS) % len(buckets)] = after


@inlined
def postpone(rows: Rows, buckets: UInt32s, row: Word, due_ms: Word) -> None:
    """Give a row another deadline, earlier or later.

    Args:
        rows: The table's rows.
        buckets: The table's buckets.
        row: In a bucket.
        due_ms: The new deadline, ms of stream time.
    """
    if rows[row]["due_ms"] // BUCKET_MS == due_ms // BUCKET_MS:
        rows[row]["due_ms"] = due_ms
    else:
        take_from_bucket(rows, buckets, row)
        rows[row]["due_ms"] = due_ms
        put_in_bucket(rows, buckets, row)


@inlined
def new_trace(
    rows: Rows, slots: UInt32s, registers: Int64s, buckets: UInt32s, hi: Word, lo: Word,
    offset: Word, wait_ms: Word,
) -> Word:  # fmt: skip
    """Begin a trace at the present stream time.

    Args:
        rows: The table's rows, one of them free.
        slots: The table's index, without this id.
        registers: The table's registers.
        buckets: The table's buckets.
        hi: uint64, first half of the trace id.
        lo: uint64, second half.
        offset: Of the record that its first span came in.
        wait_ms: How long it waits at most, ms of stream time.

    Returns:
        Its row.
    """
    row = registers[FREE_ROW] - 1
    if row >= 0:
        registers[FREE_ROW] = np.int64(rows[row]["due_next"])
    else:
        row = registers[NEXT_ROW]
        registers[NEXT_ROW] = row + 1
    rows[row]["id_hi"] = hi
    rows[row]["id_lo"] = lo
    rows[row]["first_offset"] = offset
    rows[row]["first_ms"] = registers[NOW]
    rows[row]["due_ms"] = registers[NOW] + wait_ms
    rows[row]["start"] = np.uint64(0xFFFFFFFFFFFFFFFF)
    rows[row]["end"] = np.uint64(0)
    rows[row]["matched"] = np.uint64(0)
    rows[row]["randomness"] = np.uint64(0xFFFFFFFFFFFFFFFF)
    rows[row]["incoming"] = np.uint64(0xFFFFFFFFFFFFFFFF)
    rows[row]["spans"] = 0
    rows[row]["size"] = 0
    rows[row]["missing"] = 0
    rows[row]["tenant"] = 0
    rows[row]["root"] = 0
    rows[row]["entry"] = 0
    rows[row]["flags"] = 0
    rows[row]["arrived_next"] = 0
    rows[row]["arrived_before"] = registers[NEWEST]
    if registers[NEWEST] != 0:
        rows[registers[NEWEST] - 1]["arrived_next"] = row + 1
    else:
        registers[OLDEST] = row + 1
    registers[NEWEST] = row + 1
    registers[LIVE] += 1
    insert(slots, rows, row)
    put_in_bucket(rows, buckets, row)
    return row


@inlined
def forget_trace(rows: Rows, registers: Int64s, row: Word) -> None:
    """Free a row that is in no bucket and no index any more.

    Args:
        rows: The table's rows.
        registers: The table's registers.
        row: In the arrival list.
    """
    after = np.int64(rows[row]["arrived_next"])
    before = np.int64(rows[row]["arrived_before"])
    if after != 0:
        rows[after - 1]["arrived_before"] = before
    else:
        registers[NEWEST] = before
    if before != 0:
        rows[before - 1]["arrived_next"] = after
    else:
        registers[OLDEST] = after
    rows[row]["due_next"] = registers[FREE_ROW]
    registers[FREE_ROW] = row + 1
    registers[LIVE] -= 1
    registers[SPANS] -= np.int64(rows[row]["spans"])
    registers[SIZE] -= np.int64(rows[row]["size"])


@kernel
def rebucket(rows: Rows, buckets: UInt32s, registers: Int64s) -> None:
    """Put every live row into an empty ring of buckets.

    Args:
        rows: The table's rows.
        buckets: uint32[n], all empty.
        registers: The table's registers.
    """
    row = registers[OLDEST] - 1
    while row >= 0:
        put_in_bucket(rows, buckets, row)
        row = np.int64(rows[row]["arrived_next"]) - 1
