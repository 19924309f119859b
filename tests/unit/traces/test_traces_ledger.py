"""The span ledger against lists of spans."""

import itertools
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.columns import Int64s, Rows, UInt32s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.spans.hash_key import KEY_WORDS
from streamsampler.traces.index import empty_slots, home, mixed, slots_for
from streamsampler.traces.ledger import (
    AWAITED,
    DUPLICATE,
    ENTRY,
    FREE_ENTRY,
    NEW,
    NEXT_ENTRY,
    enter_parent,
    enter_span,
    find_span,
    mark_of,
    reindex_ledger,
    strike,
)

TRACES = 3
MOST_ENTRIES = 64
SLOTS = slots_for(MOST_ENTRIES)
Drawn = TypeVar("Drawn")


@kernel
def begins(slots: UInt32s, span_id: Word, trace: Word) -> Word:
    return home(slots, np.uint64(trace), span_id)


@kernel
def mark(start: Word, kind: Word) -> Word:
    return mark_of(start, kind)


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


@kernel
def entry_of(entries: Rows, slots: UInt32s, span_id: Word, trace: Word, mark: Word) -> Word:
    return find_span(entries, slots, span_id, trace, mark)


@kernel
def trace_out(entries: Rows, slots: UInt32s, registers: Int64s, head: Word) -> None:
    strike(entries, slots, registers, head)


@pytest.fixture(scope="module")
def ids() -> list[int]:
    """Span ids that begin at the last slots in some trace, so that chains run over the end."""
    behind, slots = SLOTS - 3, empty_slots(SLOTS)
    found = [
        number
        for number in range(1, 2000)
        if any(begins(slots, np.uint64(number), trace) >= behind for trace in range(TRACES))
    ]
    return found[:8]


Entry = tuple[int, int, int]  # span id, mark, record


@dataclass
class Ledger:
    """A ledger, and of each trace the entries that it has to hold."""

    entries: Rows = field(default_factory=lambda: np.zeros(MOST_ENTRIES + 1, ENTRY))
    slots: UInt32s = field(default_factory=lambda: empty_slots(SLOTS))
    registers: Int64s = field(default_factory=lambda: np.array([0, 1], np.int64))
    heads: list[int] = field(default_factory=lambda: [0] * TRACES)
    twin: list[list[Entry]] = field(default_factory=lambda: [[] for _ in range(TRACES)])

    def enter_span(self, trace: int, span_id: int, mark: int, record: int) -> None:
        outcome, self.heads[trace] = span_in(
            self.entries, self.slots, self.registers,
            np.uint64(span_id), trace, np.uint32(mark), np.uint32(record), self.heads[trace],
        )  # fmt: skip
        here = self.twin[trace]
        if any(entry[:2] == (span_id, mark) for entry in here):
            assert outcome == DUPLICATE
        elif (span_id, 0, 0) in here:
            assert outcome == AWAITED
            here[here.index((span_id, 0, 0))] = (span_id, mark, record)
        else:
            assert outcome == NEW
            here.append((span_id, mark, record))

    def enter_parent(self, trace: int, span_id: int) -> None:
        missing, self.heads[trace] = parent_in(
            self.entries, self.slots, self.registers, np.uint64(span_id), trace, self.heads[trace]
        )
        known = any(entry[0] == span_id for entry in self.twin[trace])
        assert missing == (0 if known else 1)
        if not known:
            self.twin[trace].append((span_id, 0, 0))

    def strike(self, trace: int) -> None:
        trace_out(self.entries, self.slots, self.registers, self.heads[trace])
        self.heads[trace] = 0
        self.twin[trace] = []

    def find(self, trace: int, span_id: int, mark: int) -> int:
        """The record of a span that is here, or -1."""
        entry = entry_of(self.entries, self.slots, np.uint64(span_id), trace, np.uint32(mark))
        return int(self.entries[entry]["record"]) if entry else -1

    def chain(self, entry: int) -> list[int]:
        found = []
        while entry:
            found.append(entry)
            entry = int(self.entries[entry]["next"])
        return found

    def check(self) -> None:
        used = [self.chain(head) for head in self.heads]
        for trace, chain in enumerate(used):
            held = [tuple(self.entries[entry].tolist()) for entry in chain]
            assert {entry[1] for entry in held} <= {trace}
            found = [(entry[0], entry[4], entry[3]) for entry in held]
            assert found == self.twin[trace][::-1]
        flat = sorted(itertools.chain(*used))
        free = self.chain(int(self.registers[FREE_ENTRY]))
        slots = self.slots[:-KEY_WORDS]
        assert sorted(slots[slots != 0].tolist()) == flat
        assert sorted(flat + free) == list(range(1, int(self.registers[NEXT_ENTRY])))


def of_any_length(step: st.SearchStrategy[Drawn], most: int) -> st.SearchStrategy[list[Drawn]]:
    """Draw lists whose lengths are spread evenly; lists by themselves are mostly short."""
    return st.integers(0, most).flatmap(lambda n: st.lists(step, min_size=n, max_size=n))


Step = tuple[str, int, int, int]
STEPS = of_any_length(
    st.tuples(
        st.sampled_from(["span", "span", "span", "parent", "parent", "strike"]),
        st.integers(0, TRACES - 1),
        st.integers(0, 7),
        st.integers(1, 2),
    ),
    MOST_ENTRIES,
)


def _run(ledger: Ledger, ids: list[int], steps: list[Step]) -> None:
    for record, (step, trace, place, mark) in enumerate(steps):
        match step:
            case "span":
                ledger.enter_span(trace, ids[place], mark, record)
            case "parent":
                ledger.enter_parent(trace, ids[place])
            case _:
                ledger.strike(trace)
        ledger.check()
    for trace, held in enumerate(ledger.twin):
        records = {(span_id, mark): record for span_id, mark, record in held}
        for span_id, mark in itertools.product(ids, (1, 2)):
            assert ledger.find(trace, span_id, mark) == records.get((span_id, mark), -1)


@given(steps=STEPS)
def test_a_ledger_is_a_list_of_spans_for_each_trace(ids: list[int], steps: list[Step]) -> None:
    _run(Ledger(), ids, steps)


@given(before=STEPS, after=STEPS)
def test_a_ledger_that_has_grown_is_the_same_ledger(
    ids: list[int], before: list[Step], after: list[Step]
) -> None:
    ledger = Ledger(entries=np.zeros(2 * MOST_ENTRIES + 1, ENTRY))
    _run(ledger, ids, before)
    larger = empty_slots(slots_for(2 * MOST_ENTRIES))
    reindex_ledger(ledger.slots, larger, ledger.entries)
    ledger.slots = larger
    ledger.check()
    _run(ledger, ids, after)


def test_one_id_in_two_traces_is_two_spans() -> None:
    ledger = Ledger()
    ledger.enter_span(0, 5, 1, 0)
    ledger.enter_span(1, 5, 1, 1)
    ledger.enter_parent(2, 5)
    ledger.strike(0)
    ledger.check()
    assert [len(spans) for spans in ledger.twin] == [0, 1, 1]


def test_one_id_with_two_marks_is_two_spans_and_one_parent() -> None:
    ledger = Ledger()
    for step in ("parent", "first", "second", "parent", "again"):
        if step == "parent":
            ledger.enter_parent(0, 5)
        else:
            ledger.enter_span(0, 5, 1 if step == "first" else 2, 0)
        ledger.check()
    assert ledger.twin[0] == [(5, 1, 0), (5, 2, 0)]


STARTS = [0, 1, 1_700_000_000_000_000_000, 1_700_000_000_000_000_001, 2**63, 2**64 - 1]
KINDS = [0, 1, 2, 5, 2**31 - 1, -1, -(2**31)]


def test_starts_and_kinds_have_marks_of_their_own() -> None:
    marks = {int(mark(np.uint64(s), np.int32(k))) for s in STARTS for k in KINDS}
    assert len(marks) == len(STARTS) * len(KINDS)
    assert all(0 < one < 2**32 for one in marks)


def _unmixed(word: int) -> int:
    """Find the first word that mixes with 0 into this one."""
    mask = 2**64 - 1
    word = word ^ (word >> 29) ^ (word >> 58)
    for factor in (0xBF58476D1CE4E5B9, 0x9E3779B97F4A7C15):
        word = word * pow(factor, -1, 2**64) & mask
        word ^= word >> 32
    return word * pow(0x9E3779B97F4A7C15, -1, 2**64) & mask


@pytest.mark.parametrize("low", [0, 1, 0xFFFFFFFF])
def test_no_span_has_the_mark_of_a_parent_that_is_not_here(low: int) -> None:
    start = np.uint64(_unmixed(low))
    assert int(mixed(start, np.uint64(0))) == low
    assert mark(start, np.int32(0)) == 1
