"""Traces and durations of groups over a window of intervals, merged in blocks.

A window moves by an interval at a time, and its other intervals stay as they were. So sketches are
merged by blocks of intervals, and only blocks in which something has changed are merged again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from datasketches import kll_floats_sketch

from streamsampler.estimates.summaries import SKETCH_K, Group, GroupSummary, group_summary
from topologies.entries import Entry

KIND: Final = "groups"
"""The kind of the summaries that are merged here."""
BLOCK: Final = 12
"""Intervals in a block."""


@dataclass(slots=True)
class Sums:
    """What a group's summaries come to.

    Attributes:
        counts: traces, spans, bytes, errors, kept, rootless, orphaned.
        adjusted: Sum of adjusted counts.
        sketch: Of durations in ms.
    """

    counts: list[int] = field(default_factory=lambda: [0] * 7)
    adjusted: float = 0.0
    sketch: Any = field(default_factory=lambda: kll_floats_sketch(SKETCH_K))

    def add(self, row: GroupSummary) -> None:
        """Add a summary."""
        more = (row.traces, row.spans, row.bytes, row.errors, row.kept, row.rootless, row.orphaned)
        self._add(more, row.adjusted, kll_floats_sketch.deserialize(row.sketch))

    def merge(self, other: Self) -> None:
        """Add other sums."""
        self._add(other.counts, other.adjusted, other.sketch)

    def _add(self, counts: Iterable[int], adjusted: float, sketch: Any) -> None:
        self.counts = [have + more for have, more in zip(self.counts, counts, strict=True)]
        self.adjusted += adjusted
        self.sketch.merge(sketch)

    def summary(self, group: Group) -> GroupSummary:
        """Write the sums as a summary of the group."""
        return group_summary(group, self.counts, self.adjusted, self.sketch.serialize())

    def quantiles(self, ranks: Iterable[float]) -> tuple[float, ...] | None:
        """Tell durations in ms.

        Args:
            ranks: Shares of the traces, 0 to 1.

        Returns:
            One for each rank; None where nothing was measured.
        """
        if self.sketch.is_empty():
            return None
        return tuple(float(value) for value in self.sketch.get_quantiles(list(ranks)))


GroupSums = dict[Group, Sums]


class Durations:
    """The groups of one shard."""

    def __init__(self) -> None:
        self._entries: dict[int, dict[Entry, tuple[GroupSummary, ...]]] = defaultdict(dict)
        self._merged: dict[int, GroupSums] = {}
        self._total: GroupSums | None = None

    def put(self, entry: Entry, rows: tuple[GroupSummary, ...]) -> bool:
        """Take rows in, instead of those that came under this identity before.

        Args:
            entry: Their identity.
            rows: Of groups.

        Returns:
            Whether that changes anything.
        """
        block = entry.interval // BLOCK
        if self._entries[block].get(entry) == rows:
            return False
        self._entries[block][entry] = rows
        self._merged.pop(block, None)
        self._total = None
        return True

    def forget(self, entry: Entry) -> None:
        """Let rows go; nothing happens where there are none."""
        block = entry.interval // BLOCK
        if self._entries[block].pop(entry, None) is not None:
            self._merged.pop(block, None)
            self._total = None
        if not self._entries[block]:
            del self._entries[block]

    def entries(self) -> list[Entry]:
        """Tell the identities of what is in."""
        return [entry for rows in self._entries.values() for entry in rows]

    def total(self) -> Mapping[Group, Sums]:
        """Sum all up, where that changes so seldom that no blocks need be remembered.

        Returns:
            By group; nobody else's to change.
        """
        if self._total is None:
            total: GroupSums = {}
            for entry in sorted(self.entries()):
                for row in self._entries[entry.interval // BLOCK][entry]:
                    total.setdefault(row.group, Sums()).add(row)
            self._total = total
        return self._total

    def sums(self, first: int | None = None, last: int | None = None) -> Mapping[Group, Sums]:
        """Sum up.

        Args:
            first: The first interval that counts; None: all.
            last: The last that counts; None: all.

        Returns:
            By group; nobody else's to change.
        """
        total: GroupSums = {}
        for block in sorted(self._entries):
            whole = _within(first, block * BLOCK, last) and _within(
                first, block * BLOCK + BLOCK - 1, last
            )
            parts = self._block(block) if whole else self._part(block, first, last)
            for group, sums in parts.items():
                total.setdefault(group, Sums()).merge(sums)
        return total

    def _block(self, block: int) -> GroupSums:
        if block not in self._merged:
            self._merged[block] = self._part(block, None, None)
        return self._merged[block]

    def _part(self, block: int, first: int | None, last: int | None) -> GroupSums:
        sums: GroupSums = {}
        entries = self._entries[block]
        for entry in sorted(entries):  # in one order, so that equal entries give equal sums
            if _within(first, entry.interval, last):
                for row in entries[entry]:
                    sums.setdefault(row.group, Sums()).add(row)
        return sums


def _within(first: int | None, interval: int, last: int | None) -> bool:
    return (first is None or first <= interval) and (last is None or interval <= last)
