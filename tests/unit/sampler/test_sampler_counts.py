"""What verdicts are counted as: by what brought them about, and by how long their traces waited."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.outcome import DELAYS_MS, TRIGGERS, VERDICTS
from streamsampler.sampler import Counts, Limits, Sampler
from streamsampler.store import BlockStore
from streamsampler.traces.table import BUCKET_MS
from tests.engine_inputs import (
    LIMITS,
    POLICIES,
    SHARED_STORE,
    WAIT_MS,
    Results,
    batch_of,
    cut,
    inputs,
)
from tests.otlp_records import delimited, fixed
from tests.plain_sampler import PlainRecord


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("counts")
    with BlockStore(path / "blocks") as opened:
        yield opened


def by_trigger(counts: Counts) -> dict[tuple[str, str], int]:
    kinds = {kind: counts.decided(*kind) for kind in product(VERDICTS, TRIGGERS)}
    return {kind: count for kind, count in kinds.items() if count}


def lone(number: int, time_ms: int) -> PlainRecord:
    """A record with one span, a root that takes no time, of a trace of its own."""
    ids = delimited(1, bytes([number + 1]) * 16) + delimited(2, b"spanspan")
    times = fixed(7, 10**6, 1) + fixed(8, 10**6, 1)
    value = delimited(1, delimited(2, delimited(2, ids + delimited(4, b"nowhere.") + times)))
    return PlainRecord(number, time_ms, value)


@given(inputs(), st.sets(st.integers(1, 24)))
@SHARED_STORE
def test_verdicts_are_counted_as_their_decisions_say(
    store: BlockStore, records: list[PlainRecord], cuts: set[int]
) -> None:
    sampler, results = Sampler(POLICIES, store, LIMITS), Results()
    sampler.assign(0)
    for part in cut(records, cuts):
        results.add(sampler.submit(batch_of(part)))
        sampler.committed(0, sampler.checkpoint(0))
    results.add(sampler.finish())
    counts = sampler.counts(0)
    assert by_trigger(counts) == Counter((one.decision, one.trigger) for one in results.decisions)
    offsets = [record.offset for record in records]
    taken_in_ms = accumulate((record.time_ms for record in records), max)
    clock = dict(zip(offsets, taken_in_ms, strict=True))
    waits = [one.decided_at_ms - clock[one.first_offset] for one in results.decisions]
    places = Counter(bisect_left(DELAYS_MS, wait) for wait in waits)
    assert counts.delays == tuple(places[place] for place in range(len(DELAYS_MS) + 1))
    assert counts.delay_ms == sum(waits)
    assert sum(counts.delays) == sum(counts.traces)


def test_a_delay_is_of_the_bound_that_it_reaches(store: BlockStore) -> None:
    sampler = Sampler(POLICIES, store)
    sampler.assign(0)
    sampler.submit(batch_of([lone(0, 10_000), lone(1, 10_000 + WAIT_MS - 1)]))
    sampler.advance(0, 10_000 + WAIT_MS + BUCKET_MS)
    counts = sampler.counts(0)
    assert by_trigger(counts) == {("not_sampled", "timeout"): 1}
    assert counts.delays[DELAYS_MS.index(WAIT_MS)] == 1
    assert counts.delay_ms == WAIT_MS


def test_what_a_full_buffer_brings_on_is_counted_as_a_limit(store: BlockStore) -> None:
    sampler = Sampler(POLICIES, store, Limits(buffered_spans=20))
    sampler.assign(0)
    sampler.submit(batch_of([lone(number, 10_000 + number) for number in range(30)]))
    counts = sampler.counts(0)
    assert by_trigger(counts) == {("not_sampled", "limit"): 11}
    # Stream time is that of the newest record, 29 ms after the oldest.
    assert counts.delay_ms == sum(29 - number for number in range(11))
    assert counts.delays[0] == 11


def test_policies_are_counted_by_what_brought_their_verdicts_about(store: BlockStore) -> None:
    sampler = Sampler(POLICIES, store, Limits(buffered_spans=20))
    sampler.assign(0)
    error = delimited(15, b"\x18\x02")

    def failing(number: int, time_ms: int) -> PlainRecord:
        ids = delimited(1, bytes([number + 1]) * 16) + delimited(2, b"spanspan")
        value = delimited(1, delimited(2, delimited(2, ids + delimited(4, b"nowhere.") + error)))
        return PlainRecord(number, time_ms, value)

    sampler.submit(batch_of([failing(number, 10_000) for number in range(30)]))
    sampler.submit(batch_of([failing(30, 10_000 + WAIT_MS + BUCKET_MS)]))
    sampler.finish()
    errors = sampler.policy_counts()["default", "errors"]
    assert dict(zip(TRIGGERS, errors.named_by, strict=True)) == {
        "complete": 0, "timeout": 19, "limit": 11, "shutdown": 1,
    }  # fmt: skip
    assert errors.named == errors.votes == 31
    assert sampler.policy_counts()["default", "slow"].named == 0
