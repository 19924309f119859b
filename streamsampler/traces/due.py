"""Stage 5, due: which traces are to be decided, where their records lie, and their end.

Hot: once a trace, and once a span when its trace is kept or forgotten.
"""

import numpy as np

from streamsampler.spans.columns import Int64s, Rows, UInt32s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.traces.index import remove
from streamsampler.traces.ledger import strike
from streamsampler.traces.table import (
    BUCKET_MS,
    CURSOR,
    NEXT_RECORD,
    NOW,
    OLDEST,
    TraceTable,
    forget_trace,
    take_from_bucket,
)


def due_rows(table: TraceTable) -> Int64s:
    """Find the traces whose deadline stream time has reached.

    Args:
        table: The partition's traces.

    Returns:
        int64[n], their rows in the order in which they became due: by deadline, then by the
        record that their newest span came in. The order is the same however the input is cut
        into batches.
    """
    if table.now_ms < 0:
        return np.empty(0, np.int64)
    found = np.empty(table.live, np.int64)
    count = collect_due(table.rows, table.buckets, table.registers, found)
    return _in_order(table, found[:count])


def all_rows(table: TraceTable) -> Int64s:
    """Find every buffered trace, at the end of a replay.

    Args:
        table: The partition's traces.

    Returns:
        int64[n], their rows, in the order in which they would have become due.
    """
    found = np.empty(table.live, np.int64)
    row = int(table.registers[OLDEST]) - 1
    for place in range(table.live):
        found[place] = row
        row = int(table.rows[row]["arrived_next"]) - 1
    return _in_order(table, found)


def oldest_rows(table: TraceTable, spans: int, size: int) -> Int64s:
    """Find the oldest traces, as many as it takes to give up so much.

    Args:
        table: The partition's traces.
        spans: How many spans they are to have together, at least.
        size: How many bytes, likewise.

    Returns:
        int64[n], their rows, oldest first; all there are where that is not enough.
    """
    found = np.empty(table.live, np.int64)
    return found[: list_oldest(table.rows, table.registers, spans, size, found)]


def _in_order(table: TraceTable, found: Int64s) -> Int64s:
    rows = table.rows[found]
    if not len(rows):
        return found
    # Record numbers wrap at 2**32; those alive are fewer.
    age = np.uint32(int(table.registers[NEXT_RECORD]) & 0xFFFFFFFF) - rows["last_record"]
    return found[np.lexsort((rows["id_lo"], rows["id_hi"], -age.astype(np.int64), rows["due_ms"]))]


def records_of(table: TraceTable, chosen: Int64s) -> Int64s:
    """List the stored records of some traces, one for each span.

    Args:
        table: The partition's traces.
        chosen: int64[n], rows of traces.

    Returns:
        int64[spans of these], record numbers, trace by trace.
    """
    records = np.empty(int(table.rows["spans"][chosen].sum()), np.int64)
    list_records(table.rows, table.entries, table.registers, chosen, records)
    return records


def forget(table: TraceTable, gone: Int64s) -> None:
    """Forget decided traces.

    Args:
        table: The partition's traces.
        gone: int64[n], their rows.
    """
    forget_traces(
        table.rows, table.slots, table.entries, table.entry_slots, table.buckets,
        table.registers, gone,
    )  # fmt: skip


@kernel
def collect_due(rows: Rows, buckets: UInt32s, registers: Int64s, found: Int64s) -> Word:
    """Walk the buckets from the one last looked at to that of the present stream time.

    Args:
        rows: The table's rows.
        buckets: The table's buckets.
        registers: The table's registers; the cursor moves on.
        found: int64[live], written: rows that are due, in no order.

    Returns:
        How many.
    """
    last = registers[NOW] // BUCKET_MS
    bucket = max(registers[CURSOR], last - len(buckets) + 1)
    count = 0
    while bucket <= last:
        row = np.int64(buckets[bucket % len(buckets)]) - 1
        while row >= 0:
            if rows[row]["due_ms"] <= registers[NOW]:
                found[count] = row
                count += 1
            row = np.int64(rows[row]["due_next"]) - 1
        bucket += 1
    registers[CURSOR] = last
    return count


@kernel
def list_oldest(rows: Rows, registers: Int64s, spans: Word, size: Word, found: Int64s) -> Word:
    """Walk the arrival list until enough is found.

    Args:
        rows: The table's rows.
        registers: The table's registers.
        spans: How many spans are enough.
        size: How many bytes.
        found: int64[live], written: rows, oldest first.

    Returns:
        How many rows.
    """
    count = 0
    row = registers[OLDEST] - 1
    while row >= 0 and (spans > 0 or size > 0):
        found[count] = row
        count += 1
        spans -= np.int64(rows[row]["spans"])
        size -= np.int64(rows[row]["size"])
        row = np.int64(rows[row]["arrived_next"]) - 1
    return count


@kernel
def list_records(
    rows: Rows, entries: Rows, registers: Int64s, chosen: Int64s, records: Int64s
) -> None:
    """List the stored records of some traces, one for each span.

    Args:
        rows: The table's rows.
        entries: The span ledger.
        registers: The table's registers.
        chosen: int64[n], rows of traces.
        records: int64[spans of these], written: record numbers, trace by trace.
    """
    newest = registers[NEXT_RECORD]
    count = 0
    for place in range(len(chosen)):
        entry = np.int64(rows[chosen[place]]["entry"])
        while entry != 0:
            if entries[entry]["mark"] != 0:
                # The ledger keeps the low 32 bits, and all that live are newer than 2**32 records.
                age = np.uint32(newest) - entries[entry]["record"]
                records[count] = newest - np.int64(np.uint32(age))
                count += 1
            entry = np.int64(entries[entry]["next"])


@kernel
def forget_traces(
    rows: Rows, slots: UInt32s, entries: Rows, entry_slots: UInt32s, buckets: UInt32s,
    registers: Int64s, gone: Int64s,
) -> None:  # fmt: skip
    """Free the rows and ledger entries of decided traces.

    Args:
        rows: The table's rows.
        slots: Index of `rows`.
        entries: The span ledger.
        entry_slots: Index of `entries`.
        buckets: Deadlines.
        registers: Counters.
        gone: int64[n], the rows.
    """
    for place in range(len(gone)):
        row = gone[place]
        remove(slots, rows, row)
        take_from_bucket(rows, buckets, row)
        strike(entries, entry_slots, registers, np.int64(rows[row]["entry"]))
        forget_trace(rows, registers, row)
