"""How long the traces of each group take: what all workers know together, else a partition's own.

The control plane's table counts where it knows enough of a group and is not old. A partition's own
sketches stand in where it does not: traces are spread over partitions by their ids, so each sees a
fair sample. Where these know too little, an old table is better than none.

Hot: a look-up for each due trace; what a partition's own sketches say is asked once an interval.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from datasketches import kll_floats_sketch

from streamsampler.estimates.summaries import Group, GroupSummary, Summary, rows_of
from streamsampler.estimates.tables import (
    PERCENTILES,
    GroupThresholds,
    ThresholdTable,
    is_old,
)
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.votes import Ints32, Ints64, Texts

UNKNOWN: Final = -1
HALF: Final = 30
"""Intervals in half of a partition's own window; the older half goes when a new one begins."""
OWN_K: Final = 512
"""A rank is wrong by 0.5 % at most, 99 times in 100; 6 kB a group."""
_NS_PER_MS: Final = 1e6
_NOT_KNOWN: Final = (GroupThresholds(0, (), None, regressed=False), 0)


@dataclass(slots=True)
class _Own:
    """A partition's own sketches, by group.

    Attributes:
        half: Number of the half-window that `newer` is of.
        newer: Of this half-window.
        older: Of the one before.
        found: Quantiles in ms and how many traces they are of, as far as they were asked for.
    """

    half: int = 0
    newer: dict[Group, Any] = field(default_factory=dict)
    older: dict[Group, Any] = field(default_factory=dict)
    found: dict[Group, tuple[tuple[float, ...], int] | None] = field(default_factory=dict)

    def add(self, summary: Summary) -> None:
        half = summary.interval // HALF
        if half > self.half:
            self.older = self.newer if half == self.half + 1 else {}
            self.newer, self.half = {}, half
        self.found = {}
        for row in rows_of(GroupSummary, summary):
            sketch = self.newer.setdefault(row.group, kll_floats_sketch(OWN_K))
            sketch.merge(kll_floats_sketch.deserialize(row.sketch))

    def of(self, group: Group) -> tuple[tuple[float, ...], int] | None:
        if group not in self.found:
            self.found[group] = self._quantiles(group)
        return self.found[group]

    def _quantiles(self, group: Group) -> tuple[tuple[float, ...], int] | None:
        sketch = kll_floats_sketch(OWN_K)
        for half in (self.older, self.newer):
            if group in half:
                sketch.merge(half[group])
        if sketch.is_empty():
            return None
        quantiles = sketch.get_quantiles([percentile / 100 for percentile in PERCENTILES])
        return tuple(map(float, quantiles)), sketch.n


class Percentiles:
    """Percentiles of durations, by group.

    Attributes:
        by_table: How many traces were held against the control plane's table.
        by_own: How many against a partition's own sketches, as the table had no answer.
        unknown: How many had nothing to be held against.
        regressed: How many groups have become slower, as the control plane tells.
    """

    def __init__(self, groups: GroupNumbers) -> None:
        """Know nothing yet.

        Args:
            groups: The groups' names.
        """
        self._groups = groups
        self._tables: dict[bytes, ThresholdTable] = {}
        self._known: dict[Group, tuple[GroupThresholds, int]] = {}
        self._own: dict[int, _Own] = {}
        self.by_table = self.by_own = self.unknown = self.regressed = 0

    def learn(self, shard: bytes, table: ThresholdTable) -> None:
        """Take a table of the control plane up, instead of the one it follows.

        Args:
            shard: Which part of the groups it is of.
            table: The table.
        """
        self._tables[shard] = table
        self._known = {
            group: (known, one.version)
            for one in self._tables.values()
            for group, known in one.groups.items()
        }
        self.regressed = sum(known.regressed for known, _version in self._known.values())

    @property
    def newest_ms(self) -> int | None:
        """Stream time of the oldest of the newest tables, ms; None: there is none."""
        return min((table.version for table in self._tables.values()), default=None)

    def add(self, partition: int, summaries: Iterable[Summary]) -> None:
        """Add what a partition's traces of an interval took.

        Args:
            partition: The input partition.
            summaries: Of intervals that are over.
        """
        for summary in summaries:
            self._own.setdefault(partition, _Own()).add(summary)

    def forget(self, partition: int) -> None:
        """Forget a partition that is gone.

        Args:
            partition: Its number.
        """
        self._own.pop(partition, None)

    def thresholds_ns(
        self, partitions: Ints32, groups: Ints32, times: Ints64, percentile: float, least: int
    ) -> tuple[Ints64, Texts]:
        """Tell how long the traces of some groups take.

        Args:
            partitions: int32[n], where each trace came from.
            groups: int32[n], its group.
            times: int64[n], stream time, ms; of one interval.
            percentile: One of `PERCENTILES`.
            least: Of how many traces it must be.

        Returns:
            int64[n], ns, `UNKNOWN` where too few are known; and object[n], the same in words, with
            what is known of how many traces.
        """
        rank, now_ms = PERCENTILES.index(percentile), int(times[0])
        pairs = partitions.astype(np.int64) << 32 | groups.astype(np.int64)
        distinct, which, counts = np.unique(pairs, return_inverse=True, return_counts=True)
        found = [
            self._threshold(
                pair >> 32, self._groups.name(pair & 0xFFFFFFFF), now_ms, rank, least, count
            )
            for pair, count in zip(distinct.tolist(), counts.tolist(), strict=True)
        ]
        thresholds, words = zip(*found, strict=True)
        return np.array(thresholds, np.int64)[which], np.array(words, np.object_)[which]

    def _threshold(
        self, partition: int, group: Group, now_ms: int, rank: int, least: int, count: int
    ) -> tuple[int, str | None]:
        """One group's threshold in ns, and the same in words; counts what it goes by."""
        known, version = self._known.get(group, _NOT_KNOWN)
        if known.count < least or is_old(version, now_ms):
            own = self._own[partition].of(group) if partition in self._own else None
            if own is not None and own[1] >= least:
                self.by_own += count
                return _said(own[0][rank], own[1], " of this partition")
        if known.count < least:
            self.unknown += count
            return UNKNOWN, None
        self.by_table += count
        return _said(known.quantiles[rank], known.count, "")


def _said(threshold_ms: float, traces: int, whose: str) -> tuple[int, str]:
    words = f"{threshold_ms:,.3f} ms, of {traces:,} traces{whose}"
    return int(threshold_ms * _NS_PER_MS), words
