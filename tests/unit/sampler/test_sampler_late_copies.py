"""A span of a sampled trace comes out once, however often it comes after the verdict."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Checkpoint, Limits, Outcome, PastDecision, Sampler
from streamsampler.spans.payload import new_traces, spans_of
from streamsampler.spans.records import RecordBatch, join
from streamsampler.store import BlockStore

TTL_MS = 20_000
POLICIES = load_policy_set(
    f"""
    decision_wait: 10s
    completion_grace: 1s
    decision_ttl: {TTL_MS}ms
    policies: [{{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}]
    """,
    "table",
)
LIMITS = Limits(block_bytes=150)
KEPT, DULL, OPEN = b"k" * 16, b"d" * 16, b"o" * 16


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    with BlockStore(tmp_path / "blocks") as opened:
        yield opened


def record(
    *numbers: int, trace: bytes = KEPT, kind: int = 0, start: int = 5, parent: bytes = b""
) -> bytes:
    """Spans, with errors unless they are DULL's."""
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    for number in numbers:
        span = scope.spans.add()
        span.trace_id, span.span_id, span.parent_span_id = trace, number.to_bytes(8), parent
        span.kind, span.start_time_unix_nano = kind, start
        span.status.code = 0 if trace == DULL else 2
    return data.SerializeToString()


class Engine:
    """An engine over one partition, its last commit, and all that came out."""

    def __init__(self, store: BlockStore, limits: Limits = LIMITS) -> None:
        self.sampler = Sampler(POLICIES, store, limits)
        self.sampler.assign(0)
        self.taken: list[tuple[int, bytes]] = []
        self.past: list[PastDecision] = []
        self.committed = Checkpoint(0, 0, -1)

    def batch(self, first: int, behind: int) -> RecordBatch:
        n = behind - first
        times, values = zip(*self.taken[first:behind], strict=True)
        return join([0] * n, range(first, behind), times, [None] * n, values, [None] * n)

    def submit(self, *values: bytes, time_ms: int = 1000) -> list[int]:
        """Tell the numbers of the spans that came out."""
        first = len(self.taken)
        self.taken += [(time_ms, value) for value in values]
        outcome = self.sampler.submit(self.batch(first, len(self.taken)))
        assert self.sampler.counts(0).conserved()
        return self.look_at(outcome)

    def advance(self, time_ms: int) -> list[int]:
        return self.look_at(self.sampler.advance(0, time_ms))

    def look_at(self, outcome: Outcome) -> list[int]:
        self.past += [
            PastDecision(one.trace_id, one.decision, one.policy, one.decided_at_ms, one.spans_out)
            for one in outcome.decisions
        ]
        return [
            int.from_bytes(span.span_id)
            for emission in outcome.emissions
            for _, _, span in spans_of(emission.value)
        ]

    def commit(self) -> None:
        self.committed = self.sampler.checkpoint(0)
        self.sampler.committed(0, self.committed)

    def taken_over(self, recent: int | None = None) -> int:
        """Leave and come back; tell from where records were read again."""
        recent = len(self.past) if recent is None else recent
        split = len(self.past) - recent
        read_from = self.sampler.assign(0, self.committed, self.past[split:])
        if read_from < self.committed.position:
            outcome = self.sampler.submit(self.batch(read_from, self.committed.position))
            assert outcome == Outcome([], [], [])
        self.sampler.recall(0, self.past[:split])
        return read_from


@pytest.fixture
def engine(store: BlockStore) -> Engine:
    """KEPT with spans 1 and 2 is decided, at 2000; OPEN waits since 1900."""
    made = Engine(store)
    assert made.submit(record(1, 2)) == []
    assert made.submit(record(90, trace=OPEN, parent=b"parent.."), time_ms=1900) == []
    assert made.advance(2000) == [1, 2]
    return made


def duplicates(engine: Engine) -> int:
    return engine.sampler.counts(0).duplicates


@pytest.mark.parametrize(
    ("values", "out"),
    [
        ([record(1)], []),
        ([record(1, 2)], []),
        ([record(3)], [3]),
        ([record(3), record(3)], [3]),
        ([record(3, 3)], [3]),
        ([record(1, 3, 2, 4)], [3, 4]),
        ([record(3, 4), record(4, 5), record(3, 4, 5)], [3, 4, 5]),
        ([record(1) + record(7, trace=OPEN, parent=b"parent..")], []),
        ([record(3) + record(1) + record(7, trace=OPEN, parent=b"parent..")], [3]),
        # Another kind or start is another span.
        ([record(1, kind=2), record(1, start=6), record(1, kind=2)], [1, 1]),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_a_copy_stays_in(
    engine: Engine,
    values: list[bytes],
    out: list[int],
    together: bool,  # noqa: FBT001
) -> None:
    if together:
        assert engine.submit(*values, time_ms=2000) == out
    else:
        assert [one for value in values for one in engine.submit(value, time_ms=2000)] == out
    counts = engine.sampler.counts(0)
    assert counts.late_sampled == len(out)
    assert counts.kept == 2 + len(out)


def test_a_copy_in_the_batch_that_brings_the_verdict_stays_in(store: BlockStore) -> None:
    engine = Engine(store)
    engine.submit(record(1, 2))
    later = [record(3, trace=OPEN), record(2, 5), record(5, 6)]
    assert engine.submit(*later, time_ms=2000) == [1, 2, 5, 6]
    assert duplicates(engine) == 2


def test_of_a_trace_that_is_not_sampled_nothing_is_remembered(engine: Engine) -> None:
    engine.submit(record(1, trace=DULL))
    engine.advance(3100)
    assert engine.submit(record(1, trace=DULL), record(2, 2, trace=DULL), time_ms=3100) == []
    counts = engine.sampler.counts(0)
    assert (counts.late_not_sampled, counts.duplicates) == (2, 1)


def test_a_trace_that_begins_anew_has_let_nothing_out(engine: Engine) -> None:
    later_ms = 2000 + TTL_MS + 1000
    assert engine.submit(record(1), time_ms=later_ms) == [90]
    assert engine.advance(later_ms + 1000) == [1]
    assert engine.submit(record(1, 2), time_ms=later_ms + 1000) == [2]
    assert duplicates(engine) == 1


def test_what_is_remembered_is_bounded_and_what_had_to_go_is_counted(store: BlockStore) -> None:
    engine = Engine(store, Limits(spans_out=3))
    engine.submit(record(1, 2, 3, 4))
    assert engine.advance(2000) == [1, 2, 3, 4]
    assert engine.sampler.counts(0).spans_out_forgotten == 1
    assert len(engine.submit(record(1), record(2), record(3), record(4), time_ms=2000)) > 0
    assert engine.sampler.counts(0).spans_out_forgotten > 1
    assert engine.sampler.counts(0).conserved()


def test_a_decision_carries_a_word_for_each_span_of_a_sampled_trace(engine: Engine) -> None:
    engine.submit(record(1, trace=DULL), record(1, 2, trace=b"s" * 16))
    engine.advance(3100)
    assert [(one.decision, len(one.spans_out)) for one in engine.past] == [
        ("sampled", 16), ("not_sampled", 0), ("sampled", 16),
    ]  # fmt: skip
    # The same spans in another trace have the same words: the trace's id stands beside them.
    assert engine.past[0].spans_out == engine.past[2].spans_out


# Taken over.


def leave(engine: Engine, way: str, store: BlockStore) -> None:
    """All that was taken in is committed."""
    engine.commit()
    engine.sampler.revoke(0, keep=way == "kept")
    if way == "gone":
        store.clear(0)


WAYS = pytest.mark.parametrize("way", ["kept", "gone"])


@WAYS
@pytest.mark.parametrize("recent", [0, 1])
def test_what_a_decision_let_out_is_known_after_a_takeover(
    engine: Engine, store: BlockStore, way: str, recent: int
) -> None:
    leave(engine, way, store)
    assert engine.committed.low_watermark == 1
    engine.taken_over(recent)
    assert engine.submit(record(1, 2, 3), time_ms=2000) == [3]
    assert duplicates(engine) == 2


@WAYS
@pytest.mark.parametrize("recent", [0, 1])
def test_late_spans_let_out_since_the_low_watermark_are_known_after_a_takeover(
    engine: Engine, store: BlockStore, way: str, recent: int
) -> None:
    assert engine.submit(record(3), record(4), time_ms=2000) == [3, 4]
    leave(engine, way, store)
    for _ in range(3):
        assert engine.taken_over(recent) == (4 if way == "kept" else 1)
        leave(engine, way, store)
    engine.taken_over(recent)
    assert engine.submit(record(3, 4, 5), time_ms=2000) == [5]
    assert duplicates(engine) == 2


def test_late_spans_are_told_again_when_the_block_that_told_them_is_gone(
    engine: Engine, store: BlockStore
) -> None:
    more = [record(91 + at, trace=OPEN, parent=b"parent..") for at in range(3)]
    engine.submit(*more, record(3), time_ms=2000)
    assert list(store.blocks(0))
    engine.commit()
    # A trace whose records fill blocks, the first of which tells of the late span; then they go.
    values = [record(10 + at, trace=b"x" * 16) for at in range(8)]
    engine.submit(*values, time_ms=2000)
    engine.commit()
    engine.submit(record(91, trace=b"y" * 16, parent=b"parent.."), time_ms=2100)
    assert len(engine.advance(3100)) == 8
    engine.commit()
    assert engine.committed.low_watermark == 1
    leave(engine, "kept", store)
    assert engine.taken_over() == engine.committed.position
    assert engine.submit(record(3), time_ms=3100) == []


def test_a_late_span_that_was_not_committed_comes_out_again(engine: Engine) -> None:
    engine.commit()
    assert engine.submit(record(3), time_ms=2000) == [3]
    # Blocks are filled and put behind it; the transaction is aborted.
    engine.submit(*[record(10 + at, trace=b"x" * 16) for at in range(8)], time_ms=2000)
    engine.sampler.revoke(0)
    engine.taken = engine.taken[: engine.committed.position]
    engine.taken_over()
    assert engine.submit(record(3), time_ms=2000) == [3]
