"""Stage 4, the fold: each span of a batch meets its trace.

Hot: one look-up in the trace table and two in the span ledger for every span.

The fold goes record by record, moving stream time as it goes, so that what becomes of a span
depends on the records before it and never on where a batch ends: a trace whose deadline a record
has passed is closed from then on, even though its verdict comes at the end of the batch.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int32s, Int64s, Rows, UInt32s, UInt64s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.records import NO_TIME
from streamsampler.traces.index import find
from streamsampler.traces.ledger import (
    AWAITED,
    DUPLICATE,
    enter_parent,
    enter_span,
    find_span,
    mark_of,
)
from streamsampler.traces.table import (
    ERROR,
    LIMIT,
    NEXT_RECORD,
    NOW,
    ROOT,
    SIZE,
    SPANS,
    new_trace,
    postpone,
)

# What became of a span.
BUFFERED: Final = 0  # its trace is undecided; target: the trace's row
REPEATED: Final = 1  # a duplicate; target: the trace's row
LATE: Final = 2  # its trace is decided; target: the row of the decision
CLOSED: Final = 3  # its trace is due in this batch, it came too late; target: the trace's row
REPLAYED: Final = 4  # it was dealt with before the partition was taken over

# The fold's settings, an int64 array in this order.
WAIT_MS, GRACE_MS, MOST_SPANS, MOST_BYTES, RESUMED_AT, TTL_MS, ADOPTING = range(7)
SETTINGS: Final = 7

_ERROR_STATUS: Final = 2
_NS_PER_MS: Final = 1_000_000
_MS_PER_SECOND: Final = 1000


@inlined
def _deadline(row: Rows, now: Word, settings: Int64s) -> Word:
    """Tell when a trace is due, now that a span of it has come.

    It waits `WAIT_MS` from its first span. It is complete when its root and every parent that it
    names are here, and then waits no longer than `GRACE_MS` for a leaf that nobody names. Over a
    limit it is due at once. It is not due before now, whatever a new policy set says.
    """
    if row["spans"] >= settings[MOST_SPANS] or row["size"] >= settings[MOST_BYTES]:
        row["flags"] |= LIMIT
    due = np.int64(row["first_ms"]) + settings[WAIT_MS]
    if (row["flags"] & ROOT) != 0 and row["missing"] == 0:
        due = min(due, now + settings[GRACE_MS])
    if (row["flags"] & LIMIT) != 0:
        due = min(due, now)
    return max(due, now)


@inlined
def _take_span(
    row: Rows, span: Rows, matched: Word, tenant: Word, root: Word, randomness: Word,
    incoming: Word,
) -> None:  # fmt: skip
    """Add one span to its trace's row; each field ends alike in whatever order spans come."""
    row["start"] = min(row["start"], span["start"])
    row["end"] = max(row["end"], span["end"])
    row["matched"] = row["matched"] | matched
    row["randomness"] = min(row["randomness"], randomness)
    row["incoming"] = min(row["incoming"], incoming)
    row["spans"] += 1
    row["size"] += np.uint32(span["size"])
    if tenant != 0:
        row["tenant"] = tenant
    if root != 0:
        row["root"] = root
    if span["parent_id"] == 0:
        row["flags"] |= ROOT
    if span["status"] == _ERROR_STATUS:
        row["flags"] |= ERROR


@inlined
def _record_time(spans: Rows, record: Rows, time_ms: Word) -> Word:
    """Tell a record's time, ms: its timestamp, or the largest span end in it."""
    latest = np.uint64(0)
    if time_ms == NO_TIME:
        for at in range(record["first_span"], record["first_span"] + record["spans"]):
            latest = max(latest, spans[at]["end"])
        return np.int64(latest // np.uint64(_NS_PER_MS))
    return time_ms


@kernel
def fold_records(  # noqa: C901, PLR0915 - a kernel's state is its arguments
    spans: Rows, records: Rows, offsets: Int64s, times_ms: Int64s, first: Word, behind: Word,
    matched: UInt64s, tenants: Int32s, ranks: Int32s, roots: Int32s, root_order: UInt64s,
    randomness: UInt64s, incoming: UInt64s,
    rows: Rows, slots: UInt32s, entries: Rows, entry_slots: UInt32s, buckets: UInt32s,
    registers: Int64s, decided: Rows, decided_slots: UInt32s, settings: Int64s,
    fates: Bytes, targets: Int64s, stored: Int64s, buffered: Int32s, stream_ms: Int64s,
) -> Word:  # fmt: skip
    """Fold records of one partition into its trace table, until all are or a verdict is due first.

    Args:
        spans: `SPAN` rows of the batch.
        records: `RECORD` rows of the batch.
        offsets: int64[records].
        times_ms: int64[records], or `NO_TIME`.
        first: The record of the batch to begin with.
        behind: The record behind the partition's last.
        matched: uint64[spans], the predicates that each span matches.
        tenants: int32[spans], tenant numbers, 0: none.
        ranks: int32[tenants], their order by name: of several tenants in one trace the first by
            name is the trace's, in whatever order they come.
        roots: int32[spans], numbers of root operations, 0: the span is no root.
        root_order: uint64[root numbers], likewise of several roots the smallest is the trace's.
        randomness: uint64[spans], R of the tracestate or `table.NO_RANDOMNESS`.
        incoming: uint64[spans], T that each came with, 0 where it has none.
        rows: The trace table's rows, and so on to `registers`; room has been made.
        slots: Index of `rows`.
        entries: Span ledger.
        entry_slots: Index of `entries`.
        buckets: Deadlines.
        registers: Counters.
        decided: `DECIDED` rows.
        decided_slots: Index of `decided`.
        settings: int64[SETTINGS], by the names above. Below offset ``settings[RESUMED_AT]``,
            spans of decided traces were dealt with before, and no trace is closed, as what is
            undecided there is so still. While ``settings[ADOPTING]`` is not 0, every record has
            its number already.
        fates: uint8[spans], written: what became of each span.
        targets: int64[spans], written: the row that the fate speaks of.
        stored: int64[records], written: the number of each record that must be stored, or -1.
        buffered: int32[records], written: how many spans of each record are buffered.
        stream_ms: int64[records], written: stream time when each was taken in.

    Returns:
        The record to go on with, once what is due has been decided and what is old forgotten; it
        is `behind` when all are folded. Stream time has then moved on to that record's.
    """
    began = registers[NOW] // _MS_PER_SECOND
    for record in range(first, behind):
        stored[record] = -1
        start = records[record]["first_span"]
        stop = start + records[record]["spans"]
        now = max(registers[NOW], _record_time(spans, records[record], times_ms[record]))
        registers[NOW] = now
        stream_ms[record] = now
        # A verdict that is due in this round could be too old to be remembered by now.
        if (now - settings[TTL_MS]) // _MS_PER_SECOND > began:
            return record
        decided_since = (now - settings[TTL_MS]) // _MS_PER_SECOND
        number = np.uint32(registers[NEXT_RECORD])
        again = offsets[record] < settings[RESUMED_AT]
        taken = 0
        known = 0
        for at in range(start, stop):
            span = spans[at]
            row = find(slots, rows, span["trace_hi"], span["trace_lo"])
            if row < 0:
                past = find(decided_slots, decided, span["trace_hi"], span["trace_lo"])
                if past >= 0 and np.int64(decided[past]["second"]) >= decided_since:
                    fates[at] = REPLAYED if again else LATE
                    targets[at] = past
                    continue
                row = new_trace(
                    rows, slots, registers, buckets, span["trace_hi"], span["trace_lo"],
                    offsets[record], settings[WAIT_MS],
                )  # fmt: skip
                rows[row]["last_record"] = number
            trace = rows[row]
            targets[at] = row
            # What came in this very record stays together, whichever limit it has just passed.
            late = trace["due_ms"] <= now and (trace["last_record"] != number or taken == 0)
            if late and not again:
                fates[at] = CLOSED
                continue
            outcome, entry = enter_span(
                entries, entry_slots, registers, span["span_id"], row,
                mark_of(span["start"], span["kind"]), number, np.int64(trace["entry"]),
            )  # fmt: skip
            if outcome == DUPLICATE:
                fates[at] = REPEATED
                known += 1
                continue
            fates[at] = BUFFERED
            taken += 1
            if outcome == AWAITED:
                trace["missing"] -= 1
            if span["parent_id"] != 0:
                missing, entry = enter_parent(
                    entries, entry_slots, registers, span["parent_id"], row, entry
                )
                trace["missing"] += missing
            trace["entry"] = entry
            trace["last_record"] = number
            tenant = tenants[at]
            if trace["tenant"] != 0 and ranks[np.int64(trace["tenant"])] < ranks[tenant]:
                tenant = 0
            root: Word = np.int64(roots[at])
            held: Word = np.int64(trace["root"])
            if held != 0 and root_order[held] <= root_order[root]:
                root = 0
            _take_span(trace, span, matched[at], tenant, root, randomness[at], incoming[at])
            registers[SPANS] += 1
            registers[SIZE] += span["size"]
            postpone(rows, buckets, row, _deadline(trace, now, settings))
        # What is a duplicate now may not be one when all decisions are known (`Sampler.recall`).
        if taken > 0 or settings[ADOPTING] != 0 or (again and known > 0):
            stored[record] = registers[NEXT_RECORD]
            registers[NEXT_RECORD] += 1
        buffered[record] = taken
    return behind


@kernel
def refold_spans(
    spans: Rows, first: Word, matched: UInt64s, tenants: Int32s, ranks: Int32s,
    rows: Rows, slots: UInt32s, entries: Rows, entry_slots: UInt32s, seen: Bytes,
) -> None:  # fmt: skip
    """Tell the undecided traces what a new policy set says of spans that they have already.

    Args:
        spans: `SPAN` rows of a stored block. Those of decided traces are passed over, and
            duplicates, which their traces do not have.
        first: Number of the block's first record.
        matched: uint64[spans], the predicates that each matches.
        tenants: int32[spans], tenant numbers.
        ranks: int32[tenants], their order by name.
        rows: The trace table's rows, ``matched`` and ``tenant`` cleared.
        slots: Index of `rows`.
        entries: Span ledger.
        entry_slots: Index of `entries`.
        seen: uint8[entries], zero before the first block; 1 for spans dealt with.
    """
    for at in range(len(spans)):
        span = spans[at]
        row = find(slots, rows, span["trace_hi"], span["trace_lo"])
        if row < 0:
            continue
        mark = mark_of(span["start"], span["kind"])
        entry = find_span(entries, entry_slots, span["span_id"], row, mark)
        record = np.uint32(first + np.int64(span["record"]))
        if entry == 0 or entries[entry]["record"] != record or seen[entry] != 0:
            continue
        seen[entry] = 1
        rows[row]["matched"] |= matched[at]
        tenant = tenants[at]
        held = np.int64(rows[row]["tenant"])
        if tenant != 0 and (held == 0 or ranks[tenant] < ranks[held]):
            rows[row]["tenant"] = tenant
