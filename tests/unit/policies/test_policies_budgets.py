"""Goals that all workers hold together: one partition's part, and many with the rates app."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import tables
from streamsampler.estimates.summaries import Demand, Goal, Summary
from streamsampler.estimates.tables import RateTable
from streamsampler.policies import TenantNumbers
from streamsampler.policies.budgets import (
    LEVEL,
    MOST,
    SMALLEST_RATE,
    TAU_MS,
    Account,
    Budget,
    KeyNumbers,
    govern,
)
from streamsampler.policies.demands import DemandRecord, Plan
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.roots import RootNumbers
from streamsampler.policies.votes import Ints32
from topologies.entries import Entry
from topologies.rates import Rates


def plain_govern(
    level: tuple[float, float],
    rows: list[tuple[int, float, float]],
    per_ms: float,
    smallest: float,
) -> tuple[list[float], float]:
    """One trace after the other, by the definition: time, rate and cost of each."""
    amount, last = level
    floor = -min(MOST, -math.log(smallest))
    chances = []
    for now, rate, cost in rows:
        if last >= 0:
            amount -= per_ms * max(0.0, now - last)
        last = max(last, now)
        amount = min(max(amount, floor * per_ms * TAU_MS), MOST * per_ms * TAU_MS)
        chance = min(1.0, rate * math.exp(-amount / (per_ms * TAU_MS)))
        amount += chance * cost
        chances.append(chance)
    return chances, amount


STEPS = st.tuples(st.integers(0, 3_000), st.floats(SMALLEST_RATE, 1), st.floats(0, 1e6))


@given(st.lists(STEPS, max_size=60), st.floats(1e-3, 1e4), st.integers(0, 60))
def test_the_kernel_does_what_the_definition_says_cut_anywhere(
    steps: list[tuple[int, float, float]], per_ms: float, cut: int
) -> None:
    now, rows = 0, []
    for step, rate, cost in steps:
        now += step
        rows.append((now, rate, cost))
    smallest = min((rate for _, rate, _ in rows), default=1.0)
    level = np.array([0.0, -1.0])
    expected: list[float] = []
    state = (0.0, -1.0)
    found: list[float] = []
    for part in (rows[:cut], rows[cut:]):
        times = np.array([one[0] for one in part], np.int64)
        base, costs = (np.array([float(one[place]) for one in part]) for place in (1, 2))
        chances = np.empty(len(part))
        govern(level, times, base, costs, per_ms, smallest, chances)
        found += chances.tolist()
        made, amount = plain_govern(state, part, per_ms, smallest)
        expected += made
        state = (amount, float(part[-1][0]) if part else state[1])
    assert found == pytest.approx(expected, rel=1e-9)
    assert level[LEVEL] == pytest.approx(state[0], rel=1e-9, abs=1e-9)


GROUPS = 40


def named_groups() -> tuple[GroupNumbers, Ints32]:
    roots = RootNumbers()
    numbers = [roots.number(b"s", b"%d" % one) for one in range(GROUPS)]
    groups = GroupNumbers(TenantNumbers(), roots)
    return groups, groups.of(np.zeros(GROUPS, np.uint32), np.array(numbers, np.uint32))


@dataclass
class Fleet:
    """Partitions of one goal, and the rates app that hears of them with a delay."""

    partitions: int
    per_second: float
    control_plane: bool
    seed: int = 1
    rates: Rates = field(default_factory=Rates)
    table: RateTable | None = None
    now_ms: int = 1_000_000
    offered: int = 0

    def __post_init__(self) -> None:
        goal = Goal("traces", self.per_second, 0.1, "fair", {}, 1.0, {}, 1.0, 500)
        groups, self.numbers = named_groups()
        plan = Plan("goal", goal, self.partitions)
        self.budgets = [
            Budget(Account(DemandRecord(plan)), KeyNumbers(groups, ("tenant", "service", "name")))
            for _ in range(self.partitions)
        ]
        self.rng = np.random.default_rng(self.seed)
        weights = 1 / np.arange(1, GROUPS + 1) ** 1.2
        self.weights = weights / weights.sum()

    def run(self, offered: float, seconds: int) -> Iterator[int]:
        """Offer so many traces a second; yields what was kept in each second."""
        for _ in range(seconds):
            kept = 0
            for budget in self.budgets:
                n = int(self.rng.poisson(offered / self.partitions))
                times = np.sort(self.rng.integers(self.now_ms, self.now_ms + 1_000, n))
                self.offered += n
                groups = self.rng.choice(self.numbers, n, p=self.weights).astype(np.int32)
                chances = budget.decide(self.table, times, groups, np.ones(n, np.int64))
                kept += int((self.rng.random(n) < chances).sum())
            self.now_ms += 1_000
            if self.control_plane:
                self._hear()
            yield kept

    def _hear(self) -> None:
        interval = self.now_ms // 5_000
        for partition, budget in enumerate(self.budgets):
            for summary in budget.tell(partition, interval, 0):
                self.rates.put(Entry(b"d", 0, partition, summary.interval, 0), summary)
        for value in self.rates.tables().values():
            table = tables.unpack(value)
            assert isinstance(table, RateTable)
            self.table = table


@pytest.mark.parametrize("control_plane", [True, False])
def test_a_goal_is_held_by_many_partitions_through_steps(*, control_plane: bool) -> None:
    fleet = Fleet(100, 1_000.0, control_plane)
    for offered in (5_000.0, 200_000.0, 2_000.0):
        kept = np.array(list(fleet.run(offered, 60)))
        assert kept.mean() == pytest.approx(1_000, rel=0.05)
        for start in range(10, 60, 10):
            assert kept[start : start + 10].mean() == pytest.approx(1_000, rel=0.2)


def test_what_is_rare_is_kept_whole_and_the_frequent_share_the_rest() -> None:
    fleet = Fleet(4, 400.0, control_plane=True)
    list(fleet.run(1_000, 60))
    assert fleet.table is not None
    by_name = {int(key[2]): rate for key, rate in fleet.table.rates.items()}
    assert by_name[GROUPS - 1] == 1.0
    assert by_name[0] < by_name[5] <= 1.0
    asked = 1_000 * fleet.weights
    expected = sum(by_name[name] * asked[name] for name in range(GROUPS))
    assert expected == pytest.approx(400, rel=0.1)


def test_less_than_the_goal_is_kept_whole_and_a_night_hoards_seconds() -> None:
    fleet = Fleet(4, 400.0, control_plane=True)
    list(fleet.run(40, 40))
    assert sum(fleet.run(40, 10)) == pytest.approx(400, rel=0.15)
    fleet.now_ms += 3_600_000
    first = next(fleet.run(8_000, 1))
    # A wave of twenty times the goal, and what lifts the initial rate of 0.1 to 1.
    assert first < 400 * (1 + TAU_MS / 1_000 * (math.log(20) + math.log(10)))


def asked_for(told: Summary) -> int:
    (row,) = told.body  # type: ignore[misc]
    assert isinstance(row, Demand)
    return sum(count for count, _ in row.costs.values())


def test_demands_are_told_once_an_interval_is_over() -> None:
    fleet = Fleet(1, 10.0, control_plane=False)
    (budget,) = fleet.budgets
    list(fleet.run(100, 7))
    interval = fleet.now_ms // 5_000
    (told,) = budget.tell(0, interval, 3)
    assert (told.kind, told.interval, told.part) == ("demands", interval - 1, 3)
    assert list(budget.tell(0, interval, 3)) == []
    (rest,) = budget.tell(0, None, 3)
    assert asked_for(told) + asked_for(rest) == fleet.offered


@pytest.mark.parametrize("per_second", [20.0, 2_000.0])
@given(st.lists(st.integers(0, 600), max_size=4))
def test_a_goal_without_tables_does_not_depend_on_where_batches_end(
    per_second: float, cuts: list[int]
) -> None:
    """Nor on which groups other partitions have met meanwhile."""
    times = np.concatenate(([0], np.arange(3_600, 4_000), np.arange(4_100, 12_000, 30)))

    def chances(*edges: int) -> list[float]:
        groups, numbers = named_groups()
        goal = Goal("traces", per_second, 0.5, "fair", {}, 1.0, {}, 1.0, 500)
        keys = KeyNumbers(groups, ("tenant", "service", "name"))
        budget = Budget(Account(DemandRecord(Plan("g", goal, 1))), keys)
        met = numbers[np.arange(len(times)) % 7].astype(np.int32)
        found: list[float] = []
        for first, behind in pairwise((0, *sorted(edges), len(times))):
            some = slice(first, behind)
            costs = np.ones(behind - first, np.int64)
            found += budget.decide(None, times[some], met[some], costs).tolist()
            keys.of(numbers[:20])
        return found

    assert chances(*cuts) == chances()
