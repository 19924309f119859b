"""What the engine promises where batches end, sets are replaced and duplicates meet limits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Decision, Emission, Limits, Outcome, Sampler
from streamsampler.spans.payload import new_traces, spans_of
from streamsampler.spans.records import RecordBatch, join
from streamsampler.store import BlockStore

ERRORS = load_policy_set(
    """
    decision_wait: 1s
    decision_ttl: 1s
    policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
    """,
    "table",
)
ALWAYS = load_policy_set("policies: [{name: all, type: always_sample}]", "table")
A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("found")
    with BlockStore(path / "blocks") as opened:
        yield opened


def record(
    trace: bytes, *numbers: int, status: int = 0, size: int = 0, parent: bytes = b"parent.."
) -> bytes:
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    for number in numbers:
        span = scope.spans.add()
        span.trace_id, span.span_id, span.parent_span_id = trace, number.to_bytes(8), parent
        span.name = b"x" * size
        span.status.code = status
    return data.SerializeToString()


Record = tuple[int, bytes]  # time, value


def batch_of(records: Sequence[Record], first: int) -> RecordBatch:
    n = len(records)
    times, values = [time for time, _ in records], [value for _, value in records]
    return join([0] * n, range(first, first + n), times, [None] * n, values, [None] * n)


def decided(sampler: Sampler, batches: Sequence[Sequence[Record]]) -> list[Decision]:
    outcomes: list[Outcome] = []
    first = 0
    for records in batches:
        outcomes.append(sampler.submit(batch_of(records, first)))
        first += len(records)
    outcomes.append(sampler.finish())
    assert sampler.counts(0).conserved()
    return [one for outcome in outcomes for one in outcome.decisions]


def sampler_of(store: BlockStore, limits: Limits | None = None) -> Sampler:
    sampler = Sampler(ERRORS, store, limits)
    sampler.assign(0)
    return sampler


# Past decisions are forgotten by stream time alone.


def test_a_decision_is_forgotten_wherever_batches_end(store: BlockStore) -> None:
    records = [
        (0, record(A, 1)),
        (2000, record(B, 1)),  # A is decided
        (9000, record(C, 1)),  # B is decided; A's decision is long past its time
        (9000, record(A, 2, status=2)),
    ]
    whole = decided(sampler_of(store), [records])
    assert decided(sampler_of(store), [[one] for one in records]) == whole


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 500, 1000, 2500]),
            st.sampled_from([A, B, C]),
            st.integers(1, 3),
            st.sampled_from([0, 0, 2]),
        ),
        max_size=12,
    ),
    st.integers(1, 12),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_verdicts_do_not_depend_on_batches_when_decisions_are_forgotten(
    store: BlockStore, steps: list[tuple[int, bytes, int, int]], size: int
) -> None:
    now = 0
    records = []
    for pause, trace, number, status in steps:
        now += pause
        records.append((now, record(trace, number, status=status)))
    cuts = [records[at : at + size] for at in range(0, len(records), size)]
    assert decided(sampler_of(store), cuts) == decided(sampler_of(store), [records])


# A set that is replaced by itself.


def with_set_renewed(sampler: Sampler, records: Sequence[Record]) -> list[Decision]:
    found = []
    for at, one in enumerate(records):
        found += sampler.submit(batch_of([one], at)).decisions
        sampler.use(ERRORS)
    return found + sampler.finish().decisions


def test_a_duplicate_does_not_count_once_the_set_is_renewed(store: BlockStore) -> None:
    # The second record's span 1 is a duplicate: neither its status nor its bytes come out.
    records = [(0, record(A, 1)), (0, record(A, 1, status=2) + record(A, 2))]
    (plain,) = decided(sampler_of(store), [[one] for one in records])
    (renewed,) = with_set_renewed(sampler_of(store), records)
    assert plain.decision == "not_sampled"
    assert renewed == plain


def test_spans_of_a_forgotten_decision_do_not_count_once_the_set_is_renewed(
    store: BlockStore,
) -> None:
    policies = load_policy_set(
        """
        decision_wait: 30s
        completion_grace: 1s
        decision_ttl: 1s
        policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
        """,
        "table",
    )
    sampler = Sampler(policies, store)
    sampler.assign(0)
    # A is complete with an error; B, in the same block, waits for a parent.
    sampler.submit(batch_of([(0, record(A, 1, status=2, parent=b"")), (0, record(B, 1))], 0))
    assert [one.decision for one in sampler.advance(0, 1000).decisions] == ["sampled"]
    # C is decided, and the decision on A forgotten.
    sampler.submit(batch_of([(5000, record(C, 1, parent=b""))], 2))
    assert [one.trace_id for one in sampler.advance(0, 6000).decisions] == [C]
    # A begins anew, without an error.
    sampler.submit(batch_of([(6000, record(A, 2))], 3))
    sampler.use(policies)
    found = {one.trace_id: one.decision for one in sampler.finish().decisions}
    assert found == {A: "not_sampled", B: "not_sampled"}


# A large trace with duplicates, or in mixed records, is cut as any other.


def kept(store: BlockStore, values: Sequence[bytes], most_bytes: int) -> list[Emission]:
    sampler = Sampler(ALWAYS, store, Limits(max_record_bytes=most_bytes))
    sampler.assign(0)
    sampler.submit(batch_of([(0, value) for value in values], 0))
    return sampler.finish().emissions


LARGE = [record(A, n, size=300) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", ["a duplicate", "a mixed record"])
def test_no_emission_is_larger_than_the_largest_record(store: BlockStore, name: str) -> None:
    more = record(A, 1, 5) if name == "a duplicate" else record(A, 5) + record(B, 1)
    emissions = [one for one in kept(store, [*LARGE, more], 800) if one.trace_id == A]
    numbers = [span.span_id[-1] for one in emissions for _, _, span in spans_of(one.value)]
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert sum(one.spans for one in emissions) == 5
    assert [len(one.value) for one in emissions if len(one.value) > 800] == []


def test_headers_of_a_late_record_come_out_once_each(store: BlockStore) -> None:
    sampler = Sampler(ALWAYS, store)
    sampler.assign(0)
    sampler.submit(batch_of([(0, record(A, 1))], 0))
    sampler.advance(0, 40_000)
    pairs = [("a", b"1"), ("a", b"1")]
    late = join([0], [1], [41_000], [None], [record(A, 2)], [pairs])
    (emission,) = sampler.submit(late).emissions
    assert emission.headers == (("a", b"1"),)
