"""Limits: a trace that is too large gets a real verdict early, and all that follows obeys it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Decision, Limits, Outcome, Sampler
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import RecordBatch, join
from streamsampler.store import BlockStore

WAIT_MS, GRACE_MS, TTL_MS = 10_000, 1_000, 30_000
POLICIES = load_policy_set(
    f"""
    decision_wait: {WAIT_MS}ms
    completion_grace: {GRACE_MS}ms
    decision_ttl: {TTL_MS}ms
    policies: [{{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}]
    """,
    "table",
)
TRACE = b"t" * 16
ROOT = 0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("limits")
    with BlockStore(path / "blocks") as opened:
        yield opened


def sampler_of(store: BlockStore, **limits: int) -> Sampler:
    sampler = Sampler(POLICIES, store, Limits(**limits))
    sampler.assign(0)
    return sampler


def record(
    *numbers: int, trace: bytes = TRACE, error: bool = False, size: int = 0, parent: int = 99
) -> bytes:
    """Spans whose parent never comes, unless it is ROOT."""
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    for number in numbers:
        span = scope.spans.add()
        span.trace_id, span.span_id, span.name = trace, number.to_bytes(8), b"x" * size
        if parent:
            span.parent_span_id = parent.to_bytes(8)
        if error:
            span.status.code = 2
    return data.SerializeToString()


class Engine:
    """An engine that gets records one after the other, in batches of any size."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.offset = 0

    def submit(self, values: Sequence[bytes], time_ms: int = 1000) -> Outcome:
        n = len(values)
        outcome = self.sampler.submit(self._batch(values, time_ms))
        self.offset += n
        assert self.sampler.counts(0).conserved()
        return outcome

    def _batch(self, values: Sequence[bytes], time_ms: int) -> RecordBatch:
        n = len(values)
        offsets = range(self.offset, self.offset + n)
        return join([0] * n, offsets, [time_ms] * n, [None] * n, values, [None] * n)


@pytest.fixture
def engine(store: BlockStore) -> Engine:
    return Engine(sampler_of(store, spans_per_trace=3))


def verdicts(outcome: Outcome) -> list[tuple[str, str, int]]:
    return [(one.decision, one.trigger, one.spans) for one in outcome.decisions]


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([[record(1), record(2)]], [[]]),
        ([[record(1), record(2), record(3)]], [[3]]),
        ([[record(1, 2, 3)]], [[3]]),
        ([[record(1)], [record(2)], [record(3)]], [[], [], [3]]),
        # What came in one record stays together.
        ([[record(1, 2, 3, 4, 5)]], [[5]]),
        ([[record(1, 2)], [record(3, 4)]], [[], [4]]),
        # Duplicates do not count.
        ([[record(1, 2), record(1, 2), record(2)]], [[]]),
        # Another trace's spans do not count.
        ([[record(1, 2), record(3, 4, trace=b"u" * 16)]], [[]]),
    ],
)
def test_a_trace_with_so_many_spans_is_decided_at_once(
    engine: Engine, batches: list[list[bytes]], expected: list[list[int]]
) -> None:
    for values, spans in zip(batches, expected, strict=True):
        outcome = engine.submit(values)
        assert verdicts(outcome) == [("not_sampled", "limit", count) for count in spans]
        assert [one.decided_at_ms for one in outcome.decisions] == [1000] * len(spans)


def test_a_trace_with_so_many_bytes_is_decided_at_once(store: BlockStore) -> None:
    values = [record(n, size=100) for n in (1, 2, 3)]
    most = sum(map(len, values))
    exact, larger = (
        Engine(sampler_of(store, bytes_per_trace=most)),
        Engine(sampler_of(store, bytes_per_trace=most + 1)),
    )
    assert [len(exact.submit([value]).decisions) for value in values] == [0, 0, 1]
    assert [len(larger.submit([value]).decisions) for value in values] == [0, 0, 0]


def test_the_bytes_of_a_decision_are_those_of_its_records(engine: Engine) -> None:
    values = [record(1, size=50), record(2), record(3, size=7)]
    (decision,) = engine.submit(values).decisions
    assert decision.size_bytes == sum(map(len, values))
    assert decision.trigger == "limit"


@pytest.mark.parametrize("error", [True, False])
@pytest.mark.parametrize("cut", [3, 4, 5, 6])
def test_spans_that_follow_obey_the_verdict(store: BlockStore, error: bool, cut: int) -> None:  # noqa: FBT001
    engine = Engine(sampler_of(store, spans_per_trace=3))
    values = [record(n, error=error and n == 2) for n in range(1, 7)]
    outcomes = [engine.submit(values[:cut]), engine.submit(values[cut:])]
    decisions = [one for outcome in outcomes for one in outcome.decisions]
    assert [(one.decision, one.spans) for one in decisions] == [
        ("sampled" if error else "not_sampled", 3)
    ]
    emissions = [one for outcome in outcomes for one in outcome.emissions]
    assert [(one.spans, one.late) for one in emissions] == (
        [(3, False), (1, True), (1, True), (1, True)] if error else []
    )
    counts = engine.sampler.counts(0)
    assert (counts.kept, counts.not_sampled) == ((6, 0) if error else (0, 6))
    assert (counts.late_sampled, counts.late_not_sampled) == ((3, 0) if error else (0, 3))
    assert counts.buffered == 0


def test_an_error_that_comes_after_the_verdict_is_counted(engine: Engine) -> None:
    engine.submit([record(1, 2, 3)])
    outcome = engine.submit([record(4, error=True), record(5)])
    assert outcome == Outcome([], [], [])
    counts = engine.sampler.counts(0)
    assert (counts.late_not_sampled, counts.late_errors) == (2, 1)


def test_a_large_trace_does_not_touch_the_others(engine: Engine) -> None:
    small = b"u" * 16
    outcome = engine.submit(
        [record(1, trace=small), record(1, 2), record(3) + record(2, trace=small)]
    )
    assert [one.trace_id for one in outcome.decisions] == [TRACE]
    assert engine.sampler.counts(0).buffered == 2
    (decision,) = engine.sampler.finish().decisions
    assert (decision.trace_id, decision.spans, decision.trigger) == (small, 2, "shutdown")


@pytest.mark.parametrize(
    ("values", "time_ms", "trigger"),
    [
        ([record(1)], 1000 + WAIT_MS - 1, None),
        ([record(1)], 1000 + WAIT_MS, "timeout"),
        ([record(1, parent=ROOT)], 1000 + GRACE_MS - 1, None),
        ([record(1, parent=ROOT)], 1000 + GRACE_MS, "complete"),
        ([record(1, parent=ROOT), record(2, parent=1)], 1000 + GRACE_MS, "complete"),
        ([record(2, parent=1), record(1, parent=ROOT)], 1000 + GRACE_MS, "complete"),
        # The root is here, a parent is not.
        ([record(1, parent=ROOT), record(2, parent=9)], 1000 + GRACE_MS, None),
        ([record(1, parent=ROOT), record(2, parent=9)], 1000 + WAIT_MS, "timeout"),
        # All parents are here, the root is not.
        ([record(1, parent=2), record(2, parent=1)], 1000 + WAIT_MS - 1, None),
        ([record(1, parent=ROOT), record(2, 3, parent=1)], 1000, "limit"),
    ],
)
def test_each_trigger_is_named(
    engine: Engine, values: list[bytes], time_ms: int, trigger: str | None
) -> None:
    decisions = engine.submit(values).decisions + engine.sampler.advance(0, time_ms).decisions
    assert [one.trigger for one in decisions] == ([trigger] if trigger else [])
    rest = engine.sampler.finish().decisions
    assert [one.trigger for one in rest] == ([] if trigger else ["shutdown"])


def test_a_new_span_of_a_complete_trace_renews_the_grace(engine: Engine) -> None:
    engine.submit([record(1, parent=ROOT)])
    assert engine.submit([record(2, parent=1)], 1000 + GRACE_MS - 1).decisions == []
    assert engine.sampler.advance(0, 1000 + 2 * GRACE_MS - 2).decisions == []
    assert len(engine.sampler.advance(0, 1000 + 2 * GRACE_MS - 1).decisions) == 1


def test_time_that_runs_back_changes_nothing(engine: Engine) -> None:
    engine.submit([record(1)], 50_000)
    assert engine.submit([record(2)], 1000).decisions == []
    assert engine.sampler.advance(0, 2000).decisions == []
    assert engine.sampler.stream_time_ms(0) == 50_000


def test_records_without_a_time_have_that_of_their_largest_end(engine: Engine) -> None:
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    for number, end in ((1, 7_000_000_000), (2, 3_000_000_000)):
        span = scope.spans.add()
        span.trace_id, span.span_id = TRACE, number.to_bytes(8)
        span.end_time_unix_nano = end
    engine.submit([data.SerializeToString()], -1)
    assert engine.sampler.stream_time_ms(0) == 7000


# Past decisions.


def test_decisions_beyond_the_memory_are_forgotten_and_counted(store: BlockStore) -> None:
    engine = Engine(sampler_of(store, spans_per_trace=1, decisions=4))
    traces = [bytes([n]) * 16 for n in range(1, 8)]
    for trace in traces:
        assert len(engine.submit([record(1, trace=trace)]).decisions) == 1
    assert engine.sampler.counts(0).decisions_forgotten == 3
    # The oldest are forgotten, so their next span begins a trace anew.
    outcome = engine.submit([record(2, trace=trace) for trace in traces])
    assert [one.trace_id for one in outcome.decisions] == traces[:3]
    assert engine.sampler.counts(0).late_not_sampled == 4


def test_a_decision_is_forgotten_when_its_time_is_over(engine: Engine) -> None:
    engine.submit([record(1, 2, 3)])
    outcome = engine.submit([record(4)], 1000 + TTL_MS - 1000)
    assert (outcome.decisions, engine.sampler.counts(0).late_not_sampled) == ([], 1)
    # Another decision, a while after; it sees to it that old ones are forgotten.
    engine.submit([record(1, 2, 3, trace=b"u" * 16)], 1000 + TTL_MS + 1000)
    engine.submit([record(5)], 1000 + TTL_MS + 1000)
    assert engine.sampler.counts(0).buffered == 1
    assert engine.sampler.counts(0).decisions_forgotten == 0


A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
FORGETFUL = load_policy_set(
    """
    decision_wait: 1s
    decision_ttl: 1s
    policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
    """,
    "table",
)
Timed = list[tuple[int, bytes]]  # time, value


def decided(store: BlockStore, batches: Sequence[Timed]) -> list[Decision]:
    sampler = Sampler(FORGETFUL, store)
    sampler.assign(0)
    found = []
    first = 0
    for some in batches:
        n = len(some)
        times, values = [time for time, _ in some], [value for _, value in some]
        offsets = range(first, first + n)
        batch = join([0] * n, offsets, times, [None] * n, values, [None] * n)
        found += sampler.submit(batch).decisions
        first += n
        assert sampler.counts(0).conserved()
    return found + sampler.finish().decisions


def test_a_decision_is_forgotten_wherever_batches_end(store: BlockStore) -> None:
    records = [
        (0, record(1, trace=A)),
        (2000, record(1, trace=B)),  # A is decided
        (9000, record(1, trace=C)),  # B is decided; A's decision is long past its time
        (9000, record(2, trace=A, error=True)),
    ]
    one_by_one = decided(store, [[one] for one in records])
    assert decided(store, [records]) == one_by_one
    assert [one.trace_id for one in one_by_one].count(A) == 2


@given(
    st.integers(1, 25).flatmap(
        lambda n: st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 500, 1000, 2500]),
                st.sampled_from([A, B, C]),
                st.integers(1, 3),
                st.booleans(),
            ),
            min_size=n,
            max_size=n,
        )
    ),
    st.integers(2, 25),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_verdicts_do_not_depend_on_batches_when_decisions_are_forgotten(
    store: BlockStore, steps: list[tuple[int, bytes, int, bool]], size: int
) -> None:
    now = 0
    records = []
    for pause, trace, number, error in steps:
        now += pause
        records.append((now, record(number, trace=trace, error=error)))
    cuts = [records[at : at + size] for at in range(0, len(records), size)]
    assert decided(store, cuts) == decided(store, [[one] for one in records])


# Partitions.


def test_a_revoked_partition_is_forgotten_and_decides_nothing(engine: Engine) -> None:
    engine.submit([record(1)])
    sampler = engine.sampler
    assert list(sampler.partitions) == [0]
    sampler.revoke(0)
    assert list(sampler.partitions) == []
    assert sampler.finish() == Outcome([], [], [])
    sampler.assign(0)
    assert sampler.counts(0).spans_in == 0
    assert sampler.checkpoint(0).position == 0


def test_the_low_watermark_is_the_first_offset_still_needed(engine: Engine) -> None:
    sampler = engine.sampler
    for number, trace in enumerate([b"a" * 16, b"b" * 16, b"a" * 16, b"c" * 16]):
        engine.submit([record(number + 1, trace=trace)], 1000 + 100 * number)
        assert (sampler.checkpoint(0).low_watermark, sampler.checkpoint(0).position) == (
            0, number + 1,
        )  # fmt: skip
    sampler.advance(0, 1000 + WAIT_MS)
    assert sampler.checkpoint(0).low_watermark == 1
    assert sampler.checkpoint(0).stream_time_ms == 1100
    sampler.advance(0, 1100 + WAIT_MS)
    assert sampler.checkpoint(0).low_watermark == 3
    sampler.advance(0, 10**6)
    checkpoint = sampler.checkpoint(0)
    assert (checkpoint.low_watermark, checkpoint.position) == (4, 4)
    assert checkpoint.stream_time_ms == 10**6


def test_memory_is_counted(engine: Engine) -> None:
    before = engine.sampler.memory_bytes(0)
    engine.submit([record(1, trace=n.to_bytes(16)) for n in range(1, 5001)])
    assert engine.sampler.memory_bytes(0) > before + 5000 * 120
