"""What the engine tells of the traces that it decided, by group and interval."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from datasketches import kll_floats_sketch
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.estimates.summaries import MOST_UNTOLD, Group, GroupSummary, Summary
from streamsampler.estimates.tables import GroupThresholds, ThresholdTable
from streamsampler.policies import TenantNumbers, load_policy_set
from streamsampler.policies.groups import OVERFLOW_GROUP, GroupNumbers
from streamsampler.policies.roots import OVERFLOW, OVERFLOW_NAME, RootNumbers
from streamsampler.sampler import Checkpoint, Decision, PastDecision, Sampler
from streamsampler.spans.records import RecordBatch, join
from streamsampler.store import BlockStore

POLICIES = """
decision_wait: 2s
tenant: {key: tenant.id, source: resource}
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
"""
MS = 1_000_000


def trace(number: int, service: str, name: str, duration_ms: int, **more: object) -> bytes:
    """A trace of two spans, root and child."""
    data = TracesData()
    spans = data.resource_spans.add()
    spans.resource.attributes.add(key="service.name").value.string_value = service
    spans.resource.attributes.add(key="tenant.id").value.string_value = "gold"
    scope = spans.scope_spans.add()
    trace_id = (number * 2654435761 % 2**64 << 64 | number).to_bytes(16, "big")
    for span, parent in ((b"root....", b""), (b"child...", b"root....")):
        made = scope.spans.add(
            trace_id=trace_id, span_id=span, parent_span_id=parent,
            name="c" if parent else name,
            start_time_unix_nano=MS, end_time_unix_nano=(1 + duration_ms) * MS,
        )  # fmt: skip
        if more.get("error") and parent:
            made.status.code = 2  # type: ignore[assignment]
        if more.get("lost_root") and not parent:
            made.parent_span_id = b"nobody.."
    return data.SerializeToString()


def batch(values: list[bytes], times_ms: list[int], first: int = 0) -> RecordBatch:
    n = len(values)
    return join([0] * n, range(first, first + n), times_ms, [None] * n, values, [None] * n)


@pytest.fixture
def sampler(tmp_path: Path) -> Sampler:
    made = Sampler(load_policy_set(POLICIES, "here"), BlockStore(tmp_path / "blocks"))
    made.assign(0)
    return made


def rows(summaries: list[Summary]) -> dict[tuple[int, Group], GroupSummary]:
    found: dict[tuple[int, Group], GroupSummary] = {}
    for one in summaries:
        for row in one.body:  # type: ignore[union-attr]
            assert isinstance(row, GroupSummary)
            found[one.interval, row.group] = row
    return found


def test_each_group_has_its_counts_and_durations(sampler: Sampler) -> None:
    values = [trace(1, "shop", "buy", 10), trace(2, "shop", "buy", 30, error=True)]
    values += [trace(3, "shop", "look", 5), trace(4, "shop", "buy", 7, lost_root=True)]
    sampler.submit(batch(values, [1_000] * 4))
    sampler.advance(0, 60_000)
    found = rows(sampler.summaries(0))
    assert {group for _, group in found} == {
        (b"gold", b"shop", b"buy"), (b"gold", b"shop", b"look"), (b"gold", b"", b""),
    }  # fmt: skip
    buy = next(row for (_, group), row in found.items() if group[2] == b"buy")
    assert (buy.traces, buy.spans, buy.errors, buy.kept, buy.rootless) == (2, 4, 1, 1, 0)
    assert buy.bytes == sum(map(len, values[:2]))
    sketch = kll_floats_sketch.deserialize(buy.sketch)
    assert (sketch.n, sketch.get_min_value(), sketch.get_max_value()) == (2, 10.0, 30.0)
    lost = next(row for (_, group), row in found.items() if group[2] == b"")
    assert (lost.traces, lost.rootless, lost.orphaned) == (1, 1, 1)


def test_an_interval_is_told_once_and_when_it_is_over(sampler: Sampler) -> None:
    sampler.submit(batch([trace(1, "a", "b", 1), trace(2, "a", "b", 2)], [1_000, 4_500]))
    sampler.advance(0, 4_999)
    assert sampler.summaries(0) == []
    sampler.advance(0, 5_001)
    assert [one.interval for one in sampler.summaries(0)] == [0]
    assert sampler.summaries(0) == []
    sampler.advance(0, 9_000)
    assert sampler.summaries(0) == []
    assert [one.interval for one in sampler.summaries(0, leaving=True)] == [1]
    assert sampler.summaries(0, leaving=True) == []


def past(decision: Decision) -> PastDecision:
    return PastDecision(
        decision.trace_id, decision.decision, decision.policy, decision.decided_at_ms,
        decision.spans_out, decision.threshold,
    )  # fmt: skip


def roll_back(sampler: Sampler, to: Checkpoint, decided: list[Decision], part: int) -> None:
    """Undo what was done since a commit, and read it again."""
    sampler.revoke(0)
    values = [trace(number, "shop", "buy", 10) for number in (1, 2)]
    first = sampler.assign(0, to, list(map(past, decided)), part)
    sampler.submit(batch(values[first:], [1_000, 2_500][first:], first))
    sampler.recall(0, [])


def commit_one_of_two(sampler: Sampler) -> tuple[Checkpoint, list[Decision]]:
    values = [trace(number, "shop", "buy", 10) for number in (1, 2)]
    sampler.submit(batch(values, [1_000, 2_500]))
    decided = sampler.advance(0, 3_100).decisions
    assert len(decided) == 1
    assert sampler.summaries(0) == []
    checkpoint = sampler.checkpoint(0)
    sampler.committed(0, checkpoint)
    return checkpoint, decided


@pytest.mark.parametrize("times", [1, 3])
def test_what_was_committed_is_told_though_what_came_after_is_undone(
    sampler: Sampler, times: int
) -> None:
    checkpoint, decided = commit_one_of_two(sampler)
    for part in range(1, times + 1):
        assert len(sampler.advance(0, 4_600).decisions) == 1
        sampler.summaries(0, leaving=True)  # in a transaction that is aborted
        roll_back(sampler, checkpoint, decided, part)
    sampler.advance(0, 60_000)
    told = sampler.summaries(0)
    assert {one.part for one in told} == {times}
    assert [row.traces for row in rows(told).values()] == [2]


def test_what_was_told_in_a_commit_is_not_told_again(sampler: Sampler) -> None:
    checkpoint, decided = commit_one_of_two(sampler)
    (first,) = sampler.summaries(0, leaving=True)
    sampler.committed(0, sampler.checkpoint(0))
    roll_back(sampler, checkpoint, decided, 1)
    sampler.advance(0, 60_000)
    (second,) = sampler.summaries(0)
    assert (first.interval, first.part) != (second.interval, second.part)
    assert [row.traces for one in (first, second) for row in rows([one]).values()] == [1, 1]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_batches_make_no_difference(sampler: Sampler, size: int) -> None:
    rng = np.random.default_rng(7)
    names = rng.choice(["x", "y", "z"], 300)
    durations = rng.integers(1, 1000, 300).tolist()
    values = [
        trace(number, "s", str(name), duration)
        for number, (name, duration) in enumerate(zip(names, durations, strict=True), 1)
    ]
    times = (np.arange(300) * 100).tolist()
    told: list[Summary] = []
    for start in range(0, 300, size):
        sampler.submit(batch(values[start : start + size], times[start : start + size], start))
        told += sampler.summaries(0)
    sampler.advance(0, 100_000)
    told += sampler.summaries(0, leaving=True)
    by_name: dict[bytes, list[float]] = defaultdict(list)
    for (_, group), row in rows(told).items():
        sketch = kll_floats_sketch.deserialize(row.sketch)
        assert sketch.n == row.traces
        by_name[group[2]] += [value for value, _ in sketch]
    expected: dict[bytes, list[float]] = defaultdict(list)
    for name, duration in zip(names, durations, strict=True):
        expected[str(name).encode()].append(float(duration))
    assert {name: Counter(found) for name, found in by_name.items()} == {
        name: Counter(found) for name, found in expected.items()
    }
    assert len({(one.interval, one.part) for one in told}) == len(told)


def test_after_a_take_over_the_groups_are_what_they_were(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "one") as store:
        sampler = Sampler(load_policy_set(POLICIES, "here"), store)
        sampler.assign(0)
        sampler.submit(batch([trace(1, "shop", "buy", 10)], [1_000]))
        resume = sampler.checkpoint(0)
        sampler.committed(0, resume)
        sampler.revoke(0, keep=True)
        other = Sampler(load_policy_set(POLICIES, "here"), store)
        other.assign(0, resume, part=7)
        other.recall(0, [])
        other.advance(0, 60_000)
        (one,) = other.summaries(0, leaving=True)
    assert [group for _, group in rows([one])] == [(b"gold", b"shop", b"buy")]
    assert one.part == 7


def test_of_several_roots_the_same_counts_in_whatever_order_they_come() -> None:
    names = [(b"s%d" % number, b"n") for number in range(50)]
    forwards, backwards = RootNumbers(), RootNumbers()
    for one in names:
        forwards.number(*one)
    for one in reversed(names):
        backwards.number(*one)

    def in_order(roots: RootNumbers) -> list[tuple[bytes, bytes]]:
        return sorted(names, key=lambda one: int(roots.order[roots.number(*one)]))

    assert in_order(forwards) == in_order(backwards) != names


def test_what_does_not_fit_shares_a_group() -> None:
    roots = RootNumbers(capacity=2)
    numbers = [roots.number(b"s", b"%d" % one) for one in (1, 2, 3, 1)]
    assert numbers == [2, 3, OVERFLOW, 2]
    assert roots.operation(OVERFLOW) == (OVERFLOW_NAME, OVERFLOW_NAME)
    groups = GroupNumbers(TenantNumbers(), roots, capacity=1)
    found = groups.of(np.zeros(3, np.uint32), np.array([2, 3, 2], np.uint32))
    assert [groups.name(one) for one in found.tolist()] == [
        (b"", b"s", b"1"), OVERFLOW_GROUP, (b"", b"s", b"1"),
    ]  # fmt: skip


def test_what_nobody_wants_to_know_is_not_kept_for_ever(sampler: Sampler) -> None:
    for number in range(1, MOST_UNTOLD + 50):
        sampler.submit(batch([trace(number, "a", "b", 1)], [number * 5_000], number))
    told = sampler.summaries(0, leaving=True)
    assert len(told) == MOST_UNTOLD
    assert told[-1].interval > MOST_UNTOLD


SLOW = """
decision_wait: 2s
policies:
  - {name: slow, type: latency, latency: {percentile: 90, min_traces: 100, fallback_ms: 900}}
"""


@pytest.mark.parametrize("size", [1, 13, 1000])
def test_slow_is_what_the_partition_measured_before_in_any_batching(
    tmp_path: Path, size: int
) -> None:
    rng = np.random.default_rng(3)
    durations = rng.integers(1, 1000, 400).tolist()
    values = [trace(number, "s", "n", one) for number, one in enumerate(durations, 1)]
    times = (np.arange(400) * 50).tolist()
    with BlockStore(tmp_path / "blocks") as store:
        sampler = Sampler(load_policy_set(SLOW, "here"), store)
        sampler.assign(0)
        made = [
            sampler.submit(batch(values[at : at + size], times[at : at + size], at))
            for at in range(0, 400, size)
        ]
        made.append(sampler.advance(0, 100_000))
    kept = {
        int.from_bytes(one.trace_id[8:], "big")
        for outcome in made
        for one in outcome.decisions
        if one.decision == "sampled"
    }
    expected = set()
    for number, duration in enumerate(durations, 1):
        # A complete trace is decided at once, here: its time tells its interval.
        before = [
            durations[other - 1]
            for other in range(1, len(durations) + 1)
            if decided_ms(other) // 5_000 < decided_ms(number) // 5_000
        ]
        bound = (
            float(np.quantile(before, 0.9, method="inverted_cdf")) if len(before) >= 100 else 900
        )
        if duration > bound:
            expected.add(number)
    assert kept == expected


MEASURED = """
decision_wait: 2s
policies:
  - {name: slow, type: latency, latency: {percentile: 99, min_traces: 100, fallback_ms: 900}}
  - name: both
    type: and
    and:
      and_sub_policy:
        - {name: all, type: always_sample}
        - {name: slower, type: latency, latency: {percentile: 50, min_traces: 100}}
  - {name: longer, type: latency, latency: {threshold_ms: 40}}
"""


def test_a_decision_tells_the_percentile_that_its_trace_was_held_against(tmp_path: Path) -> None:
    known = GroupThresholds(1_000, (50.0, 60.0, 70.0, 80.0, 90.0), None, regressed=False)
    durations = {1: 81, 2: 51, 3: 41, 4: 1}
    with BlockStore(tmp_path / "blocks") as store:
        sampler = Sampler(load_policy_set(MEASURED, "here"), store)
        sampler.assign(0)
        sampler.learn(b"thresholds/0", ThresholdTable(0, {(b"gold", b"s", b"n"): known}))
        values = [trace(number, "s", "n", one) for number, one in durations.items()]
        values += [trace(5, "s", "other", 901), trace(6, "s", "other", 899)]
        sampler.submit(batch(values, list(range(6)), 0))
        decisions = sampler.advance(0, 100_000).decisions
    by_p99, by_p50 = "duration over p99 of its group", "duration over p50 of its group"
    assert {one.trace_id[-1]: (one.policy, one.grounds) for one in decisions} == {
        1: ("slow", f"{by_p99} (80.000 ms, of 1,000 traces)"),
        2: ("both", f"every trace and {by_p50} (50.000 ms, of 1,000 traces)"),
        3: ("longer", "duration over 40 ms"),
        4: (None, None),
        5: ("slow", f"{by_p99} (not known: 900 ms)"),
        6: ("longer", "duration over 40 ms"),
    }


def decided_ms(number: int) -> int:
    """When a trace of the test above is due: its only record comes, and grace has passed."""
    return (number - 1) * 50 + GRACE_MS


GRACE_MS = load_policy_set(SLOW, "here").completion_grace_ms
