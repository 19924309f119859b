"""The memory of past decisions, against an OrderedDict."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.outcome import VERDICTS
from streamsampler.spans.columns import Rows, UInt32s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.traces.decided import DecidedTraces, PastDecision
from streamsampler.traces.index import find


@kernel
def row_of(slots: UInt32s, rows: Rows, hi: Word, lo: Word) -> Word:
    return find(slots, rows, hi, lo)


def trace_id(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8) + number.to_bytes(8)


def verdict_of(decided: DecidedTraces, number: int) -> tuple[int, int] | None:
    words = np.frombuffer(trace_id(number), ">u8").astype(np.uint64)
    row = int(row_of(decided.slots, decided.rows, words[0], words[1]))
    held = decided.rows[row]
    return (int(held["second"]), int(held["verdict"])) if row >= 0 else None


def remember(decided: DecidedTraces, numbers: list[int], second: int) -> None:
    words = np.frombuffer(b"".join(map(trace_id, numbers)), ">u8").astype(np.uint64)
    decided.remember(
        words[0::2],
        words[1::2],
        np.full(len(numbers), second, np.int64),
        np.array([number % 3 for number in numbers], np.uint8),
    )


class Twin:
    """Verdict and second by number, oldest first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self.lost = 0

    def remember(self, numbers: list[int], second: int) -> None:
        for number in numbers:
            self.held[number] = (second, number % 3)
            if len(self.held) > self.most:
                self.held.popitem(last=False)
                self.lost += 1

    def forget(self, before: int) -> None:
        while self.held and next(iter(self.held.values()))[0] < before:
            self.held.popitem(last=False)


def assert_alike(decided: DecidedTraces, twin: Twin, numbers: range) -> None:
    assert len(decided) == len(twin.held)
    assert {number: verdict_of(decided, number) for number in numbers} == {
        number: twin.held.get(number) for number in numbers
    }
    assert decided.forgotten_early == twin.lost


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=30),
)
def test_fresh_decisions_are_remembered_until_their_time_or_room_is_over(
    most: int, steps: list[tuple[bool, int]]
) -> None:
    decided, twin = DecidedTraces(most), Twin(most)
    number = 0
    for second, (forgets, size) in enumerate(steps, 1):
        if forgets:
            decided.forget(1000 * (second - size) + 999)
            twin.forget(second - size)
        else:
            fresh = list(range(number, number + size))
            number += size
            remember(decided, fresh, second)
            twin.remember(fresh, second)
        assert_alike(decided, twin, range(number + 1))


@given(
    st.sampled_from([1, 2, 3, 7, 1000]),
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), max_size=8)), max_size=30),
)
def test_of_a_trace_that_is_known_the_last_decision_counts(
    most: int, steps: list[tuple[bool, list[int]]]
) -> None:
    decided, twin = DecidedTraces(most), Twin(most)
    for second, (forgets, numbers) in enumerate(steps, 1):
        if forgets:
            decided.forget(1000 * (second - len(numbers)))
            twin.forget(second - len(numbers))
        remember(decided, numbers, second)
        twin.remember(numbers, second)
        assert_alike(decided, twin, range(31))


def test_the_memory_grows_while_its_ring_is_wrapped() -> None:
    decided, twin = DecidedTraces(100_000), Twin(100_000)
    for second in range(1, 30):
        numbers = list(range(300 * second, 300 * second + 300 + 20 * second))
        remember(decided, numbers, second)
        twin.remember(numbers, second)
        before = second - 3 if second < 15 else 14
        decided.forget(1000 * before)
        twin.forget(before)
    assert len(decided.rows) > 1024
    assert_alike(decided, twin, range(300, 10_000, 7))


@pytest.mark.parametrize(
    ("before_ms", "left"), [(0, 3), (1999, 3), (2000, 2), (3999, 1), (9000, 0)]
)
def test_decisions_are_forgotten_by_whole_seconds(before_ms: int, left: int) -> None:
    decided = DecidedTraces(10)
    for second in (1, 2, 3):
        remember(decided, [second], second)
    decided.forget(before_ms)
    assert len(decided) == left
    assert decided.forgotten_early == 0


def test_decisions_are_restored_in_their_order() -> None:
    decided = DecidedTraces(2)
    decided.restore(
        [
            PastDecision(trace_id(number), decision, None, 1000 * number + 999)
            for number, decision in enumerate(VERDICTS, 1)
        ]
    )
    assert [verdict_of(decided, number) for number in (1, 2, 3)] == [None, (2, 1), (3, 2)]
    assert decided.forgotten_early == 1


def test_nothing_restored_is_nothing_remembered() -> None:
    decided = DecidedTraces(2)
    decided.restore([])
    assert len(decided) == 0


def test_a_decision_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="perhaps"):
        DecidedTraces(2).restore([PastDecision(trace_id(1), "perhaps", None, 0)])


def test_a_known_trace_takes_no_room_in_a_full_memory() -> None:
    decided, twin = DecidedTraces(2), Twin(2)
    for second, number in enumerate([1, 2, 2, 1, 2], 1):
        remember(decided, [number], second)
        twin.remember([number], second)
    assert_alike(decided, twin, range(4))
    assert decided.forgotten_early == 0
