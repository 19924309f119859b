"""What is asked of goals that all workers hold together: what partitions count, what they are told.

A partition counts what each key asks for, by interval, and tells it when the interval is over
(`DemandRecord`). The control plane joins what all of them tell, and tells rates (`RateTables`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, runtime_checkable

import numpy as np

from streamsampler.estimates.summaries import (
    INTERVAL_MS,
    MOST_UNTOLD,
    Demand,
    Goal,
    Key,
    Summary,
    rows_of,
)
from streamsampler.estimates.tables import RateTable, is_old
from streamsampler.policies.votes import Floats, Ints32, Ints64

_NEVER: Final = -(2**62)


@dataclass(slots=True)
class RateTables:
    """What the control plane told of goals.

    Attributes:
        tables: By policy.
        asked: The policies that go by them, and the stream time of the last trace that did, ms.
        by_table: Traces that went by a rate of these.
        by_own: Traces that went by a partition's own, as there was none, or an old one.
    """

    tables: dict[str, RateTable] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    by_table: int = 0
    by_own: int = 0

    def find(self, plan: "Plan", times: Ints64) -> RateTable | None:
        """Find a policy's rates.

        Args:
            plan: Of its goal.
            times: int64[m], stream time of each trace that is about to go by them, ms.

        Returns:
            The rates; None where nobody told any, those told are old, or those of another kind of
            goal that a policy of this name had before.
        """
        if not len(times):
            return None
        self.asked[plan.policy] = latest = int(times.max())
        table = self.tables.get(plan.policy)
        if table is None or table.balance != plan.goal.balance or is_old(table.version, latest):
            self.by_own += len(times)
            return None
        self.by_table += len(times)
        return table

    @property
    def newest_ms(self) -> int | None:
        """Stream time up to which the goal that is furthest behind is known, ms.

        One of which nothing has been asked since lacks nothing.
        """
        known = (
            table.version
            for policy, table in self.tables.items()
            if self.asked.get(policy, _NEVER) >= table.version + INTERVAL_MS
        )
        return min(known, default=None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy's goal is in one partition.

    Attributes:
        policy: Its names, from the top down, joined by "/".
        goal: Of all partitions.
        partitions: How many share it.
    """

    policy: str
    goal: Goal
    partitions: int

    @property
    def per_ms(self) -> float:
        """The partition's part: cost for each ms."""
        return self.goal.per_second / 1_000 / self.partitions


def _none() -> Floats:
    return np.zeros(0)


@dataclass(slots=True)
class _Interval:
    """What keys asked for in one interval: float64[keys] each."""

    traces: Floats = field(default_factory=_none)
    costs: Floats = field(default_factory=_none)


@dataclass(slots=True)
class DemandRecord:
    """What keys ask of one policy's goal in one partition, until it is told.

    Attributes:
        plan: Of the policy.
        intervals: What was asked for, by the number of the interval.
    """

    plan: Plan
    intervals: dict[int, _Interval] = field(default_factory=dict)

    def note(self, times: Ints64, keys: Ints32, costs: Ints64, size: int) -> None:
        """Count what keys ask for.

        Args:
            times: int64[m], stream time, ms.
            keys: int32[m], numbers of keys.
            costs: int64[m], what each trace costs if it is kept.
            size: How many keys there are.
        """
        numbers = times // INTERVAL_MS
        for number in np.unique(numbers).tolist():
            now = numbers == number
            one = self.intervals.setdefault(number, _Interval())
            if len(self.intervals) > MOST_UNTOLD:  # nobody wants to know
                del self.intervals[min(self.intervals)]
            one.traces = _added(one.traces, keys[now], np.ones(int(now.sum())), size)
            one.costs = _added(one.costs, keys[now], costs[now].astype(np.float64), size)

    def tell(
        self, names: Sequence[Key], partition: int, before: int | None, part: int
    ) -> Iterator[Summary]:
        """Tell what was asked for in intervals that are over, each once.

        Args:
            names: The keys, in the order of their numbers.
            partition: The input partition.
            before: Number of the interval that is not over yet; None: all are.
            part: Tells the sums of two owners of the partition apart.

        Yields:
            One summary an interval, oldest first.
        """
        for number in sorted(self.intervals):
            if before is None or number < before:
                one = self.intervals.pop(number)
                places = np.flatnonzero(one.traces).tolist()
                costs = {
                    names[place]: (int(one.traces[place]), float(one.costs[place]))
                    for place in places
                }
                demand = Demand(self.plan.policy, self.plan.goal, costs)
                yield Summary("demands", partition, number, part, (demand,))


def _added(column: Floats, keys: Ints32, more: Floats, size: int) -> Floats:
    longer = np.zeros(size)
    longer[: len(column)] = column
    np.add.at(longer, keys, more)
    return longer


@runtime_checkable
class Asking(Protocol):
    """What a policy learned of a partition, where it has a goal that all workers hold together."""

    def tell(self, partition: int, before: int | None, part: int) -> Iterator[Summary]:
        """Tell what was asked for in intervals that are over, each once.

        Args:
            partition: The input partition.
            before: Number of the interval that is not over yet; None: all are.
            part: Tells the sums of two owners of the partition apart.

        Yields:
            One summary an interval, oldest first.
        """
        ...


@dataclass(slots=True)
class LimitShare:
    """One partition's share of a limit of the whole group.

    It is what the control plane tells by what the partitions ask for; until it does, all are equal.

    Attributes:
        asked: What is asked of the limit here.
    """

    asked: DemandRecord

    def equal_shares(self, table: RateTable | None, partition: int) -> float:
        """Tell how many equal shares the partition has.

        Args:
            table: The control plane's shares; None: all are equal.
            partition: The input partition.

        Returns:
            1 where nothing else is told.
        """
        if table is None:
            return 1
        return self.asked.plan.partitions * table.rates.get(key_of(partition), table.initial)

    def note(self, times: Ints64, costs: Ints64) -> None:
        """Count what is asked for.

        Args:
            times: int64[m], stream time, ms.
            costs: int64[m], what each trace costs if it is kept.
        """
        self.asked.note(times, np.zeros(len(times), np.int32), costs, 1)

    def tell(self, partition: int, before: int | None, part: int) -> Iterator[Summary]:
        """Tell what was asked for; `Asking` says how."""
        return self.asked.tell([key_of(partition)], partition, before, part)


def limit_plan(policy: Sequence[str], unit: str, per_second: float, partitions: int) -> Plan:
    """Say what is limited, for the control plane.

    Args:
        policy: The names, from the top policy down.
        unit: What is limited, `spans` or `bytes`.
        per_second: By how much, for the whole group.
        partitions: How many share it.

    Returns:
        The plan of a goal whose keys are the partitions.
    """
    goal = Goal(unit, per_second, 1 / partitions, "shares", {}, 1.0, {}, 1.0, partitions)
    return Plan("/".join(policy), goal, partitions)


def key_of(partition: int) -> Key:
    """Name a partition among those that share a limit.

    Args:
        partition: The input partition.

    Returns:
        The key of its share.
    """
    return (b"%d" % partition,)


def joined(told: Iterable[Summary]) -> list[Summary]:
    """Join the demands of several policies on one interval, as they have one identity.

    Args:
        told: Summaries of one partition.

    Returns:
        One for each interval, in their order.
    """
    by_interval: dict[int, list[Summary]] = {}
    for one in told:
        by_interval.setdefault(one.interval, []).append(one)
    made = []
    for interval in sorted(by_interval):
        first, *_ = same = by_interval[interval]
        rows = [row for one in same for row in rows_of(Demand, one)]
        made.append(replace(first, body=tuple(rows)))
    return made
