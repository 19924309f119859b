"""The engine against its plain twin, in any batching and any interleaving of partitions."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.sampler import Outcome, Sampler
from streamsampler.spans.records import join
from streamsampler.store import BlockStore
from tests.engine_inputs import (
    LIMITS,
    POLICIES,
    SHARED_STORE,
    Results,
    assert_same,
    batch_of,
    cut,
    inputs,
    twin,
)
from tests.plain_sampler import PlainRecord


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("store")
    with BlockStore(path / "blocks") as opened:
        yield opened


@given(inputs(), st.sets(st.integers(1, 24)))
@SHARED_STORE
def test_any_batching_gives_the_verdicts_of_the_plain_twin(
    store: BlockStore, records: list[PlainRecord], cuts: set[int]
) -> None:
    sampler, results = Sampler(POLICIES, store, LIMITS), Results()
    sampler.assign(0)
    for part in cut(records, cuts):
        results.add(sampler.submit(batch_of(part)))
        assert sampler.counts(0).conserved()
        sampler.committed(0, sampler.checkpoint(0))
    results.add(sampler.finish())
    plain = twin(records)
    assert_same(results, plain)
    counts = sampler.counts(0)
    assert counts.conserved()
    assert counts.duplicates == plain.duplicates
    assert counts.buffered == counts.traces_buffered == 0
    assert counts.kept == sum(map(len, plain.kept.values()))


@given(st.tuples(inputs(), inputs(), inputs()), st.integers(0, 2**32))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_partitions_do_not_touch_each_other(
    store: BlockStore, parts: tuple[list[PlainRecord], ...], seed: int
) -> None:
    chance = random.Random(seed)
    sampler = Sampler(POLICIES, store, LIMITS)
    results = [Results() for _ in parts]
    waiting = [list(part) for part in parts]
    for number in range(len(parts)):
        sampler.assign(number)
    while any(waiting):
        taken = [part[: chance.randint(0, 4)] for part in waiting]
        waiting = [part[len(some) :] for part, some in zip(waiting, taken, strict=True)]
        flat = [(number, record) for number, some in enumerate(taken) for record in some]
        nothing = [None] * len(flat)
        outcome = sampler.submit(
            join(
                [number for number, _ in flat],
                [record.offset for _, record in flat],
                [record.time_ms for _, record in flat],
                nothing,
                [record.value for _, record in flat],
                nothing,
            )
        )
        _share(outcome, results, [number for number, _ in flat])
    _share(sampler.finish(), results, [])
    for number, part in enumerate(parts):
        assert_same(results[number], twin(part))
        assert sampler.counts(number).conserved()


def _share(outcome: Outcome, results: list[Results], partitions: list[int]) -> None:
    for number, result in enumerate(results):
        result.add(
            Outcome(
                [one for one in outcome.emissions if one.partition == number],
                [one for one in outcome.decisions if one.partition == number],
                [one for one in outcome.dead_letters if partitions[one.record] == number],
            )
        )
