"""The trace table's two lists, walked in both directions after every step."""

from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.columns import Int64s, Rows, UInt32s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.spans.hash_key import KEY_WORDS
from streamsampler.traces.due import forget
from streamsampler.traces.index import find
from streamsampler.traces.table import (
    BUCKET_MS,
    FREE_ROW,
    NEWEST,
    NEXT_ROW,
    NO_OFFSET,
    NOW,
    OLDEST,
    SIZE,
    SPANS,
    TraceTable,
    lengthen,
    new_trace,
    postpone,
    reserve,
    trace_table,
)

WAIT_MS = 1000
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
def row_of(slots: UInt32s, rows: Rows, hi: Word, lo: Word) -> Word:
    return find(slots, rows, hi, lo)


def started(table: TraceTable, number: int, offset: int, wait_ms: int) -> int:
    """Begin the trace with this number as its id; gives back its row."""
    reserve(table, 1)
    row = begin(
        table.rows, table.slots, table.registers, table.buckets,
        np.uint64(number >> 3), np.uint64(number), offset, wait_ms,
    )  # fmt: skip
    return int(row)


def walk(rows: Rows, first: int, onward: str, back: str) -> list[int]:
    """Follow a list; every link has to lead back to where it came from."""
    found: list[int] = []
    place = first
    while place:
        row = place - 1
        assert int(rows[row][back]) == (found[-1] + 1 if found else 0)
        assert row not in found
        found.append(row)
        place = int(rows[row][onward])
    return found


def arrivals(table: TraceTable) -> list[int]:
    found = walk(table.rows, int(table.registers[OLDEST]), "arrived_next", "arrived_before")
    assert int(table.registers[NEWEST]) == (found[-1] + 1 if found else 0)
    return found


def free_rows(table: TraceTable) -> list[int]:
    found: list[int] = []
    place = int(table.registers[FREE_ROW])
    while place:
        found.append(place - 1)
        place = int(table.rows[place - 1]["due_next"])
    return found


def assert_sound(table: TraceTable) -> None:
    """Every live row is in the arrival list, the index and its own bucket; the rest are free."""
    live = arrivals(table)
    assert len(live) == table.live
    held = {}
    for bucket, first in enumerate(table.buckets.tolist()):
        for row in walk(table.rows, first, "due_next", "due_before"):
            held[row] = bucket
    dues = table.rows["due_ms"]
    assert held == {row: int(dues[row]) // BUCKET_MS % len(table.buckets) for row in live}
    assert sorted(live + free_rows(table)) == list(range(int(table.registers[NEXT_ROW])))
    for row in live:
        ids = table.rows[row]
        assert row_of(table.slots, table.rows, ids["id_hi"], ids["id_lo"]) == row
    assert np.count_nonzero(table.slots[:-KEY_WORDS]) == len(live)
    assert table.spans == table.rows["spans"][live].sum()
    assert int(table.registers[SIZE]) == table.rows["size"][live].sum()


class Traced:
    """A table, and the traces that it has to hold, oldest first."""

    def __init__(self) -> None:
        self.table = trace_table(WAIT_MS, 5000)
        self.twin: dict[int, tuple[int, int]] = {}  # row: (first offset, deadline)
        self.begun = 0
        self.wait_ms = WAIT_MS

    def step(self, name: str, number: int) -> None:
        table = self.table
        chosen = list(self.twin)[number % len(self.twin)] if self.twin else -1
        match name:
            case "begin":
                self.begun += 1
                row = started(table, self.begun, 10 * self.begun, self.wait_ms)
                assert row not in self.twin
                table.rows[row]["spans"], table.rows[row]["size"] = number, 100 * number
                table.registers[SPANS] += number
                table.registers[SIZE] += 100 * number
                self.twin[row] = (10 * self.begun, table.now_ms + self.wait_ms)
            case "forget" if self.twin:
                forget(table, np.array([chosen]))
                del self.twin[chosen]
            case "postpone" if self.twin:
                due = table.now_ms + min(number * 20, self.wait_ms)
                move(table.rows, table.buckets, chosen, due)
                self.twin[chosen] = (self.twin[chosen][0], due)
            case "time":
                table.registers[NOW] += 7 * number
            case "lengthen":
                self.wait_ms = max(100, 200 * number)
                lengthen(table, self.wait_ms)
            case _:
                reserve(table, 5 * number)

    def check(self) -> None:
        assert_sound(self.table)
        rows, live = self.table.rows, arrivals(self.table)
        assert live == list(self.twin)
        assert rows["first_offset"][live].tolist() == [offset for offset, _ in self.twin.values()]
        assert rows["due_ms"][live].tolist() == [due for _, due in self.twin.values()]
        oldest = next(iter(self.twin.values()), (NO_OFFSET, 0))
        assert self.table.low_watermark == oldest[0]
        if self.twin:
            assert self.table.oldest("due_ms") == oldest[1]


STEPS = ["begin"] * 3 + ["forget", "forget", "postpone", "postpone", "time", "lengthen", "reserve"]


def of_any_length(step: st.SearchStrategy[Drawn], most: int) -> st.SearchStrategy[list[Drawn]]:
    """Draw lists whose lengths are spread evenly; lists by themselves are mostly short."""
    return st.integers(0, most).flatmap(lambda n: st.lists(step, min_size=n, max_size=n))


@given(of_any_length(st.tuples(st.sampled_from(STEPS), st.integers(0, 60)), 80))
def test_rows_are_in_both_lists_or_free(steps: list[tuple[str, int]]) -> None:
    traced = Traced()
    for name, number in steps:
        traced.step(name, number)
        traced.check()


def test_a_new_table_needs_no_offset() -> None:
    table = trace_table(WAIT_MS)
    assert (table.live, table.spans, table.now_ms) == (0, 0, -1)
    assert table.low_watermark == NO_OFFSET
    assert_sound(table)


def test_a_table_grows_and_keeps_its_traces() -> None:
    table = trace_table(WAIT_MS, 0)
    rows = [started(table, number, number, WAIT_MS) for number in range(1, 1001)]
    assert_sound(table)
    forget(table, np.array(rows[:900]))
    assert_sound(table)
    assert table.low_watermark == 901


def test_freed_rows_serve_again_before_new_ones() -> None:
    table = trace_table(WAIT_MS, 0)
    size = table.memory_bytes
    for round_number in range(20):
        numbers = range(1 + 200 * round_number, 201 + 200 * round_number)
        rows = [started(table, number, number, WAIT_MS) for number in numbers]
        assert max(rows) < 200
        forget(table, np.array(rows))
    assert table.memory_bytes == size


@pytest.mark.parametrize("spans", [0, 1, 300, 5000])
def test_reserve_makes_room_for_a_trace_and_two_entries_a_span(spans: int) -> None:
    table = trace_table(WAIT_MS, 0)
    started(table, 1, 1, WAIT_MS)
    reserve(table, spans)
    assert len(table.rows) >= 1 + spans
    assert len(table.slots) > 1 + spans
    assert len(table.entries) >= 1 + 2 * spans
    assert len(table.entry_slots) > 1 + 2 * spans
    assert_sound(table)


@pytest.mark.parametrize(("wait_ms", "grows"), [(100, False), (1000, False), (60_000, True)])
def test_a_shorter_wait_keeps_the_ring(wait_ms: int, grows: bool) -> None:  # noqa: FBT001
    table = trace_table(WAIT_MS, 0)
    started(table, 1, 1, WAIT_MS)
    ring = table.buckets
    lengthen(table, wait_ms)
    assert (table.buckets is not ring) is grows
    assert len(table.buckets) * BUCKET_MS > max(wait_ms, WAIT_MS)
    assert_sound(table)
