"""Rates of shared budgets, so that the goal holds for the sum over all partitions and workers.

Each partition's demand is smoothed over its own intervals and the partitions are added up, as one
that lags behind asks for as much as one that does not. What a key asks for is shared by
water-filling; a rate rises by steps and falls at once. Of a limit the keys are the partitions
themselves, and what is told is each one's share.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamsampler.config import Settings
from streamsampler.estimates import eased, logarithmic, summaries, tables, water_filling
from streamsampler.estimates.summaries import INTERVAL_MS, Demand, Goal, Key, Summary, rows_of
from streamsampler.estimates.tables import RateTable
from topologies.app import App, app_from_environment
from topologies.entries import Entry
from topologies.publishing import assemble, intervals
from topologies.shards import Shards

NAME: Final = "rates"
KIND: Final = "demands"
EVERY_MS: Final = 1_000
SMOOTHING: Final = 0.3
"""How much the newest of a partition's intervals counts."""
LIMIT_SMOOTHING: Final = 0.5
"""Likewise of a limit: a share that somebody cannot use any more is wasted."""
BURST: Final = 2.0
"""What asks for more than so many times what it did is taken at its word at once."""
SMALLEST_RATE: Final = 1e-9
SMALLEST_WEIGHT: Final = 1e-9
LEAST_SHARE: Final = 0.1
"""Of an equal share of a limit: a partition that has asked for nothing can begin with it."""
SMALLEST_DEMAND: Final = 1e-6
"""Cost a second; a key that asks for less has gone."""

Floats = npt.NDArray[np.float64]
Costs = Mapping[Key, float]


@dataclass(frozen=True, slots=True)
class _Published:
    """The rates of a policy, and those before them.

    Attributes:
        interval: The newest that they follow from.
        rates: By key.
        before: The rates of the interval before, which these were eased from.
    """

    interval: int
    rates: Costs
    before: Costs


class Rates:
    """The budgets of one shard."""

    def __init__(self) -> None:
        self._entries: dict[Entry, tuple[Demand, ...]] = {}
        self._published: dict[str, _Published] = {}
        self._made: Mapping[bytes, bytes] | None = None

    def put(self, entry: Entry, summary: Summary) -> None:
        """Take a summary in, instead of the one that came under this identity before."""
        if self._entries.get(entry) != (rows := rows_of(Demand, summary)):
            self._entries[entry] = rows
            self._made = None

    def forget(self, entry: Entry) -> None:
        """Let a summary go; nothing happens where there is none."""
        if self._entries.pop(entry, None) is not None:
            self._made = None

    def closing(self) -> Iterator[tuple[Entry, Summary]]:
        """Tell nothing: the entries are all there is to keep."""
        return iter(())

    def tables(self) -> Mapping[bytes, bytes]:
        """Tell the records of the tables topic, key and value."""
        if self._made is None:  # else there is no news
            made = (self._table(policy) for policy in sorted(self._policies()))
            self._made = {b"rates/" + table.policy.encode(): tables.pack(table) for table in made}
        return self._made

    def _policies(self) -> set[str]:
        return {row.policy for rows in self._entries.values() for row in rows}

    def _table(self, policy: str) -> RateTable:
        known = [
            (entry, row)
            for entry in sorted(self._entries, key=lambda entry: (entry.interval, entry))
            for row in self._entries[entry]
            if row.policy == policy
        ]
        newest, goal = known[-1][0].interval, known[-1][1].goal
        # A policy of this name may have had another kind of goal a moment ago.
        known = [(entry, row) for entry, row in known if _alike(row.goal, goal)]
        if goal.balance == "shares":
            asked = smoothed_demand(_within(goal, known), LIMIT_SMOOTHING)
            rates, other = partition_shares(goal, asked)
        else:
            rates, other = self._eased(policy, goal, known, newest), goal.initial
        return RateTable(newest * INTERVAL_MS, policy, goal.per_second, goal.balance, rates, other)

    def _eased(
        self, policy: str, goal: Goal, known: list[tuple[Entry, Demand]], newest: int
    ) -> dict[Key, float]:
        """Rates that follow from what is known, on their way from those of the interval before."""
        last = self._published.get(policy)
        if last is None:  # nothing is known to have been published: as the entries had it
            older = [(entry, row) for entry, row in known if entry.interval < newest]
            before: Costs = shared(goal, smoothed_demand(older), {})
        else:  # rates made again of one interval are eased from the same ones
            before = last.before if last.interval == newest else last.rates
        rates = shared(goal, smoothed_demand(known), before)
        self._published[policy] = _Published(newest, rates, before)
        return rates


def _alike(one: Goal, other: Goal) -> bool:
    """Whether demands of both count the same thing, under the same kind of keys."""
    return one.unit == other.unit and (one.balance == "shares") == (other.balance == "shares")


def _within(goal: Goal, rows: list[tuple[Entry, Demand]]) -> list[tuple[Entry, Demand]]:
    """Demands of a limit, none larger than all there is: no partition can use more."""
    most = goal.per_second * INTERVAL_MS / 1_000
    return [
        (entry, replace(row, costs={k: (n, min(cost, most)) for k, (n, cost) in row.costs.items()}))
        for entry, row in rows
    ]


def smoothed_demand(
    rows: list[tuple[Entry, Demand]], smoothing: float = SMOOTHING
) -> dict[Key, float]:
    """Tell what each key asks for in a second, in all partitions.

    Args:
        rows: Of one policy, with their identities.
        smoothing: How much the newest of a partition's intervals counts.

    Returns:
        Cost a second, smoothed but for bursts, by key; those that have gone are left out.
    """
    costs: dict[int, dict[int, dict[Key, float]]] = defaultdict(lambda: defaultdict(dict))
    for entry, row in rows:  # the parts of an interval are added up
        interval = costs[entry.partition][entry.interval]
        for key, (_, cost) in row.costs.items():
            interval[key] = interval.get(key, 0.0) + cost
    total: dict[Key, float] = {}
    newest: dict[Key, float] = {}
    for partition in sorted(costs):
        for key, cost in _one_partition(costs[partition], smoothing).items():
            total[key] = total.get(key, 0.0) + cost * 1_000 / INTERVAL_MS
        for key, cost in costs[partition][max(costs[partition])].items():
            newest[key] = newest.get(key, 0.0) + cost * 1_000 / INTERVAL_MS
    for key, cost in newest.items():
        if cost > BURST * total[key]:
            total[key] = cost
    return {key: cost for key, cost in total.items() if cost >= SMALLEST_DEMAND}


def _one_partition(costs: Mapping[int, Costs], smoothing: float) -> dict[Key, float]:
    first, last = min(costs), max(costs)
    smoothed: dict[Key, float] = {}
    for interval in sorted(costs):  # one without traces counts as zero for all keys
        # What counts in interval i weighs a (1 - a)^(last - i); in the first, all that is older.
        age = (1 - smoothing) ** (last - interval)
        weight = age if interval == first else smoothing * age
        for key, cost in costs[interval].items():
            smoothed[key] = smoothed.get(key, 0.0) + weight * cost
    return smoothed


def shared(goal: Goal, demand: Costs, before: Costs) -> dict[Key, float]:
    """Share a goal among those who ask for some of it.

    Args:
        goal: What is shared, and how.
        demand: Cost a second by key, above 0.
        before: The rates of the interval before.

    Returns:
        Rates, above 0 and at most 1, of the keys that ask for most.
    """
    ranked = sorted(demand, key=lambda key: (-demand[key], key))
    keys, others = sorted(ranked[: goal.max_keys]), ranked[goal.max_keys :]
    if not keys:
        return {}
    # Keys without a rate of their own go by the initial one, and count towards the goal too.
    unlisted = sum(demand[key] for key in others) * goal.initial
    means = np.array([demand[key] for key in keys])
    caps = np.array([goal.caps.get(key, goal.default_cap) for key in keys])
    budget = max(0.0, goal.per_second - unlisted)
    wanted = means * caps
    if goal.balance == "log":
        interval = INTERVAL_MS / 1_000
        given = np.minimum(wanted, means * logarithmic(means * interval, budget * interval))
        weights = given  # what whole numbers leave is shared as the rest was
    else:
        given = np.zeros(len(keys))
        weights = np.array([goal.weights.get(key, goal.default_weight) for key in keys])
    rest = max(0.0, budget - float(given.sum()))
    shares = given + water_filling(wanted - given, np.maximum(weights, SMALLEST_WEIGHT), rest)
    rates: Floats = np.where(shares >= wanted, caps, shares / means)
    rates = eased(np.array([before.get(key, math.nan) for key in keys]), rates)
    return dict(zip(keys, np.clip(rates, SMALLEST_RATE, 1.0).tolist(), strict=True))


def partition_shares(goal: Goal, demand: Costs) -> tuple[dict[Key, float], float]:
    """Share a limit among the partitions of the input.

    It is poured out by what they ask for, of which each may be thought to ask for a little; what
    nobody asks for is spread evenly, so that the shares add up to the whole limit.

    Args:
        goal: The limit; `max_keys` is the number of partitions.
        demand: Cost a second by partition, above 0.

    Returns:
        The shares of those that ask for something, and that of each other one; together 1.
    """
    keys = sorted(demand)
    partitions = max(1, goal.max_keys, len(keys))
    if goal.per_second <= 0:
        return {}, 1 / partitions
    least = LEAST_SHARE * goal.per_second / partitions
    wanted = np.full(partitions, least)
    wanted[: len(keys)] = np.maximum([demand[key] for key in keys], least)
    filled = water_filling(wanted, np.ones(partitions), goal.per_second)
    left = max(0.0, goal.per_second - float(filled.sum())) / partitions
    shares = ((filled[: len(keys)] + left) / goal.per_second).tolist()
    return dict(zip(keys, shares, strict=True)), (least + left) / goal.per_second


def make_app(settings: Settings) -> App:
    """Make the app.

    Args:
        settings: The settings.

    Returns:
        The app, not started.

    Raises:
        ConfigError: Something in them has no counterpart in Faust.
    """
    retained = {KIND: intervals(settings.topology.window_ms)}
    shards = Shards(summaries.unpack, summaries.pack, retained, lambda _: Rates())
    return assemble(settings, NAME, shards, EVERY_MS).app


def __getattr__(name: str) -> Any:
    """Make the app when `faust -A topologies.rates` asks for it, and not on import."""
    if name == "app":
        return globals().setdefault(name, app_from_environment(__name__))
    raise AttributeError(name)
