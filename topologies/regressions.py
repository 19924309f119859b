"""Whether a group has become slower than it was, and what its thresholds are while it is.

A threshold that follows a slowdown hides it. So what is newest, the fast window, is held against
what lies before it, the reference; and while a group has become slower its thresholds stay what
the reference's are, and the reference stays what it was when that began.
"""

import math
from dataclasses import dataclass
from typing import Final

from streamsampler.estimates.summaries import Group
from streamsampler.estimates.tables import PERCENTILES, GroupThresholds
from topologies.durations import Sums

FAST: Final = 4
"""Intervals in the fast window, 20 s: most of them are slow within 15 s of a slowdown."""
LEAST_FAST: Final = 50
"""Traces in the fast window without which nothing is said of it."""
LEAST_REFERENCE: Final = 500
"""Likewise in the reference."""
LEAST_SHOWN: Final = 100
"""Traces without which a 99th percentile says nothing."""
BEYOND: Final = 0.01
"""The share of traces that is slower than a 99th percentile where nothing has changed."""
ERRORS: Final = 5.0
"""Standard errors by which the share must be greater before a threshold is held."""

_RANKS: Final = tuple(percentile / 100 for percentile in PERCENTILES)
_MEDIAN, _P99 = PERCENTILES.index(50.0), PERCENTILES.index(99.0)


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a group took before.

    Attributes:
        count: Of how many traces.
        quantiles: For `PERCENTILES`, ms.
    """

    count: int
    quantiles: tuple[float, ...]


@dataclass(slots=True)
class _Frozen:
    """A reference that stays.

    Attributes:
        reference: What it was when the group became slower.
        began: The interval in which it did so the last time.
        last: The newest interval in which it still was.
    """

    reference: _Reference
    began: int
    last: int


class Regressions:
    """The groups of one shard that have become slower."""

    def __init__(self, longest: int) -> None:
        """Begin with none.

        Args:
            longest: Intervals in the reference. A reference stays for no longer than this while a
                group is slower, and until what it took meanwhile has left the reference.
        """
        self._longest = longest
        self._frozen: dict[Group, _Frozen] = {}

    def judge(
        self, group: Group, newest: int, window: Sums, fast: Sums | None, before: Sums | None
    ) -> GroupThresholds | None:
        """Tell a group's thresholds.

        Args:
            group: Which.
            newest: The newest interval.
            window: Of the long window.
            fast: Of its newest intervals; None: nothing.
            before: Of what lies before those; None: nothing.

        Returns:
            The thresholds; None where nothing was measured.
        """
        now = _reference(window)
        if now is None:
            return None
        reference = self._reference(group, newest, before)
        if reference is None or reference.count < LEAST_SHOWN:
            return GroupThresholds(now.count, now.quantiles, None, regressed=False)
        p99 = reference.quantiles[_P99]
        if fast is None or fast.sketch.n < LEAST_FAST or reference.count < LEAST_REFERENCE:
            return GroupThresholds(now.count, now.quantiles, p99, regressed=False)
        quantiles = fast.quantiles([0.5])
        regressed = quantiles is not None and quantiles[0] > p99
        if regressed:
            frozen = self._frozen.setdefault(group, _Frozen(reference, newest, newest))
            if newest - frozen.last > FAST:  # another time
                frozen.began = newest
            frozen.last = newest
        held = reference if regressed or _shifted(fast, p99) else now
        return GroupThresholds(held.count, held.quantiles, p99, regressed)

    def _reference(self, group: Group, newest: int, before: Sums | None) -> _Reference | None:
        frozen = self._frozen.get(group)
        if frozen is not None:
            too_long = frozen.last - frozen.began > self._longest
            over = newest - frozen.last > self._longest
            if not too_long and not over:
                return frozen.reference
            del self._frozen[group]
        return None if before is None else _reference(before)


def _reference(sums: Sums) -> _Reference | None:
    quantiles = sums.quantiles(_RANKS)
    return None if quantiles is None else _Reference(sums.sketch.n, quantiles)


def _shifted(fast: Sums, p99: float) -> bool:
    """Whether more traces are beyond the reference's p99 than chance brings there."""
    n = fast.sketch.n
    beyond = 1.0 - float(fast.sketch.get_rank(p99, True))
    return beyond > BEYOND + ERRORS * math.sqrt(BEYOND / n)
