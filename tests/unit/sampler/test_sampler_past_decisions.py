"""What the engine promises of traces that are decided twice, and of a full memory of decisions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Decision, Limits, PastDecision, Sampler
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import RecordBatch, join
from streamsampler.store import BlockStore

POLICIES = load_policy_set(
    """
    decision_wait: 3s
    completion_grace: 300ms
    decision_ttl: 10s
    policies: [{name: all, type: always_sample}]
    """,
    "table",
)
A, B, C, D = b"a" * 16, b"b" * 16, b"c" * 16, b"d" * 16
Record = tuple[int, bytes]  # time, value


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("found")
    with BlockStore(path / "blocks") as opened:
        yield opened


def record(trace: bytes, number: int, parent: bytes = b"") -> bytes:
    data = new_traces()
    span = data.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.parent_span_id = trace, number.to_bytes(8), parent
    return data.SerializeToString()


def batch_of(records: Sequence[Record], first: int = 0) -> RecordBatch:
    n = len(records)
    times, values = [time for time, _ in records], [value for _, value in records]
    return join([0] * n, range(first, first + n), times, [None] * n, values, [None] * n)


STREAM: list[Record] = [
    (0, record(A, 1)),
    (4_000, record(B, 1)),  # A is decided, at 300
    (9_000, record(C, 1, parent=b"parent..")),  # waits until 12,000
    (11_500, record(A, 2)),  # A's first decision is past its time: it begins anew
    (11_900, record(D, 1)),  # A is decided again, at 11,800
]


def test_a_trace_decided_twice_is_not_decided_a_third_time_after_a_takeover(
    store: BlockStore,
) -> None:
    before = Sampler(POLICIES, store)
    before.assign(0)
    decisions: list[Decision] = []
    for at, one in enumerate(STREAM):
        decisions += before.submit(batch_of([one], at)).decisions
    assert [(one.trace_id, one.decided_at_ms) for one in decisions] == [
        (A, 300), (B, 4300), (A, 11_800),
    ]  # fmt: skip
    checkpoint = before.checkpoint(0)
    assert checkpoint.low_watermark == 2
    # What a takeover reads back: the decisions that the stream time there still remembers.
    since = checkpoint.stream_time_ms - POLICIES.decision_ttl_ms
    past = [
        PastDecision(one.trace_id, one.decision, one.policy, one.decided_at_ms)
        for one in decisions
        if one.decided_at_ms >= since
    ]
    after = Sampler(POLICIES, store)
    after.assign(0, checkpoint, past)
    found = after.submit(batch_of(STREAM[2:], 2)).decisions + after.finish().decisions
    assert [one.trace_id for one in found] == [C, D]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_full_memory_of_decisions_is_counted_and_loses_no_span(
    store: BlockStore, size: int
) -> None:
    records = [(0, record(A, 1)), (1000, record(B, 1)), (2000, record(C, 1)), (2000, record(A, 2))]
    sampler = Sampler(POLICIES, store, Limits(decisions=1))
    sampler.assign(0)
    for at in range(0, len(records), size):
        sampler.submit(batch_of(records[at : at + size], at))
    sampler.finish()
    counts = sampler.counts(0)
    assert counts.decisions_forgotten > 0
    assert counts.conserved()
    assert counts.spans_in == len(records)
