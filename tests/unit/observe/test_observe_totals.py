"""Totals over a worker's life: they never fall, and count what was committed once."""

from collections.abc import Callable
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from streamsampler.observe.totals import RunningTotals, Totals
from streamsampler.outcome import Counts, added

GAUGES = ("buffered", "traces_buffered")
GROWING = [one.name for one in fields(Counts) if one.name not in GAUGES]
PARTITIONS = st.integers(0, 2)


def flat(counts: Counts, name: str) -> list[int]:
    value = getattr(counts, name)
    return list(value) if isinstance(value, tuple) else [value]


def conserved(totals: Totals) -> bool:
    counts = totals.counts
    fates = counts.kept + counts.not_sampled + counts.dropped + counts.duplicates
    settled = fates + counts.dead_lettered
    return counts.spans_in == settled + counts.buffered + totals.handed_over


class Model:
    """A worker as the totals see it, and what they should say, kept by hand."""

    def __init__(self) -> None:
        self.totals = RunningTotals()
        self.now: dict[int, Counts] = {}  # what the engine counts
        self.since_commit: dict[int, Counts] = {}
        self.expected = Counts()

    def take_up(self, partition: int) -> None:
        if partition not in self.now:
            self.now[partition] = Counts()
            self.since_commit[partition] = Counts()

    def work(self, partition: int, arrived: int, decided: int) -> None:
        """Spans arrive, and of all that are buffered some are decided."""
        if partition not in self.now:
            return
        decided = min(decided, self.now[partition].buffered + arrived)
        for counts in (self.now[partition], self.since_commit[partition]):
            counts.records += arrived
            counts.spans_in += arrived
            counts.kept += decided
            counts.traces = added(counts.traces, [decided, *[0] * 10, arrived])
            counts.delays = added(counts.delays, [*[0] * 17, decided])
            counts.delay_ms += 700_000 * decided
            counts.dead = added(counts.dead, [arrived, *[0] * (len(counts.dead) - 1)])
            counts.buffered += arrived - decided

    def commit(self) -> None:
        for partition, delta in self.since_commit.items():
            self.expected += delta
            self.since_commit[partition] = Counts()
        self.totals.committed(self.now)

    def abort(self) -> None:
        """Every partition is taken back to its last commit, and counts from 0."""
        for partition in tuple(self.now):
            self.leave(partition)
            self.take_up(partition)

    def leave(self, partition: int) -> None:
        self.totals.left(partition)
        self.now.pop(partition, None)
        self.since_commit.pop(partition, None)


STEPS = st.one_of(
    st.builds(lambda p: lambda m: m.take_up(p), PARTITIONS),
    st.builds(
        lambda p, arrived, decided: lambda m: m.work(p, arrived, decided),
        PARTITIONS,
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    st.just(Model.commit),
    st.just(Model.abort),
    st.builds(lambda p: lambda m: m.leave(p), PARTITIONS),
)


@given(st.lists(STEPS, max_size=60))
def test_totals_never_fall_and_are_the_sum_of_what_was_committed(
    steps: list[Callable[[Model], None]],
) -> None:
    model = Model()
    before = model.totals.now()
    for step in steps:
        step(model)
        after = model.totals.now()
        for name in GROWING:
            now, then = flat(after.counts, name), flat(before.counts, name)
            assert all(one >= other for one, other in zip(now, then, strict=True))
            assert now == flat(model.expected, name)
        assert after.handed_over >= before.handed_over
        assert conserved(after)
        before = after


def test_what_was_counted_since_the_last_commit_goes_with_an_abort() -> None:
    totals = RunningTotals()
    totals.committed({0: Counts(spans_in=10, kept=10)})
    counted_further = Counts(spans_in=25, kept=25)
    assert counted_further.conserved()
    totals.left(0)  # and never committed
    totals.committed({0: Counts(spans_in=15, kept=15)})
    assert totals.now().counts.kept == 25


def test_spans_that_were_buffered_when_their_partition_left_are_handed_over() -> None:
    totals = RunningTotals()
    totals.committed({0: Counts(spans_in=10, kept=4, buffered=6, traces_buffered=2)})
    assert totals.now().handed_over == 0
    assert totals.now().counts.buffered == 6
    totals.left(0)
    assert totals.now().handed_over == 6
    assert totals.now().traces_handed_over == 2
    assert totals.now().counts.buffered == 0
    assert totals.now().counts.traces_buffered == 0


def test_counts_that_go_on_growing_change_nothing_before_their_commit() -> None:
    totals, counts = RunningTotals(), Counts(records=1)
    totals.committed({0: counts})
    counts.records = 5
    assert totals.now().counts.records == 1


def test_a_partition_may_leave_without_ever_having_been_committed() -> None:
    totals = RunningTotals()
    totals.left(7)
    assert totals.now() == Totals(Counts(), 0, 0)


def test_a_worker_made_anew_begins_with_the_totals_of_the_one_before() -> None:
    totals = RunningTotals()
    totals.committed({0: Counts(records=3), 1: Counts(records=4)})
    totals.all_left()
    totals.committed({0: Counts(records=2)})
    assert totals.now().counts.records == 9
