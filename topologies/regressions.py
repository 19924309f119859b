"""Whether a group has become slower than it was, and what its traces are compared with meanwhile.

What a group is compared with must not follow a slowdown: it would be the new normal before
anybody has looked. So the reference of a group is frozen while the group is flagged, and what came
in that time never becomes part of a reference. A frozen reference is an entry of the table like
any other, written anew without its sketch when the flag goes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgpack

from streamsampler.estimates.summaries import Group, GroupSummary, Summary, rows_of
from streamsampler.estimates.tables import PERCENTILES, GroupThresholds
from topologies.durations import KIND, Sums
from topologies.entries import Entry

FROZEN: Final = b"f"
"""The kind of the entries here."""
FAST: Final = 4
"""Intervals of the fast window, 20 s: most of them are slow within 15 s of a slowdown."""
LEAST_FAST: Final = 50
"""Traces in the fast window without which nothing is said."""
LEAST_REFERENCE: Final = 500
"""Traces without which a 99th percentile is no reference."""
TAIL: Final = 0.01
"""The share of traces above a 99th percentile."""
DEVIATIONS: Final = 5
"""So many standard deviations above `TAIL` are no chance."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A reference that stays as it was.

    Attributes:
        group: Whose.
        first: The first interval that is kept out of references: the fast window's first when the
            group was flagged.
        last: The last that is; None: the group is flagged.
        reference: Of the traces before; empty once the flag has gone.
    """

    group: Group
    first: int
    last: int | None
    reference: Sums

    def covers(self, first: int, last: int) -> bool:
        """Tell whether any of these intervals is kept out of references."""
        return self.first <= last and (self.last is None or first <= self.last)


class Frozen:
    """The frozen references of one shard, and which intervals they keep out.

    Args:
        shard: Its number.
        fast: Intervals in the fast window.
    """

    def __init__(self, shard: int, fast: int) -> None:
        self._shard = shard
        self._fast = fast
        self._known: dict[Group, dict[Entry, Freeze]] = {}
        self._groups: dict[Entry, Group] = {}

    def put(self, entry: Entry, summary: Summary) -> None:
        """Take an entry in, instead of the one that came under this identity before."""
        self.forget(entry)
        for row in rows_of(GroupSummary, summary):
            sums = Sums()
            sums.add(row)
            last = summary.interval if sums.sketch.is_empty() else None
            freeze = Freeze(row.group, entry.interval - self._fast + 1, last, sums)
            self._known.setdefault(row.group, {})[entry] = freeze
            self._groups[entry] = row.group

    def forget(self, entry: Entry) -> None:
        """Let an entry go; nothing happens where there is none."""
        group = self._groups.pop(entry, None)
        if group is not None:
            del self._known[group][entry]
            if not self._known[group]:
                del self._known[group]

    def flagged(self) -> list[Group]:
        """Tell the groups whose references are frozen."""
        return sorted(group for group in self._known if self.reference(group) is not None)

    def reference(self, group: Group) -> Sums | None:
        """Tell the frozen reference of a group; None: it is not frozen."""
        for freeze in self._known.get(group, {}).values():
            if freeze.last is None:
                return freeze.reference
        return None

    def covers(self, group: Group, first: int, last: int) -> bool:
        """Tell whether any of these intervals is kept out of the group's reference."""
        return any(freeze.covers(first, last) for freeze in self._known.get(group, {}).values())

    def freeze(self, group: Group, newest: int, reference: Sums) -> tuple[Entry, Summary]:
        """Make the entry of a group that is flagged now.

        Args:
            group: Which.
            newest: The interval now.
            reference: What it is compared with.

        Returns:
            The entry and what to put under it.
        """
        entry = Entry(FROZEN, self._shard, 0, newest, _part(group))
        return entry, _summary(entry, newest, reference.summary(group))

    def thaw(self, group: Group, newest: int) -> list[tuple[Entry, Summary]]:
        """Make the entries of a group whose flag goes now.

        Args:
            group: Which.
            newest: The interval now.

        Returns:
            What is to replace its frozen references.
        """
        return [
            (entry, _summary(entry, newest, Sums().summary(group)))
            for entry, freeze in sorted(self._known.get(group, {}).items())
            if freeze.last is None
        ]


def is_regressed(fast: Sums | None, reference: Sums | None) -> bool:
    """Tell whether most traces take as long as the slowest of a hundred took before.

    Args:
        fast: The group's fast window; None: empty.
        reference: What it is compared with; None: nothing.

    Returns:
        Whether there is enough of both and the fast window's median is above the 99th percentile.
    """
    if fast is None or reference is None or not _enough(fast, reference):
        return False
    return bool(fast.sketch.get_quantile(0.5) > reference.sketch.get_quantile(1 - TAIL))


def is_tail_heavier(fast: Sums | None, reference: Sums | None) -> bool:
    """Tell whether more traces than chance allows are above the 99th percentile from before.

    Args:
        fast: The group's fast window; None: empty.
        reference: What it is compared with; None: nothing.

    Returns:
        Whether there is enough of both, and it is so.
    """
    if fast is None or reference is None or not _enough(fast, reference):
        return False
    # Inclusive: traces that take exactly as long as the percentile are not above it.
    above = 1 - fast.sketch.get_rank(reference.sketch.get_quantile(1 - TAIL), True)
    return bool(above > TAIL + DEVIATIONS * math.sqrt(TAIL / fast.sketch.n))


def group_thresholds(
    window: Sums, fast: Sums | None, reference: Sums | None
) -> GroupThresholds | None:
    """Tell the thresholds of a group: those of the window, or of what was before a slowdown.

    Args:
        window: The long window.
        fast: The newest of it; None: empty.
        reference: What was before the fast window; None: nothing.

    Returns:
        None where nothing was measured.
    """
    known = reference if reference is not None and reference.sketch.n >= LEAST_REFERENCE else None
    regressed = is_regressed(fast, known)
    held = known is not None and (regressed or is_tail_heavier(fast, known))
    source = known if held and known is not None else window
    quantiles = source.quantiles(_ranks(PERCENTILES))
    if quantiles is None:
        return None
    before = None if known is None else float(known.sketch.get_quantile(1 - TAIL))
    return GroupThresholds(source.sketch.n, quantiles, before, regressed)


def _ranks(percentiles: Iterable[float]) -> list[float]:
    return [share / 100 for share in percentiles]


def _enough(fast: Sums, reference: Sums) -> bool:
    enough: bool = fast.sketch.n >= LEAST_FAST and reference.sketch.n >= LEAST_REFERENCE
    return enough


def _part(group: Group) -> int:
    """A number that tells the groups flagged in one interval apart."""
    digest = blake2b(msgpack.packb(group), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _summary(entry: Entry, interval: int, row: GroupSummary) -> Summary:
    return Summary(KIND, entry.partition, interval, entry.part, (row,))
