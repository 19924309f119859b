"""What comes out of a kept trace: each of its spans once, in records of a bounded size."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Checkpoint, Emission, Limits, PastDecision, Sampler
from streamsampler.spans.payload import new_traces, spans_of
from streamsampler.spans.records import Headers, RecordBatch, join
from streamsampler.store import BlockStore

# Nobody knows with which chance: spans state nothing new, and leave as they came.
ALWAYS = load_policy_set(
    """
    decision_wait: 1s
    policies: [{name: all, type: rate_limiting, rate_limiting: {spans_per_second: 1000000000}}]
    """,
    "table",
)
SMALL_BLOCKS = Limits(block_bytes=200)
TRACE, OTHER = b"t" * 16, b"u" * 16
Identity = tuple[int, int, int]  # number of the span, kind, start


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("emission")
    with BlockStore(path / "blocks") as opened:
        yield opened


def sampler_of(store: BlockStore, limits: Limits = SMALL_BLOCKS) -> Sampler:
    sampler = Sampler(ALWAYS, store, limits)
    sampler.assign(0)
    return sampler


def record(
    *numbers: int, trace: bytes = TRACE, kind: int = 0, start: int = 5, name: bytes = b"n"
) -> bytes:
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    for number in numbers:
        span = scope.spans.add()
        span.trace_id, span.span_id, span.name = trace, number.to_bytes(8), name
        span.kind, span.start_time_unix_nano = kind, start
    return data.SerializeToString()


def batch_of(
    values: Sequence[bytes],
    headers: Sequence[Headers | None] | None = None,
    first: int = 0,
    time_ms: int = 1000,
) -> RecordBatch:
    n = len(values)
    times = [time_ms] * n
    nothing = [None] * n
    return join([0] * n, range(first, first + n), times, nothing, values, headers or nothing)


def kept(sampler: Sampler, *batches: RecordBatch) -> list[Emission]:
    emissions = []
    for batch in batches:
        emissions += sampler.submit(batch).emissions
    emissions += sampler.finish().emissions
    assert sampler.counts(0).conserved()
    assert sampler.counts(0).kept == sum(emission.spans for emission in emissions)
    return emissions


def identities(emission: Emission) -> list[Identity]:
    found = [span for _, _, span in spans_of(emission.value)]
    assert {span.trace_id for span in found} == {emission.trace_id}
    assert len(found) == emission.spans
    return [(int.from_bytes(span.span_id), span.kind, span.start_time_unix_nano) for span in found]


# Records as they came.


def test_the_records_of_a_trace_are_joined_in_their_order(store: BlockStore) -> None:
    values = [record(n, name=b"x" * n * 10) for n in (3, 1, 2)]
    others = [record(n, trace=OTHER) for n in (4, 5)]
    first, second = kept(
        sampler_of(store),
        batch_of([values[0], others[0], values[1]]),
        batch_of([others[1], values[2]], first=3),
    )
    assert {first.trace_id: first, second.trace_id: second} == {
        TRACE: Emission(0, TRACE, b"".join(values), (), 3, late=False),
        OTHER: Emission(0, OTHER, b"".join(others), (), 2, late=False),
    }


def test_a_trace_is_gathered_from_many_blocks(store: BlockStore) -> None:
    values = [record(n, name=b"x" * 150) for n in range(1, 41)]
    batches = [batch_of([value], first=at) for at, value in enumerate(values)]
    (emission,) = kept(sampler_of(store), *batches)
    assert emission.value == b"".join(values)
    assert emission.spans == 40


# Duplicates.


DUPLICATES: dict[str, tuple[list[list[bytes]], list[Identity], int]] = {
    "in one record": ([[record(1, 2, 1)]], [(1, 0, 5), (2, 0, 5)], 1),
    "the record again": ([[record(1, 2)] * 2], [(1, 0, 5), (2, 0, 5)], 2),
    "the record again in the next batch": (
        [[record(1, 2)], [record(1, 2)]], [(1, 0, 5), (2, 0, 5)], 2),
    "one of a record's spans": (
        [[record(1, 2), record(2, 3)]], [(1, 0, 5), (2, 0, 5), (3, 0, 5)], 1),
    "the same again in another trace's record": (
        [[record(1, 2), record(3, trace=OTHER) + record(2)]],
        [(1, 0, 5), (2, 0, 5), (3, 0, 5)], 1),
    "three times": ([[record(1)], [record(1, 1)], [record(1)]], [(1, 0, 5)], 3),
    "another kind stays": (
        [[record(1, kind=2), record(1, kind=3)]], [(1, 2, 5), (1, 3, 5)], 0),
    "another kind in one record stays": (
        [[record(1, kind=2) + record(1, kind=3)]], [(1, 2, 5), (1, 3, 5)], 0),
    "another start stays": ([[record(1), record(1, start=6)]], [(1, 0, 5), (1, 0, 6)], 0),
    "another name is the same span": (
        [[record(1, name=b"first"), record(1, name=b"second")]], [(1, 0, 5)], 1),
    "both kinds twice": (
        [[record(1, kind=2) + record(1, kind=3)] * 2], [(1, 2, 5), (1, 3, 5)], 2),
    "the same id in another trace": (
        [[record(1), record(1, trace=OTHER)]], [(1, 0, 5), (1, 0, 5)], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", DUPLICATES)
def test_a_span_comes_out_once(store: BlockStore, name: str) -> None:
    batches, expected, duplicates = DUPLICATES[name]
    sampler = sampler_of(store)
    first = 0
    made = []
    for values in batches:
        made.append(batch_of(values, first=first))
        first += len(values)
    emissions = kept(sampler, *made)
    assert sorted(one for emission in emissions for one in identities(emission)) == expected
    assert sampler.counts(0).duplicates == duplicates


def test_of_a_span_that_comes_twice_the_first_comes_out(store: BlockStore) -> None:
    values = [record(1, name=b"first"), record(1, 2, name=b"second")]
    (emission,) = kept(sampler_of(store), batch_of(values))
    names = {span.span_id[-1]: span.name for _, _, span in spans_of(emission.value)}
    assert names == {1: b"first", 2: b"second"}


SPAN_NUMBERS = st.tuples(st.integers(1, 5), st.integers(0, 1), st.booleans())


@given(
    st.lists(st.lists(SPAN_NUMBERS, min_size=1, max_size=5), min_size=1, max_size=6),
    st.integers(1, 6),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_twice_comes_out_once(
    store: BlockStore, records: list[list[tuple[int, int, bool]]], size: int
) -> None:
    traces = (TRACE, OTHER)
    values = [
        b"".join(record(number, kind=kind, trace=traces[other]) for number, kind, other in spans)
        for spans in records
    ]
    cuts = range(0, len(values), size)
    batches = [batch_of(values[at : at + size], first=at) for at in cuts]
    found = [
        (emission.trace_id, one)
        for emission in kept(sampler_of(store), *batches)
        for one in identities(emission)
    ]
    given_spans = {
        (traces[other], (number, kind, 5)) for spans in records for number, kind, other in spans
    }
    assert sorted(found) == sorted(given_spans)


# The largest record.


@pytest.mark.parametrize("most_bytes", [1, 100, 250, 251, 1000, 10_000])
def test_a_large_trace_is_cut_between_records(store: BlockStore, most_bytes: int) -> None:
    sizes = [10, 30, 200, 5, 5, 5, 90, 90, 400, 1]
    values = [record(n, name=b"x" * size) for n, size in enumerate(sizes, 1)]
    limits = Limits(block_bytes=500, max_record_bytes=most_bytes)
    emissions = kept(sampler_of(store, limits), batch_of(values))
    assert b"".join(emission.value for emission in emissions) == b"".join(values)
    found = [identities(emission) for emission in emissions]
    assert [one for some in found for one in some] == [(n, 0, 5) for n in range(1, 11)]
    for emission, behind in zip(emissions, [*emissions[1:], None], strict=True):
        # One record alone may be larger; no cut is made where the next record would fit too.
        assert len(emission.value) <= most_bytes or emission.spans == 1
        if behind is not None:
            first = values[found[emissions.index(behind)][0][0] - 1]
            assert len(emission.value) + len(first) > most_bytes


@pytest.mark.parametrize("more", [record(1, 5), record(5) + record(1, trace=OTHER), record(1)])
@pytest.mark.parametrize("most_bytes", [1, 700, 800, 2000])
def test_a_large_trace_that_is_taken_apart_is_cut_too(
    store: BlockStore, more: bytes, most_bytes: int
) -> None:
    values = [record(n, name=b"x" * 300) for n in (1, 2, 3, 4)]
    sampler = sampler_of(store, Limits(max_record_bytes=most_bytes))
    emissions = [one for one in kept(sampler, batch_of([*values, more])) if one.trace_id == TRACE]
    numbers = [number for one in emissions for number, _, _ in identities(one)]
    assert sorted(numbers) == [1, 2, 3, 4, *([5] if len(more) > len(record(1)) else [])]
    assert all(len(one.value) <= most_bytes or one.spans == 1 for one in emissions)


@pytest.mark.parametrize("attributes", [False, True])
@pytest.mark.parametrize("more", [b"", record(99, trace=OTHER)])
def test_a_single_record_that_is_too_large_is_cut_between_its_spans(
    store: BlockStore, *, attributes: bool, more: bytes
) -> None:
    limits = Limits(max_record_bytes=1_000)
    sampler = Sampler(ALWAYS, store, limits, sampling_attributes=attributes)
    sampler.assign(0)
    values = [record(*range(1, 61), name=b"x" * 20) + more]
    emissions = [one for one in kept(sampler, batch_of(values)) if one.trace_id == TRACE]
    assert len(emissions) > 3
    assert all(len(one.value) <= 1_000 for one in emissions)
    assert [number for one in emissions for number, _, _ in identities(one)] == [*range(1, 61)]


def test_late_spans_of_one_record_are_cut_likewise(store: BlockStore) -> None:
    sampler = sampler_of(store, Limits(max_record_bytes=1_000))
    sampler.submit(batch_of([record(100)]))
    sampler.advance(0, 10_000)
    late = batch_of([record(*range(1, 61), name=b"x" * 20)], first=1, time_ms=10_000)
    emissions = sampler.submit(late).emissions
    assert len(emissions) > 3
    assert all(one.late and len(one.value) <= 1_000 for one in emissions)
    assert [number for one in emissions for number, _, _ in identities(one)] == [*range(1, 61)]
    assert sampler.counts(0).kept == 61


def test_every_part_of_a_cut_trace_has_its_headers(store: BlockStore) -> None:
    pairs = [("tenant", b"gold")]
    values = [record(n, name=b"x" * 100) for n in (1, 2, 3)]
    limits = Limits(max_record_bytes=150)
    emissions = kept(sampler_of(store, limits), batch_of(values, [pairs] * 3))
    assert [emission.headers for emission in emissions] == [tuple(pairs)] * 3
    assert {emission.trace_id for emission in emissions} == {TRACE}


# Headers.


HEADERS: dict[str, tuple[list[Headers | None], tuple[tuple[str, bytes], ...]]] = {
    "none": ([None, None, None], ()),
    "empty": ([[], None, []], ()),
    "the same on each": ([[("a", b"1")]] * 3, (("a", b"1"),)),
    "on one": ([None, [("a", b"1"), ("b", b"2")], None], (("a", b"1"), ("b", b"2"))),
    "two values of one key": (
        [[("a", b"1")], [("a", b"2")], [("a", b"1")]], (("a", b"1"), ("a", b"2"))),
    "twice on one": ([[("a", b"1"), ("a", b"1")], None, None], (("a", b"1"),)),
    "in the order of the records": (
        [[("b", b"")], [("a", b"\xff")], [("b", b"")]], (("b", b""), ("a", b"\xff"))),
}  # fmt: skip


@pytest.mark.parametrize("block_bytes", [1, 10_000])
@pytest.mark.parametrize("name", HEADERS)
def test_headers_come_out_once_each(store: BlockStore, name: str, block_bytes: int) -> None:
    given_pairs, expected = HEADERS[name]
    sampler = sampler_of(store, Limits(block_bytes=block_bytes))
    values = [record(n) for n in (1, 2, 3)]
    other = record(9, trace=OTHER)
    batch = batch_of([other, *values], [[("other", b"trace's")], *given_pairs])
    emissions = {one.trace_id: one for one in kept(sampler, batch)}
    assert emissions[TRACE].headers == expected
    assert emissions[OTHER].headers == (("other", b"trace's"),)


# Late spans.


def late_after(
    store: BlockStore, values: Sequence[bytes], headers: Headers | None = None
) -> tuple[Sampler, list[Emission]]:
    """Decide TRACE, then bring these records."""
    sampler = sampler_of(store)
    sampler.submit(batch_of([record(1)]))
    assert [one.spans for one in sampler.advance(0, 5000).emissions] == [1]
    outcome = sampler.submit(batch_of(values, [headers] * len(values), first=1, time_ms=5000))
    assert sampler.counts(0).conserved()
    return sampler, outcome.emissions


def test_late_spans_come_out_as_they_came(store: BlockStore) -> None:
    value = record(2, 3, name=b"late\xff")
    sampler, emissions = late_after(store, [value], [("a", b"1")])
    assert emissions == [Emission(0, TRACE, value, (("a", b"1"),), 2, late=True)]
    counts = sampler.counts(0)
    assert (counts.late_sampled, counts.kept, counts.buffered) == (2, 3, 0)


def test_headers_of_a_late_record_come_out_once_each(store: BlockStore) -> None:
    _, (emission,) = late_after(store, [record(2)], [("a", b"1"), ("b", b""), ("a", b"1")])
    assert emission.headers == (("a", b"1"), ("b", b""))


def test_late_spans_of_a_mixed_record_come_out_alone(store: BlockStore) -> None:
    sampler, emissions = late_after(store, [record(9, trace=OTHER) + record(2) + record(3)])
    (emission,) = emissions
    assert emission.late
    assert identities(emission) == [(2, 0, 5), (3, 0, 5)]
    assert sampler.counts(0).buffered == 1


def test_a_late_span_that_its_record_has_twice_comes_out_once(store: BlockStore) -> None:
    sampler, emissions = late_after(store, [record(2, 2, 3)])
    (emission,) = emissions
    assert identities(emission) == [(2, 0, 5), (3, 0, 5)]
    assert sampler.counts(0).duplicates == 1


def test_late_records_come_out_one_by_one(store: BlockStore) -> None:
    _, emissions = late_after(store, [record(2), record(3)])
    assert [identities(one) for one in emissions] == [[(2, 0, 5)], [(3, 0, 5)]]


# Blocks.


def test_a_decided_trace_leaves_no_block_behind(store: BlockStore) -> None:
    sampler = sampler_of(store)
    for at in range(0, 200, 4):
        values = [
            record(n, trace=(1 + n // 7).to_bytes(16), name=b"x" * 60)
            for n in range(1 + at, 5 + at)
        ]
        sampler.submit(batch_of(values, first=at, time_ms=1000 + 40 * at))
        sampler.committed(0, sampler.checkpoint(0))
    held = len(list(store.blocks(0)))
    assert 0 < held < 40
    sampler.finish()
    assert len(list(store.blocks(0))) == held
    sampler.committed(0, sampler.checkpoint(0))
    assert list(store.blocks(0)) == []


def test_no_block_goes_before_its_commit(store: BlockStore) -> None:
    sampler = sampler_of(store)
    sampler.submit(batch_of([record(n, name=b"x" * 200) for n in (1, 2, 3)]))
    before = sampler.checkpoint(0)
    sampler.submit(batch_of([record(4, trace=OTHER, name=b"y" * 200)], first=3, time_ms=9000))
    held = len(list(store.blocks(0)))
    # A commit of what stood before the last batch says nothing of what that batch decided.
    sampler.committed(0, before)
    assert len(list(store.blocks(0))) == held == 4
    sampler.committed(0, sampler.checkpoint(0))
    assert len(list(store.blocks(0))) == 1


# What spans state of sampling when they leave.

HEAD = "{decision_wait: 1s, policies: [{name: half, type: probabilistic, probabilistic: "
BASELINE = load_policy_set(HEAD + "{sampling_percentage: 50, mode: equalizing}}]}", "table")
R = b"ot=rv:ffffffffffffff"


def states(emissions: Sequence[Emission]) -> list[bytes]:
    return [
        span.trace_state.encode()
        for emission in emissions
        for resource in TracesData.FromString(emission.value).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def stating(*tracestates: bytes, first: int = 1) -> bytes:
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for number, state in enumerate(tracestates, first):
        scope.spans.add(
            trace_id=TRACE, span_id=number.to_bytes(8, "big"), trace_state=state.decode(),
            parent_span_id=b"" if number == 1 else (1).to_bytes(8, "big"),
        )  # fmt: skip
    return data.SerializeToString()


def test_each_span_states_the_greater_of_its_threshold_and_the_verdicts(store: BlockStore) -> None:
    sampler = Sampler(BASELINE, store)
    sampler.assign(0)
    outcome = sampler.submit(batch_of([stating(R, R + b";th:c,a=b", b"a=b")]))
    emissions = [*outcome.emissions, *sampler.finish().emissions]
    assert states(emissions) == [
        b"ot=th:8;rv:ffffffffffffff", b"ot=rv:ffffffffffffff;th:c,a=b", b"ot=th:8,a=b",
    ]  # fmt: skip


def test_late_spans_state_it_too_also_after_a_takeover(store: BlockStore) -> None:
    sampler = Sampler(BASELINE, store)
    sampler.assign(0)
    sampler.submit(batch_of([stating(R)]))
    decided = sampler.advance(0, 60_000).decisions
    late = sampler.submit(batch_of([stating(R, first=2)], first=1))
    assert states(late.emissions) == [b"ot=th:8;rv:ffffffffffffff"]
    (one,) = decided
    past = PastDecision(
        one.trace_id, one.decision, one.policy, one.decided_at_ms, one.spans_out, one.threshold
    )
    other = Sampler(BASELINE, store)
    other.assign(0, Checkpoint(2, 2, 60_000), [past])
    late = other.submit(batch_of([stating(R, first=3)], first=2))
    assert states(late.emissions) == [b"ot=th:8;rv:ffffffffffffff"]


def test_attributes_say_by_what_it_was_kept_where_that_is_wanted(store: BlockStore) -> None:
    sampler = Sampler(BASELINE, store, sampling_attributes=True)
    sampler.assign(0)
    sampler.submit(batch_of([stating(R)]))
    (emission,) = sampler.advance(0, 60_000).emissions
    (found,) = [span for _, _, span in spans_of(emission.value)]
    said = {one.key: (one.value.string_value, one.value.double_value) for one in found.attributes}
    assert said == {
        b"sampling.policy": (b"half", 0.0),
        b"sampling.adjusted_count": (b"", 2.0),
    }
