"""The span ledger: which spans of which trace are here, and which record each came in.

It answers, per span and in constant time, whether the span is a duplicate and whether a parent
that some span names has arrived, and it lists a trace's records when the trace is decided. One
entry a span, and one for each parent that is named but not here: 24 bytes and a slot.

Hot: two look-ups a span on arrival, one removal when its trace is decided.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Int64s, Rows, UInt32s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.traces.index import home, may_fill, mixed, slot_after, slot_count

ENTRY: Final = np.dtype(
    [
        ("span_id", np.uint64),
        ("trace", np.uint32),  # row in the trace table
        ("next", np.uint32),  # entry of the same trace, or of the free list; 0: the last
        ("record", np.uint32),  # number of the stored record it came in
        ("mark", np.uint32),  # of kind and start; 0: a parent that is named but not here
    ],
    align=True,
)

# Registers of a ledger.
FREE_ENTRY, NEXT_ENTRY = 0, 1

NEW, DUPLICATE, AWAITED = 0, 1, 2


@inlined
def mark_of(start: Word, kind: Word) -> Word:
    """Reduce a span's start and kind to what tells it from others of the same id.

    Two spans of one trace with one id and one kind, but different starts, are taken for
    duplicates with a probability of 2**-32.

    Args:
        start: uint64, ns.
        kind: OTLP SpanKind.

    Returns:
        uint32, never 0.
    """
    word = mixed(start, np.uint64(np.uint32(kind)))
    mark = np.uint32(word >> np.uint64(32))
    return mark if mark != np.uint32(0) else np.uint32(1)


@inlined
def _add(
    entries: Rows, slots: UInt32s, slot: Word, registers: Int64s,
    span_id: Word, trace: Word, mark: Word, record: Word, head: Word,
) -> Word:  # fmt: skip
    entry = registers[FREE_ENTRY]
    if entry != 0:
        registers[FREE_ENTRY] = entries[entry]["next"]
    else:
        entry = registers[NEXT_ENTRY]
        registers[NEXT_ENTRY] = entry + 1
    entries[entry]["span_id"] = span_id
    entries[entry]["trace"] = trace
    entries[entry]["next"] = head
    entries[entry]["record"] = record
    entries[entry]["mark"] = mark
    slots[slot] = entry
    return entry


@inlined
def enter_span(
    entries: Rows, slots: UInt32s, registers: Int64s,
    span_id: Word, trace: Word, mark: Word, record: Word, head: Word,
) -> tuple[Word, Word]:  # fmt: skip
    """Enter a span that has arrived.

    Args:
        entries: `ENTRY` rows with one free.
        slots: The ledger's index.
        registers: The ledger's registers.
        span_id: uint64.
        trace: Its trace's row.
        mark: `mark_of` it.
        record: Number of the stored record that it came in.
        head: The trace's first entry, or 0.

    Returns:
        NEW; DUPLICATE, when it was here already and nothing has changed; or AWAITED, when it is
        new and some span had named it as its parent. Then the trace's first entry.
    """
    slot = home(slots, np.uint64(trace), span_id)
    outcome = NEW
    while slots[slot] != 0:
        entry = np.int64(slots[slot])
        if entries[entry]["span_id"] == span_id and entries[entry]["trace"] == trace:
            if entries[entry]["mark"] == mark:
                outcome = DUPLICATE
                break
            if entries[entry]["mark"] == 0:
                entries[entry]["mark"] = mark
                entries[entry]["record"] = record
                outcome = AWAITED
                break
        slot = slot_after(slot, slot_count(slots))
    first = head
    if outcome == NEW:
        first = _add(entries, slots, slot, registers, span_id, trace, mark, record, head)
    return outcome, first


@inlined
def enter_parent(
    entries: Rows, slots: UInt32s, registers: Int64s, span_id: Word, trace: Word, head: Word
) -> tuple[Word, Word]:
    """Enter that a span names a parent.

    Args:
        entries: `ENTRY` rows with one free.
        slots: The ledger's index.
        registers: The ledger's registers.
        span_id: uint64, the parent's id.
        trace: The trace's row.
        head: The trace's first entry, or 0.

    Returns:
        1 if the parent is neither here nor named before, else 0. Then the trace's first entry.
    """
    slot = home(slots, np.uint64(trace), span_id)
    missing = 1
    while slots[slot] != 0:
        entry = np.int64(slots[slot])
        if entries[entry]["span_id"] == span_id and entries[entry]["trace"] == trace:
            missing = 0
            break
        slot = slot_after(slot, slot_count(slots))
    first = head
    if missing == 1:
        first = _add(entries, slots, slot, registers, span_id, trace, 0, 0, head)
    return missing, first


@inlined
def find_span(entries: Rows, slots: UInt32s, span_id: Word, trace: Word, mark: Word) -> Word:
    """Find a span that is here.

    Args:
        entries: `ENTRY` rows.
        slots: The ledger's index.
        span_id: uint64.
        trace: Its trace's row.
        mark: `mark_of` it.

    Returns:
        Its entry, or 0.
    """
    slot = home(slots, np.uint64(trace), span_id)
    found: Word = 0
    while slots[slot] != 0:
        entry = np.int64(slots[slot])
        if (
            entries[entry]["span_id"] == span_id
            and entries[entry]["trace"] == trace
            and entries[entry]["mark"] == mark
        ):
            found = entry
            break
        slot = slot_after(slot, slot_count(slots))
    return found


@inlined
def strike(entries: Rows, slots: UInt32s, registers: Int64s, head: Word) -> None:
    """Take all entries of a decided trace out.

    Args:
        entries: `ENTRY` rows.
        slots: The ledger's index.
        registers: The ledger's registers.
        head: The trace's first entry, or 0.
    """
    entry = head
    while entry != 0:
        gap = home(slots, np.uint64(entries[entry]["trace"]), entries[entry]["span_id"])
        while slots[gap] != entry:
            gap = slot_after(gap, slot_count(slots))
        slot = gap
        while True:
            slot = slot_after(slot, slot_count(slots))
            if slots[slot] == 0:
                break
            other = np.int64(slots[slot])
            begins = home(slots, np.uint64(entries[other]["trace"]), entries[other]["span_id"])
            if may_fill(gap, slot, begins):
                slots[gap] = slots[slot]
                gap = slot
        slots[gap] = 0
        after = np.int64(entries[entry]["next"])
        entries[entry]["next"] = registers[FREE_ENTRY]
        registers[FREE_ENTRY] = entry
        entry = after


@kernel
def reindex_ledger(old: UInt32s, new: UInt32s, entries: Rows) -> None:
    """Enter all that a ledger's index holds into a larger one.

    Args:
        old: The index to read.
        new: An empty index.
        entries: `ENTRY` rows.
    """
    for place in range(slot_count(old)):
        entry = np.int64(old[place])
        if entry != 0:
            slot = home(new, np.uint64(entries[entry]["trace"]), entries[entry]["span_id"])
            while new[slot] != 0:
                slot = slot_after(slot, slot_count(new))
            new[slot] = entry
