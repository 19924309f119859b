"""A goal that all workers hold together: what one partition lets through of its part of it.

The control plane tells a rate for each key every few seconds; without it a partition shares its
part of the goal among what it has seen itself, once a second. Between two tables a level keeps
count: it falls by the partition's part of the goal and rises by what is expected to be let through,
and the higher it is the lower are all rates. So over any time what is let through is the goal times
that time, but for the change of the level. R has no part in it: a rate is a threshold, R >= T.

Hot: one step of a compiled loop with an exponential, about 20 ns, for each trace that is asked
about, and a few passes over the columns.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from streamsampler.estimates import eased, faded, smoothed, water_filling
from streamsampler.estimates.summaries import INTERVAL_MS, Group, Key, Summary
from streamsampler.estimates.tables import RateTable
from streamsampler.policies.demands import DemandRecord, Plan
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.votes import Floats, Ints32, Ints64
from streamsampler.spans.compiled import kernel

OWN_MS: Final = 1_000
"""A partition's own rates follow its demand so often, in stream time."""
SMOOTHING: Final = 0.25
SMALLEST_DEMAND: Final = 1e-3
"""Of less in `OWN_MS`, a key is forgotten."""
TAU_MS: Final = 1_250.0
"""A level of so much of the goal lowers all rates by 63 %."""
MOST: Final = 7.0
"""Of the exponent: rates are lowered and raised by a factor of a thousand at most."""
SMALLEST_RATE: Final = 1e-9
RISE: Final = 1.5 ** (OWN_MS / INTERVAL_MS)
"""By how much a partition's own rate may grow in `OWN_MS`: as much as the control plane's."""

_BEFORE_ANY: Final = -1
LEVEL, AT_MS = 0, 1

Part = Literal["tenant", "service", "name"]
_PLACES: Final[Mapping[Part, int]] = {"tenant": 0, "service": 1, "name": 2}


class KeyNumbers:
    """Numbers for what a goal is shared by: some parts of the traces' groups."""

    def __init__(self, groups: GroupNumbers, parts: Sequence[Part]) -> None:
        """Begin without keys.

        Args:
            groups: The groups' names.
            parts: Which of theirs make a key.
        """
        self._groups = groups
        self._places = [_PLACES[part] for part in parts]
        self._numbers: dict[Key, int] = {}
        self._of_group: Ints32 = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, groups: Ints32) -> Ints32:
        """Number the keys of traces.

        Args:
            groups: int32[n], numbers of groups.

        Returns:
            int32[n].
        """
        known = len(self._of_group)
        if known < self._groups.count:
            new = [self._number(self._groups.name(one)) for one in range(known, self._groups.count)]
            self._of_group = np.append(self._of_group, np.array(new, np.int32))
        found: Ints32 = self._of_group[groups]
        return found

    def _number(self, group: Group) -> int:
        key = tuple(group[place] for place in self._places)
        return self._numbers.setdefault(key, len(self._numbers))

    def names(self) -> list[Key]:
        """Tell the keys in the order of their numbers."""
        return list(self._numbers)


def _none() -> Floats:
    return np.zeros(0)


@dataclass(slots=True)
class Account:
    """One policy's goal in one partition: what was let through, and what is to be told.

    Attributes:
        asked: What keys ask for.
        level: float64[2], the level, and stream time when it was that, ms.
        table: The control plane's rates that `told` was made of.
        told: float64[keys], from it.
    """

    asked: DemandRecord
    level: Floats = field(default_factory=lambda: np.array([0.0, -1.0]))
    table: RateTable | None = None
    told: Floats = field(default_factory=_none)

    @property
    def plan(self) -> Plan:
        """What the goal is here."""
        return self.asked.plan

    def rates(self, table: RateTable, size: int, names: Callable[[], Sequence[Key]]) -> Floats:
        """Look the control plane's rates up.

        Args:
            table: Its table.
            size: How many keys there are.
            names: Tells them, in the order of their numbers.

        Returns:
            float64[keys], above 0 and at most 1.
        """
        if self.table is not table or len(self.told) != size:
            rates = [table.rates.get(key, table.initial) for key in names()]
            self.told = np.clip(np.array(rates), SMALLEST_RATE, 1.0)
            self.table = table
        return self.told

    def chances(self, times: Ints64, base: Floats, costs: Ints64, smallest: float) -> Floats:
        """Lower or raise rates, so that the partition's part of the goal is held.

        Args:
            times: int64[m], stream time, ms.
            base: float64[m], the rates of the traces' keys, above 0.
            costs: int64[m], what each costs if it is kept.
            smallest: Of all rates in use.

        Returns:
            float64[m], above 0 and at most 1.
        """
        found = np.empty(len(base))
        price = costs.astype(np.float64)
        govern(self.level, times, base, price, self.plan.per_ms, smallest, found)
        return found


@dataclass(slots=True)
class Budget:
    """One policy's goal in one partition, shared by what the partition has seen itself.

    Attributes:
        account: Of the goal.
        keys: Numbers what the goal is shared by.
        own: Number of the second under way, for the partition's own rates.
        means: float64[keys], cost in a second; NaN where nothing is known.
        counts: float64[keys], cost so far in this second.
        rates: float64[keys], the partition's own.
    """

    account: Account
    keys: KeyNumbers
    own: int = _BEFORE_ANY
    means: Floats = field(default_factory=_none)
    counts: Floats = field(default_factory=_none)
    rates: Floats = field(default_factory=_none)

    def decide(
        self, table: RateTable | None, times: Ints64, groups: Ints32, costs: Ints64
    ) -> Floats:
        """Tell with which probability each trace is kept, and count what is asked for.

        Args:
            table: The control plane's rates; None: there are none.
            times: int64[m], stream time, ms.
            groups: int32[m], numbers of their groups.
            costs: int64[m], what each costs if it is kept.

        Returns:
            float64[m], above 0 and at most 1.
        """
        keys = self.keys.of(groups)
        self._grow()
        self.account.asked.note(times, keys, costs, len(self.means))
        chances = np.empty(len(keys))
        seconds = np.maximum.accumulate(np.maximum(times // OWN_MS, self.own))
        for second in np.unique(seconds).tolist():
            self._begin(second)
            now = seconds == second
            if table is None:
                base = self.rates[keys[now]]
                chances[now] = self.account.chances(times[now], base, costs[now], self._smallest())
            self.counts += np.bincount(keys[now], costs[now], minlength=len(self.counts))
        if table is None:
            return chances
        column = self.account.rates(table, len(self.means), self.keys.names)
        return self.account.chances(times, column[keys], costs, float(column.min()))

    def _smallest(self) -> float:
        """The smallest rate that a trace may meet now; whoever else is numbered changes nothing."""
        known = self.rates[~np.isnan(self.means)]
        return min(float(known.min(initial=1.0)), self._initial)

    def _grow(self) -> None:
        added = len(self.keys) - len(self.means)
        if added > 0:
            self.means = np.append(self.means, np.full(added, np.nan))
            self.counts = np.append(self.counts, np.zeros(added))
            self.rates = np.append(self.rates, np.full(added, self._initial))

    @property
    def _initial(self) -> float:
        return max(self.account.plan.goal.initial, SMALLEST_RATE)

    def _begin(self, second: int) -> None:
        if second == self.own:
            return
        if self.own != _BEFORE_ANY:
            means = smoothed(self.means, self.counts, SMOOTHING)
            self.means = faded(means, SMOOTHING, second - self.own - 1)
            self.means[self.means < SMALLEST_DEMAND] = np.nan
            self.counts[:] = 0
            self._share()
        self.own = second

    def _share(self) -> None:
        known = np.flatnonzero(~np.isnan(self.means))
        means = self.means[known]
        shares = water_filling(means, np.ones(len(known)), self.account.plan.per_ms * OWN_MS)
        before, self.rates = self.rates, np.full(len(self.means), self._initial)
        wanted = np.where(shares >= means, 1.0, shares / means)
        # What the level has lowered meanwhile would be let through at once if rates jumped up.
        rates = eased(before[known], wanted, RISE)
        self.rates[known] = np.clip(rates, SMALLEST_RATE, 1.0)

    def tell(self, partition: int, before: int | None, part: int) -> Iterator[Summary]:
        """Tell what was asked for; `Asking` says how."""
        return self.account.asked.tell(self.keys.names(), partition, before, part)


@kernel
def govern(
    level: Floats, times: Ints64, base: Floats, costs: Floats, per_ms: float, smallest: float,
    chances: Floats,
) -> None:  # fmt: skip
    """Lower or raise rates by what has been let through, one trace after the other.

    p = min(1, base exp(-L / (B tau))), with B the goal in a ms. L falls by B a ms and rises by
    p times the cost. It is bounded: so that a wave of long ago is forgotten, and so that an idle
    night hoards nothing but what raises the smallest rate to 1.

    Args:
        level: float64[2], L, and the stream time of that, ms; changed.
        times: int64[m], stream time, ms; it never runs backwards here.
        base: float64[m], rates, above 0.
        costs: float64[m].
        per_ms: B, above 0.
        smallest: Of all rates in use, whoever is asked about here.
        chances: float64[m], written.
    """
    unit = per_ms * TAU_MS
    floor = -min(MOST, -math.log(smallest)) * unit
    amount, last = level[LEVEL], level[AT_MS]
    for row in range(len(base)):
        now = float(times[row])
        if last < 0.0:
            last = now
        elif now > last:
            amount -= per_ms * (now - last)
            last = now
        amount = min(max(amount, floor), MOST * unit)
        chance = min(1.0, base[row] * math.exp(-amount / unit))
        chances[row] = chance
        amount += chance * costs[row]
    level[LEVEL], level[AT_MS] = amount, last
