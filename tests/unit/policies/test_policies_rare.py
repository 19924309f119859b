"""`rare`: the first traces of each shape in each interval, within bounds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamsampler.policies import TenantNumbers
from streamsampler.policies.memory import Memory
from streamsampler.policies.policy_type import Compilation
from streamsampler.policies.sentences import explain
from streamsampler.policies.types.rare import RARE, RareSettings
from streamsampler.policies.votes import NO_THRESHOLD, Bools, DueTraces, Vote
from streamsampler.traces.shapes import Shapes, no_shapes


@dataclass(frozen=True, slots=True)
class Trace:
    signature: int
    decided_ms: int = 0
    tenant: int = 0
    partition: int = 0
    asked: bool = True


def compiled(settings: RareSettings, partitions: int = 1, memory: Memory | None = None) -> Vote:
    learned = Memory() if memory is None else memory
    return RARE.compile(
        settings, Compilation(TenantNumbers(), partitions=partitions, learned=learned)
    )


def voted(vote: Vote, traces: Sequence[Trace]) -> list[bool]:
    n = len(traces)
    words, zeros = np.zeros(n, np.uint64), np.zeros(n, np.int64)
    asked = np.array([trace.asked for trace in traces], np.bool_)

    def read_shapes(which: Bools) -> Shapes:
        assert which.tolist() == asked.tolist()
        made = no_shapes(n)
        made.rows["signature"] = [trace.signature if trace.asked else 0 for trace in traces]
        return made

    due = DueTraces(
        id_hi=words, id_lo=words, duration_ns=zeros, spans=zeros, size_bytes=zeros, matched=words,
        tenant=np.array([trace.tenant for trace in traces], np.int32),
        group=np.zeros(len(traces), np.int32), randomness=words,
        incoming=np.zeros(len(traces), np.uint64),
        partition=np.array([trace.partition for trace in traces], np.int32),
        decided_ms=np.array([trace.decided_ms for trace in traces], np.int64), shapes=read_shapes,
    )  # fmt: skip
    votes = vote(due, asked)
    assert votes.threshold is not None
    assert set(votes.threshold[votes.sampled].tolist()) <= {NO_THRESHOLD}
    assert votes.adjusted is not None
    assert np.isnan(votes.adjusted).all()
    sampled: list[bool] = votes.sampled.tolist()
    return sampled


@dataclass
class PlainRare:
    """One trace after the other, by the definition."""

    settings: RareSettings
    interval_ms: int
    partitions: int
    now: dict[int, int] = field(default_factory=dict)
    seen: dict[int, Counter[object]] = field(default_factory=dict)

    def keeps(self, trace: Trace) -> bool:
        if not trace.asked:
            return False
        number = trace.decided_ms // self.interval_ms
        if number > self.now.get(trace.partition, -1):
            self.now[trace.partition] = number
            self.seen[trace.partition] = Counter()
        kept = self.seen[trace.partition]
        key: object = (trace.signature, trace.tenant)
        shapes = len(kept) - ("the rest" in kept)
        if key not in kept and shapes >= self.settings.max_shapes:
            key = "the rest"
        kept[key] += 0
        cap = self.settings.max_traces_per_interval
        full = cap is not None and kept.total() >= max(1, cap // self.partitions)
        if full or kept[key] >= self.settings.traces_per_shape:
            return False
        kept[key] += 1
        return True


traces = st.builds(
    Trace,
    signature=st.integers(1, 6),
    decided_ms=st.integers(0, 40).map(lambda ms: 10 * ms),
    tenant=st.integers(0, 2),
    partition=st.integers(0, 1),
    asked=st.sampled_from([True, True, True, False]),
)


@given(
    st.lists(st.lists(traces, max_size=20), max_size=5),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4, 100]),
    st.sampled_from([None, 1, 5, 12]),
    st.integers(1, 3),
)
def test_votes_are_those_of_the_plain_form(
    batches: list[list[Trace]], per_shape: int, shapes: int, cap: int | None, partitions: int
) -> None:
    settings = RareSettings(
        interval="100ms",
        traces_per_shape=per_shape,
        max_shapes=shapes,
        max_traces_per_interval=cap,
    )
    vote, plain = compiled(settings, partitions), PlainRare(settings, 100, partitions)
    for batch in batches:
        assert voted(vote, batch) == [plain.keeps(trace) for trace in batch]


A, B = 7, 8


@pytest.mark.parametrize(
    ("settings", "traces", "expected"),
    [
        (RareSettings(), [Trace(A), Trace(A), Trace(B), Trace(A)], "k-k-"),
        (RareSettings(traces_per_shape=2), [Trace(A), Trace(A), Trace(A)], "kk-"),
        (RareSettings(), [Trace(A, 59_999), Trace(A, 60_000), Trace(A, 119_999)], "kk-"),
        (RareSettings(interval="1s"), [Trace(A, 60_000), Trace(A, 500), Trace(B, 500)], "k-k"),
        (RareSettings(), [Trace(A, tenant=1), Trace(A, tenant=2), Trace(A, tenant=1)], "kk-"),
        (RareSettings(), [Trace(A), Trace(A, partition=1), Trace(A, partition=1)], "kk-"),
        (RareSettings(), [Trace(A, asked=False), Trace(A), Trace(A)], "-k-"),
        (RareSettings(max_shapes=1), [Trace(A), Trace(B), Trace(9), Trace(A)], "kk--"),
        (RareSettings(max_traces_per_interval=2), [Trace(n) for n in range(4)], "kk--"),
    ],
    ids=[
        "the first of each", "two of each", "anew in every interval", "time goes on only",
        "by tenant", "by partition", "what is not asked does not count", "too many shapes",
        "too many traces",
    ],
)  # fmt: skip
def test_which_traces_are_kept(settings: RareSettings, traces: list[Trace], expected: str) -> None:
    sampled = voted(compiled(settings), traces)
    assert "".join("k" if one else "-" for one in sampled) == expected


@pytest.mark.parametrize(("partitions", "share"), [(1, 12), (4, 3), (5, 2), (100, 1)])
def test_each_partition_has_its_share_of_the_cap(partitions: int, share: int) -> None:
    vote = compiled(RareSettings(max_traces_per_interval=12), partitions)
    assert sum(voted(vote, [Trace(n) for n in range(20)])) == share


def test_what_was_seen_is_remembered_from_batch_to_batch_and_over_a_reload() -> None:
    memory = Memory()
    first = compiled(RareSettings(), memory=memory)
    assert voted(first, [Trace(A)]) == [True]
    assert voted(first, [Trace(A), Trace(B)]) == [False, True]
    assert voted(compiled(RareSettings(), memory=memory), [Trace(B)]) == [False]
    assert voted(compiled(RareSettings(interval="61s"), memory=memory), [Trace(B)]) == [True]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"interval": 60}, 'is 60: expected a duration like "60s" or "5m"'),
        ({"interval": "0s"}, 'is "0s": expected at least "1ms"'),
        (
            {"interval": "a minute"},
            'is "a minute": it is no duration; write it like "30s", "1m30s" or "500ms"',
        ),
        ({"traces_per_shape": 0}, "is 0: expected a whole number, 1 or more"),
        ({"max_traces_per_interval": 0}, "is 0: expected a whole number, 1 or more"),
    ],
)
def test_what_is_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        RareSettings.model_validate(settings)
    assert [explain(error, RareSettings) for error in refusal.value.errors()] == [sentence]


def test_settings_are_the_same_when_they_are_read_again() -> None:
    settings = RareSettings.model_validate({"interval": "1m", "traces_per_shape": 2.0})
    assert settings == RareSettings(interval="60s", traces_per_shape=2)
    document = settings.model_dump(mode="json", exclude_none=True)
    assert RareSettings.model_validate(document) == settings


def test_what_is_said_of_a_trace_that_was_kept() -> None:
    assert RARE.grounds is not None
    assert RARE.grounds(RareSettings()) == "the first of its shape in 60s"
    several = RareSettings(traces_per_shape=3, interval="5m")
    assert RARE.grounds(several) == "one of the first 3 of its shape in 300s"
