"""Limits that all workers hold together: each partition's share by what the partitions ask for."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from streamsampler.estimates import tables
from streamsampler.estimates.summaries import INTERVAL_MS
from streamsampler.estimates.tables import OLD_MS, RateTable
from streamsampler.policies.demands import Asking, RateTables, joined, key_of, limit_plan
from tests.conformance.due_traces import Trace
from tests.conformance.one_policy import OnePolicy, letters, of_spans
from topologies.entries import Entry
from topologies.rates import Rates

PARTITIONS = 24
LIMIT = 2_400
KINDS = {
    "rate_limiting": f"""
policies:
  - {{name: p, type: rate_limiting, rate_limiting: {{spans_per_second: {LIMIT}}}}}
""",
    "composite": f"""
policies:
  - name: p
    type: composite
    composite:
      max_total_spans_per_second: {LIMIT}
      composite_sub_policy: [{{name: all, type: always_sample}}]
""",
    "bytes_limiting": f"""
policies:
  - {{name: p, type: bytes_limiting, bytes_limiting: {{bytes_per_second: {100 * LIMIT}}}}}
""",
}


def of_two_spans(at_ms: int) -> Trace:
    made = of_spans(2, at_ms)
    return Trace(made.spans, decided_ms=at_ms, size_bytes=200)


@dataclass
class Fleet:
    """All partitions of one limit, and the rates app that hears of them."""

    kind: str
    control_plane: bool
    rates: Rates = field(default_factory=Rates)
    now_ms: int = 1_000_000

    def __post_init__(self) -> None:
        self.policy = OnePolicy(KINDS[self.kind], PARTITIONS)
        self.rng = np.random.default_rng(3)

    def second(self, offered: list[float]) -> int:
        """Offer each partition so many traces of two spans; tells how many spans were kept."""
        rows: list[tuple[int, int]] = []
        for partition, mean in enumerate(offered):
            count = int(self.rng.poisson(mean))
            times = np.sort(self.rng.integers(self.now_ms, self.now_ms + 1_000, count))
            rows += [(at_ms, partition) for at_ms in times.tolist()]
        traces = [of_two_spans(at_ms) for at_ms, _ in rows]
        kept = self.policy.keeps(traces, [partition for _, partition in rows])
        self.now_ms += 1_000
        if self.control_plane:
            self.hear()
        return 2 * sum(kept)

    def hear(self) -> None:
        for partition in range(PARTITIONS):
            told = [
                summary
                for state in self.policy.compilation.learned.of(partition)
                if isinstance(state, Asking)
                for summary in state.tell(partition, self.now_ms // 5_000, 0)
            ]
            for one in joined(told):
                self.rates.put(Entry(b"d", 0, partition, one.interval, 0), one)
        for value in self.rates.tables().values():
            table = tables.unpack(value)
            assert isinstance(table, RateTable)
            self.policy.compilation.rates.tables[table.policy] = table


SKEWED = [1_200.0] + [25.0] * (PARTITIONS - 1)
"""One partition asks for 2,400 spans a second, each other one for 50, half an equal share."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_most_partitions_leave_is_given_to_the_one_that_asks_for_more(kind: str) -> None:
    fleet = Fleet(kind, control_plane=True)
    kept = [fleet.second(SKEWED) for _ in range(30)]
    assert np.mean(kept[15:]) == pytest.approx(LIMIT, rel=0.08)


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_control_plane_shares_are_equal(kind: str) -> None:
    fleet = Fleet(kind, control_plane=False)
    kept = [fleet.second(SKEWED) for _ in range(30)]
    # A twenty-fourth of the limit, and nearly all that the others ask for.
    assert np.mean(kept[15:]) == pytest.approx(100 + 1_150, rel=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_than_the_limit_passes_wherever_the_load_goes(kind: str) -> None:
    fleet = Fleet(kind, control_plane=True)
    for loaded in (0, 7, 20):
        offered = [25.0] * PARTITIONS
        offered[loaded] = 2_000.0
        kept = [fleet.second(offered) for _ in range(30)]
        assert sum(kept) <= 30 * LIMIT + 2 * LIMIT
        assert np.mean(kept[20:]) > 0.9 * LIMIT


def test_a_partition_that_begins_has_something_before_anybody_is_told() -> None:
    fleet = Fleet("rate_limiting", control_plane=True)
    for _ in range(30):
        fleet.second([60.0] * (PARTITIONS - 1) + [0.0])
    alone = fleet.policy.keeps([of_two_spans(fleet.now_ms)], [PARTITIONS - 1])
    assert alone == [True]


def test_rates_of_another_kind_of_goal_are_no_shares() -> None:
    text = "policies: [{name: p, type: rate_limiting, rate_limiting: {spans_per_second: 5}}]"
    policy = OnePolicy(text, partitions=2)
    wrong = RateTable(0, "p", 5.0, "fair", {key_of(0): 1.0}, 1.0)
    policy.compilation.rates.tables["p"] = wrong
    assert letters(policy.keeps([of_spans(5), of_spans(1)], [0, 0])) == "yn"
    policy.compilation.rates.tables["p"] = RateTable(0, "p", 5.0, "shares", {key_of(0): 1.0}, 0)
    policy.keeps([of_spans(1, 10_000)], [0])
    assert letters(policy.keeps([of_spans(9, 20_000), of_spans(1, 20_000)], [0, 0])) == "yy"


def test_old_shares_count_for_none() -> None:
    text = "policies: [{name: p, type: rate_limiting, rate_limiting: {spans_per_second: 5}}]"
    policy = OnePolicy(text, partitions=2)
    rates = policy.compilation.rates
    rates.tables["p"] = RateTable(5_000, "p", 5.0, "shares", {key_of(0): 1.0}, 0)
    old_ms = 5_000 + OLD_MS + INTERVAL_MS
    found = [
        letters(policy.keeps([of_spans(5, at_ms), of_spans(5, at_ms)], [0, 0]))
        for at_ms in (old_ms - 1_000, old_ms + 10_000)
    ]
    assert found == ["yy", "yn"]
    assert (rates.by_table, rates.by_own) == (2, 2)


def test_a_goal_that_nobody_has_asked_since_it_was_told_of_is_not_behind() -> None:
    plans = [limit_plan([name], "spans", 1.0, 1) for name in "ab"]
    rates = RateTables()
    for version, plan in zip((100_000, 200_000), plans, strict=True):
        rates.tables[plan.policy] = RateTable(version, plan.policy, 1.0, "shares", {}, 1.0)
    known = [rates.newest_ms]
    rates.find(plans[0], np.array([103_000]))
    rates.find(plans[1], np.array([230_000]))
    known.append(rates.newest_ms)
    rates.find(plans[0], np.array([90_000, 106_000]))
    known.append(rates.newest_ms)
    assert known == [None, 200_000, 100_000]
    assert (rates.by_table, rates.by_own) == (4, 0)
