"""A budget that tenants share: what each asks for is measured, and what there is poured out.

The control plane tells a rate for each tenant from what all partitions are asked for
(`policies.budgets`). Until it does, a partition shares its equal part of the budget itself: every
second of stream time, by water-filling over what the tenants have asked for so far. Rates trail
demand by a second or more; what was let through beyond the budget meanwhile, by the rates and not
by the outcome, is owed: as long as it is, part of the budget repays it.

A rate is a threshold, R >= T, so what is kept can be counted up exactly; R itself has no part in
finding it.

Hot: a few passes over the due traces and, once a second, over the tenants; together about 90 ns
a trace where 5,000 traces of 2,000 tenants are due in a second.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streamsampler.estimates import faded, smoothed, thresholds, water_filling
from streamsampler.estimates.summaries import Key, Summary
from streamsampler.estimates.tables import RateTable
from streamsampler.policies.budgets import Account
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.votes import Floats, Ints32, Ints64, Words

INTERVAL_MS: Final = 1000
SMOOTHING: Final = 0.25
"""How much of a demand's mean is the last interval: three quarters of a step in 5 s."""
SMALLEST_DEMAND: Final = 1e-3
"""Of less in an interval, a tenant is forgotten, and new when it comes again."""
REPAID: Final = 0.5
"""Of the budget, at most, while something is owed: nobody starves for what others took."""
MOST_OWED: Final = 10.0
"""Intervals' budgets; beyond, a wave of long ago would be felt for too long."""

_BEFORE_ANY: Final = -1


@dataclass(frozen=True, slots=True)
class ByTenant:
    """A number for each tenant.

    Attributes:
        listed: By tenant number.
        rest: For all others.
    """

    listed: Mapping[int, float]
    rest: float

    def column(self, start: int, stop: int) -> Floats:
        """The numbers of some tenants.

        Args:
            start: The first tenant number.
            stop: The one behind the last.

        Returns:
            float64[stop - start].
        """
        column = np.full(stop - start, self.rest)
        for number, value in self.listed.items():
            if start <= number < stop:
                column[number - start] = value
        return column


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """What one partition shares among its tenants.

    Attributes:
        budget: Cost for each interval.
        caps: The largest rate of each tenant, 0 to 1.
        weights: What the tenants' parts are to one another.
        initial: The rate of a tenant of which nothing is known, 0 to 1; at most its cap.
    """

    budget: float
    caps: ByTenant
    weights: ByTenant
    initial: float


def _none() -> Floats:
    return np.zeros(0)


@dataclass(slots=True)
class Demands:
    """What tenants ask for in one partition, and what they get in the interval under way.

    Attributes:
        interval: Its number.
        owed: Cost let through beyond the budget and not repaid yet.
        caps: float64[tenants].
        weights: float64[tenants].
        means: float64[tenants], cost in an interval; NaN where nothing is known.
        counts: float64[tenants], cost so far in this interval.
        rates: float64[tenants], 0 to 1.
        rejected: uint64[tenants], T of the rates.
    """

    interval: int = _BEFORE_ANY
    owed: float = 0.0
    caps: Floats = field(default_factory=_none)
    weights: Floats = field(default_factory=_none)
    means: Floats = field(default_factory=_none)
    counts: Floats = field(default_factory=_none)
    rates: Floats = field(default_factory=_none)
    rejected: Words = field(default_factory=lambda: np.zeros(0, np.uint64))

    def decide(self, plan: BudgetPlan, times: Ints64, tenants: Ints32, costs: Ints64) -> Words:
        """Tell which threshold each trace has to reach, and count what they ask for.

        Time never runs backwards: a trace that was due before one that is already decided counts
        where time stands.

        Args:
            plan: What is shared.
            times: int64[m], stream time, ms.
            tenants: int32[m].
            costs: int64[m], what each trace costs if it is kept.

        Returns:
            uint64[m], T, or MODULUS for never.
        """
        self.grow(plan, tenants)
        intervals = np.maximum.accumulate(np.maximum(times // INTERVAL_MS, self.interval))
        decided = np.empty(len(tenants), np.uint64)
        for interval in np.unique(intervals).tolist():
            self._begin(plan, interval)
            now = intervals == interval
            decided[now] = self.rejected[tenants[now]]
            self.counts += np.bincount(tenants[now], costs[now], minlength=len(self.counts))
        return decided

    def grow(self, plan: BudgetPlan, tenants: Ints32) -> None:
        """Make room for tenants that are new.

        Args:
            plan: What is shared.
            tenants: int32[m].
        """
        known, count = len(self.means), int(tenants.max(initial=0)) + 1
        if count <= known:
            return
        added = count - known
        caps = plan.caps.column(known, count)
        initial = np.minimum(caps, plan.initial)
        self.caps = np.append(self.caps, caps)
        self.weights = np.append(self.weights, plan.weights.column(known, count))
        self.means = np.append(self.means, np.full(added, np.nan))
        self.counts = np.append(self.counts, np.zeros(added))
        self.rates = np.append(self.rates, initial)
        self.rejected = np.append(self.rejected, thresholds(initial))

    def _begin(self, plan: BudgetPlan, interval: int) -> None:
        """Close the interval under way and share the budget anew."""
        if interval == self.interval:
            return
        if self.interval != _BEFORE_ANY:
            self._close(plan, interval - self.interval)
        self.interval = interval
        self._share(plan)

    def _close(self, plan: BudgetPlan, intervals: int) -> None:
        let_through = float(self.counts @ self.rates)
        owed = self.owed + let_through - intervals * plan.budget
        self.owed = min(max(owed, 0.0), MOST_OWED * plan.budget)
        self.means = faded(smoothed(self.means, self.counts, SMOOTHING), SMOOTHING, intervals - 1)
        self.means[self.means < SMALLEST_DEMAND] = np.nan
        self.counts[:] = 0

    def _share(self, plan: BudgetPlan) -> None:
        known = np.flatnonzero(~np.isnan(self.means))
        caps, means = self.caps[known], self.means[known]
        wanted = means * caps
        budget = max(plan.budget * (1 - REPAID), plan.budget - self.owed)
        shares = water_filling(wanted, self.weights[known], budget)
        self.rates = np.minimum(self.caps, plan.initial)
        self.rates[known] = np.where(shares >= wanted, caps, shares / means)
        self.rejected = thresholds(self.rates)


@dataclass(slots=True)
class TenantShares:
    """A budget in one partition: by the control plane's rates, or by the partition's own.

    Attributes:
        plan: What the partition shares where nobody tells.
        account: Of the goal that all workers hold together.
        tenants: Numbers the tenants.
        demands: What they ask for here.
    """

    plan: BudgetPlan
    account: Account
    tenants: TenantNumbers
    demands: Demands = field(default_factory=Demands)

    def decide(
        self, table: RateTable | None, times: Ints64, tenants: Ints32, costs: Ints64
    ) -> Words:
        """Tell which threshold each trace has to reach, and count what they ask for.

        Args:
            table: The control plane's rates; None: there are none yet.
            times: int64[m], stream time, ms.
            tenants: int32[m].
            costs: int64[m], what each trace costs if it is kept.

        Returns:
            uint64[m], T, or MODULUS for never.
        """
        self.demands.grow(self.plan, tenants)
        caps, size = self.demands.caps, len(self.demands.caps)
        allowed = caps[tenants] > 0
        self.account.asked.note(times[allowed], tenants[allowed], costs[allowed], size)
        if table is None:
            return self.demands.decide(self.plan, times, tenants, costs)
        rates = np.minimum(self.account.rates(table, size, self._names), caps)
        chances = np.zeros(len(tenants))
        chances[allowed] = self.account.chances(
            times[allowed], rates[tenants[allowed]], costs[allowed],
            float(rates[caps > 0].min(initial=1.0)),
        )  # fmt: skip
        return thresholds(np.minimum(chances, caps[tenants]))

    def tell(self, partition: int, before: int | None, part: int) -> Iterator[Summary]:
        """Tell what was asked for; `policies.demands.Asking` says how."""
        return self.account.asked.tell(self._names(), partition, before, part)

    def _names(self) -> list[Key]:
        return [(self.tenants.name(number),) for number in range(len(self.demands.caps))]
