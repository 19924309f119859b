"""`latency` by percentile: the control plane's table first, then what the partition measured."""

from pathlib import Path

import numpy as np
import pytest
from datasketches import kll_floats_sketch

from streamsampler.estimates.summaries import INTERVAL_MS, GroupSummary, Summary
from streamsampler.estimates.tables import OLD_MS, GroupThresholds, ThresholdTable, is_old
from streamsampler.policies import PolicyError, TenantNumbers, load_policy_set
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.percentiles import HALF, UNKNOWN, Percentiles
from streamsampler.policies.roots import RootNumbers

MS = 1_000_000
BUY = (b"", b"shop", b"buy")
LOOK = (b"", b"shop", b"look")


def summary(interval: int, durations_ms: list[float]) -> Summary:
    sketch = kll_floats_sketch(2048)
    sketch.update(np.array(durations_ms, np.float32))
    n = len(durations_ms)
    row = GroupSummary(BUY, n, n, n, 0, 0, 0, 0, float(n), sketch.serialize())
    return Summary("groups", 7, interval, 0, (row,))


def table(p99_ms: float, count: int) -> ThresholdTable:
    quantiles = (1.0, 2.0, 3.0, p99_ms, 2 * p99_ms)
    return ThresholdTable(1_000, {BUY: GroupThresholds(count, quantiles, None, regressed=False)})


@pytest.fixture
def groups() -> tuple[GroupNumbers, dict[bytes, int]]:
    roots = RootNumbers()
    named = [roots.number(b"shop", name) for name in (b"buy", b"look")]
    numbers = GroupNumbers(TenantNumbers(), roots)
    found = numbers.of(np.zeros(2, np.uint32), np.array(named, np.uint32))
    return numbers, dict(zip((b"buy", b"look"), found.tolist(), strict=True))


def asked(
    known: Percentiles,
    group: int,
    least: int = 100,
    percentile: float = 99,
    now_ms: int = 1_000,
) -> float:
    groups, partitions = np.array([group], np.int32), np.array([7], np.int32)
    times = np.array([now_ms])
    (found,), _words = known.thresholds_ns(partitions, groups, times, percentile, least)
    return float(found if found == UNKNOWN else found / MS)


def test_the_order_is_table_then_own_sketches_then_nothing(
    groups: tuple[GroupNumbers, dict[bytes, int]],
) -> None:
    numbers, number = groups
    known = Percentiles(numbers)
    assert asked(known, number[b"buy"]) == UNKNOWN
    known.add(7, [summary(1, [float(one) for one in range(1, 1001)])])
    assert asked(known, number[b"buy"]) == pytest.approx(990, rel=0.02)
    assert asked(known, number[b"look"]) == UNKNOWN
    assert asked(known, number[b"buy"], least=1001) == UNKNOWN
    known.learn(b"thresholds/0", table(55.0, 10_000))
    assert asked(known, number[b"buy"]) == 55.0
    assert asked(known, number[b"buy"], percentile=99.9) == 110.0
    known.learn(b"thresholds/0", table(66.0, 99))  # of too few: the partition knows more
    assert asked(known, number[b"buy"]) == pytest.approx(990, rel=0.02)
    assert (known.by_table, known.by_own, known.unknown) == (2, 2, 3)
    known.forget(7)
    assert asked(known, number[b"buy"]) == UNKNOWN


def test_an_old_table_counts_where_the_partition_knows_too_little_itself(
    groups: tuple[GroupNumbers, dict[bytes, int]],
) -> None:
    numbers, number = groups
    known = Percentiles(numbers)
    told = table(55.0, 10_000)
    known.learn(b"thresholds/0", told)
    old_ms = told.version + OLD_MS + INTERVAL_MS
    assert asked(known, number[b"buy"], now_ms=old_ms) == 55.0
    known.add(7, [summary(121, [10.0] * 200)])
    assert asked(known, number[b"buy"], now_ms=old_ms) == 10.0
    assert asked(known, number[b"buy"], now_ms=old_ms - INTERVAL_MS) == 55.0
    assert asked(known, number[b"buy"], now_ms=old_ms, least=201) == 55.0
    assert (known.by_table, known.by_own, known.unknown) == (3, 1, 0)


@pytest.mark.parametrize("interval_ms", [0, 1, INTERVAL_MS - 1])
def test_a_table_is_old_for_all_of_an_interval_or_none(interval_ms: int) -> None:
    version = 15_000
    first_ms = version + OLD_MS + INTERVAL_MS
    assert is_old(version, first_ms + interval_ms)
    assert not is_old(version, first_ms - INTERVAL_MS + interval_ms)


def test_what_a_trace_was_held_against_is_said_in_words(
    groups: tuple[GroupNumbers, dict[bytes, int]],
) -> None:
    numbers, number = groups
    known = Percentiles(numbers)
    known.learn(b"thresholds/0", table(1234.56, 10_000))
    known.add(8, [summary(1, [7.0] * 200)])
    partitions, times = np.array([7, 8, 8, 7], np.int32), np.full(4, 6_000)
    buy, look = number[b"buy"], number[b"look"]
    asked_for = np.array([buy, buy, look, buy], np.int32)
    found = [
        known.thresholds_ns(partitions, asked_for, times, 99, least)[1].tolist()
        for least in (100, 10_001)
    ]
    by_table = "1,234.560 ms, of 10,000 traces"
    assert found == [[by_table, by_table, None, by_table], [None] * 4]
    (words,) = known.thresholds_ns(partitions[1:2], asked_for[1:2], times + OLD_MS, 99, 100)[1]
    assert words == "7.000 ms, of 200 traces of this partition"


def test_own_sketches_forget_what_is_old(groups: tuple[GroupNumbers, dict[bytes, int]]) -> None:
    numbers, number = groups
    known = Percentiles(numbers)
    known.add(7, [summary(0, [1000.0] * 200)])
    known.add(7, [summary(HALF, [10.0] * 200)])
    assert asked(known, number[b"buy"], percentile=50) in (10.0, 1000.0)
    known.add(7, [summary(2 * HALF, [10.0] * 200)])
    assert asked(known, number[b"buy"], percentile=99.9) == 10.0
    known.add(7, [summary(9 * HALF, [20.0] * 200)])
    assert asked(known, number[b"buy"], percentile=50) == 20.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("{percentile: 98}", "expected one of 50, 90, 95, 99, 99.9"),
        ("{percentile: 99, threshold_ms: 5}", "not both"),
        ("{threshold_ms: 5, fallback_ms: 7}", "fallback_ms stands in for percentile"),
        ("{percentile: 99, min_traces: 0}", "min_traces"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: str, words: str, tmp_path: Path) -> None:
    text = f"policies: [{{name: slow, type: latency, latency: {settings}}}]"
    with pytest.raises(PolicyError) as refused:
        load_policy_set(text, str(tmp_path / "p.yaml"))
    assert words in str(refused.value)
