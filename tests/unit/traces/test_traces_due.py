"""What is due, in which order, and where its records lie."""

from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.columns import Int64s, Rows, UInt32s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.spans.hash_key import KEY_WORDS
from streamsampler.traces.due import all_rows, due_rows, forget, records_of
from streamsampler.traces.ledger import enter_parent, enter_span
from streamsampler.traces.table import (
    FREE_ROW,
    LIVE,
    NEXT_RECORD,
    NEXT_ROW,
    NOW,
    TraceTable,
    new_trace,
    postpone,
    reserve,
    trace_table,
)

WAIT_MS = 1000
START_MS = 50_000
Drawn = TypeVar("Drawn")


@kernel
def begin(
    rows: Rows, slots: UInt32s, registers: Int64s, buckets: UInt32s, hi: Word, lo: Word,
    offset: Word, wait_ms: Word,
) -> Word:  # fmt: skip
    return new_trace(rows, slots, registers, buckets, hi, lo, offset, wait_ms)


@kernel
def move(rows: Rows, buckets: UInt32s, row: Word, due_ms: Word) -> None:
    postpone(rows, buckets, row, due_ms)


@kernel
def span_in(
    entries: Rows, slots: UInt32s, registers: Int64s,
    span_id: Word, trace: Word, mark: Word, record: Word, head: Word,
) -> tuple[Word, Word]:  # fmt: skip
    return enter_span(entries, slots, registers, span_id, trace, mark, record, head)


@kernel
def parent_in(
    entries: Rows, slots: UInt32s, registers: Int64s, span_id: Word, trace: Word, head: Word
) -> tuple[Word, Word]:
    return enter_parent(entries, slots, registers, span_id, trace, head)


def started(table: TraceTable, number: int, wait_ms: int = WAIT_MS) -> int:
    reserve(table, 1)
    row = begin(
        table.rows, table.slots, table.registers, table.buckets,
        np.uint64(number), np.uint64(number % 3), number, wait_ms,
    )  # fmt: skip
    return int(row)


def add_span(table: TraceTable, row: int, span_id: int, parent_id: int = 0) -> int:
    """Add a span that came in a record of its own; gives back the record's number."""
    reserve(table, 1)
    record = int(table.registers[NEXT_RECORD])
    low = np.uint32(record % 2**32)
    _, head = span_in(
        table.entries, table.entry_slots, table.registers,
        np.uint64(span_id), row, np.uint32(7), low, int(table.rows[row]["entry"]),
    )  # fmt: skip
    if parent_id:
        _, head = parent_in(
            table.entries, table.entry_slots, table.registers, np.uint64(parent_id), row, head
        )
    table.rows[row]["entry"] = head
    table.rows[row]["spans"] += 1
    table.rows[row]["last_record"] = low
    table.registers[NEXT_RECORD] += 1
    return record


def order(table: TraceTable, newest: dict[int, int]) -> list[int]:
    """Every live row, by deadline, newest record and id."""
    rows = table.rows
    return sorted(
        newest,
        key=lambda row: (
            rows[row]["due_ms"],
            newest[row],
            rows[row]["id_hi"],
            rows[row]["id_lo"],
        ),
    )


Step = tuple[str, int]


def of_any_length(step: st.SearchStrategy[Drawn], most: int) -> st.SearchStrategy[list[Drawn]]:
    """Draw lists whose lengths are spread evenly; lists by themselves are mostly short."""
    return st.integers(0, most).flatmap(lambda n: st.lists(step, min_size=n, max_size=n))


STEPS = ["begin", "begin", "span", "sooner", "time", "leap"]


@given(
    steps=of_any_length(st.tuples(st.sampled_from(STEPS), st.integers(0, 50)), 60),
    first_record=st.sampled_from([0, 2**32 - 5, 3 * 2**32 - 20]),
)
def test_each_trace_is_due_once_and_in_order(steps: list[Step], first_record: int) -> None:
    table = trace_table(WAIT_MS, START_MS)
    table.registers[NEXT_RECORD] = first_record
    newest: dict[int, int] = {}
    for number, (name, size) in enumerate(steps, 1):
        chosen = list(newest)[size % len(newest)] if newest else -1
        match name:
            case "begin":
                row = started(table, 1000 - number)
                newest[row] = add_span(table, row, 1)
            case "span" if newest:
                newest[chosen] = add_span(table, chosen, 10 + number)
            case "sooner" if newest:
                sooner = min(int(table.rows[chosen]["due_ms"]), table.now_ms + 10 * size)
                move(table.rows, table.buckets, chosen, sooner)
            case _:
                table.registers[NOW] += size * (4 if name == "time" else 1000)
        assert all_rows(table).tolist() == order(table, newest)
        due = [row for row in order(table, newest) if table.rows[row]["due_ms"] <= table.now_ms]
        found = due_rows(table)
        assert found.tolist() == due
        forget(table, found)
        newest = {row: record for row, record in newest.items() if row not in due}
    assert table.live == len(newest)


def test_nothing_is_due_before_there_is_a_stream_time() -> None:
    table = trace_table(WAIT_MS)
    assert due_rows(table).tolist() == []
    table.registers[NOW] = 0
    started(table, 1)
    assert due_rows(table).tolist() == []


@pytest.mark.parametrize(
    ("now", "due"), [(50_999, False), (51_000, True), (51_001, True), (10**13, True)]
)
def test_a_trace_is_due_when_its_wait_is_over(now: int, due: bool) -> None:  # noqa: FBT001
    table = trace_table(WAIT_MS, START_MS)
    row = started(table, 1)
    table.registers[NOW] = now
    assert due_rows(table).tolist() == ([row] if due else [])


@pytest.mark.parametrize("first_record", [0, 2**32 - 3, 2**32, 5 * 2**32 + 7])
def test_the_records_of_a_trace_are_those_of_its_spans_alone(first_record: int) -> None:
    table = trace_table(WAIT_MS, START_MS)
    table.registers[NEXT_RECORD] = first_record
    one, other = started(table, 1), started(table, 2)
    expected: dict[int, list[int]] = {one: [], other: []}
    for span_id in range(1, 7):
        row = one if span_id % 3 else other
        # Parents that never come, one that comes later, one that is here.
        parent = {1: 99, 2: 4, 4: 1, 5: 98}.get(span_id, 0)
        expected[row].append(add_span(table, row, span_id, parent))
    assert sorted(records_of(table, np.array([one])).tolist()) == expected[one]
    both = records_of(table, np.array([other, one])).tolist()
    assert sorted(both[: len(expected[other])]) == expected[other]
    assert sorted(both[len(expected[other]) :]) == expected[one]
    assert records_of(table, np.empty(0, np.int64)).tolist() == []


def test_a_forgotten_trace_leaves_nothing_behind() -> None:
    table = trace_table(WAIT_MS, START_MS)
    rows = [started(table, number) for number in range(1, 6)]
    for row in rows:
        for span_id in range(1, 4):
            add_span(table, row, span_id, 50 + span_id)
    forget(table, np.array(rows))
    assert not table.slots[:-KEY_WORDS].any()
    assert not table.entry_slots[:-KEY_WORDS].any()
    assert not table.buckets.any()
    assert table.registers[LIVE] == 0
    again = started(table, 9)
    assert again in rows
    assert table.registers[NEXT_ROW] == len(rows)
    assert table.registers[FREE_ROW] != 0
    assert table.rows[again]["entry"] == 0
