"""Stopped anywhere and taken over, with whatever is left of the store: nothing changes.

Two workers take turns on one partition. Each life begins with what is committed and with what its
worker's store holds, and ends in a kill, an abort or an orderly leave. What was committed, all
together, must be what one uninterrupted run of the plain twin brings out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.sampler import Checkpoint, Outcome, PastDecision, Sampler
from tests.engine_inputs import (
    GRACE_MS,
    LIMITS,
    MOST_SPANS,
    POLICIES,
    WAIT_MS,
    Results,
    assert_as_good,
    batch_of,
    inputs,
    judge,
    late_inputs,
)
from tests.journaled_store import JournaledStore
from tests.plain_sampler import PlainRecord, PlainSampler

NOTHING = Outcome([], [], [])


class Batch(NamedTuple):
    """What a worker does next."""

    records: int
    commits: bool


class Life(NamedTuple):
    """One worker's time with the partition."""

    worker: int
    batches: list[Batch]
    ending: str  # "kill", "abort" or "leave"
    survives: int  # of a hundred writes, how many outlive a kill
    split: int  # of a hundred decisions, how many come with `recall`
    replayed: int  # records in a batch of what is read again


BATCHES = st.lists(st.builds(Batch, st.integers(1, 4), st.booleans()), max_size=6)
LIVES = st.lists(
    st.builds(
        Life,
        worker=st.integers(0, 1),
        batches=BATCHES,
        ending=st.sampled_from(["kill", "abort", "leave"]),
        survives=st.integers(0, 100),
        split=st.integers(0, 100),
        replayed=st.integers(1, 5),
    ),
    min_size=1,
    max_size=5,
)


@dataclass
class Partition:
    """A partition's records, what the group knows of it, and the twin."""

    records: list[PlainRecord]
    stores: list[JournaledStore]
    results: Results = field(default_factory=Results)
    decisions: list[PastDecision] = field(default_factory=list)
    committed: Checkpoint | None = None
    samplers: dict[int, Sampler] = field(default_factory=dict)
    plain: PlainSampler = field(
        default_factory=lambda: PlainSampler(WAIT_MS, GRACE_MS, MOST_SPANS, judge)
    )
    twin_at: int = 0
    reopened: int = 0  # offsets that were not read again, as a store had them

    def __post_init__(self) -> None:
        for store in self.stores:
            store.clear(0)
            store.writes.clear()

    def between(self, first: int, behind: int) -> list[PlainRecord]:
        return [record for record in self.records if first <= record.offset < behind]

    def live(self, life: Life) -> None:
        sampler = self.take_over(life)
        waiting = self.between(sampler.checkpoint(0).position, 2**60)
        open_transaction: list[Outcome] = []
        for count, commits in life.batches:
            part, waiting = waiting[:count], waiting[count:]
            if part:
                open_transaction.append(sampler.submit(batch_of(part)))
            assert sampler.counts(0).conserved()
            if commits:
                self.commit(sampler, open_transaction)
                open_transaction = []
        if life.ending == "leave":
            self.commit(sampler, open_transaction)
            sampler.revoke(0, keep=True)
        elif life.ending == "abort":
            sampler.revoke(0)
        else:
            del self.samplers[life.worker]
            store = self.stores[life.worker]
            store.set_back(len(store.writes) * life.survives // 100)

    def take_over(self, life: Life) -> Sampler:
        store = self.stores[life.worker]
        sampler = self.samplers.setdefault(life.worker, Sampler(POLICIES, store, LIMITS))
        if self.committed is None:
            assert sampler.assign(0) == 0
            return sampler
        split = len(self.decisions) * life.split // 100
        low, position = self.committed.low_watermark, self.committed.position
        read_from = sampler.assign(0, self.committed, self.decisions[split:])
        assert low <= read_from <= position
        self.reopened += read_from - low
        again = self.between(read_from, position)
        for start in range(0, len(again), life.replayed):
            assert sampler.submit(batch_of(again[start : start + life.replayed])) == NOTHING
            assert sampler.counts(0).conserved()
        sampler.recall(0, self.decisions[:split])
        assert sampler.counts(0).conserved()
        assert sampler.checkpoint(0) == self.committed
        self.twin_goes_on(position)
        self.plain.taken_over(low)
        return sampler

    def twin_goes_on(self, behind: int) -> None:
        self.plain.run(self.between(self.twin_at, behind))
        self.twin_at = behind

    def commit(self, sampler: Sampler, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self.results.add(outcome)
            self.decisions += [
                PastDecision(
                    one.trace_id, one.decision, one.policy, one.decided_at_ms, one.spans_out
                )
                for one in outcome.decisions
            ]
        self.committed = sampler.checkpoint(0)
        sampler.committed(0, self.committed)

    def finish(self, life: Life) -> None:
        sampler = self.take_over(life)
        rest = self.between(sampler.checkpoint(0).position, 2**60)
        if rest:
            self.results.add(sampler.submit(batch_of(rest)))
        self.results.add(sampler.finish())
        assert sampler.counts(0).conserved()
        self.twin_goes_on(2**60)
        self.plain.finish()
        assert_as_good(self.results, self.plain)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[JournaledStore]]:
    path: Path = tmp_path_factory.mktemp("takeover")
    with JournaledStore(path / "one") as one, JournaledStore(path / "other") as other:
        yield [one, other]


@given(inputs() | late_inputs(), LIVES)
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_takes_over_with_whatever_store_nothing_changes(
    stores: list[JournaledStore], records: list[PlainRecord], lives: list[Life]
) -> None:
    partition = Partition(records, stores)
    for life in lives:
        partition.live(life)
    partition.finish(lives[-1])
