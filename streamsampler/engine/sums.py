"""What a partition's decided traces come to, by group and interval of stream time.

Hot: a verdict's columns are put aside as they are, a few bytes a trace; what they come to is worked
out once an interval, with one sort for all groups and one update of a sketch for each.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from datasketches import kll_floats_sketch

from streamsampler.estimates import adjusted_counts
from streamsampler.estimates.summaries import (
    INTERVAL_MS,
    MOST_UNTOLD,
    SKETCH_K,
    GroupSummary,
    Summary,
    group_summary,
)
from streamsampler.policies import Verdicts
from streamsampler.policies.compiled import SAMPLED
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.votes import DueTraces, Floats, Ints32, Ints64
from streamsampler.spans.columns import Rows
from streamsampler.traces.table import ERROR, ROOT

_NEVER: Final = np.iinfo(np.int64).max
_NS_PER_MS: Final = 1e6


class _Chunk(NamedTuple):
    """Traces decided at one time, n of them.

    Attributes:
        interval: int64[n], number of the interval of each.
        group: int32[n].
        duration_ms: float32[n].
        adjusted: float64[n], how many each stood for when it arrived.
        counts: int64[n, 6]: spans, bytes, error, kept, rootless, orphaned.
    """

    interval: Ints64
    group: Ints32
    duration_ms: npt.NDArray[np.float32]
    adjusted: Floats
    counts: Ints64

    def some(self, chosen: npt.NDArray[np.bool_]) -> "_Chunk":
        """The traces marked in bool[n]."""
        return _Chunk(
            self.interval[chosen], self.group[chosen], self.duration_ms[chosen],
            self.adjusted[chosen], self.counts[chosen],
        )  # fmt: skip


class Untold(NamedTuple):
    """Sums of committed decisions that nobody has been told.

    Attributes:
        chunks: As they were put aside.
        settled: As they were worked out.
    """

    chunks: tuple[_Chunk, ...]
    settled: tuple[Summary, ...]


class Sums:
    """One partition's sums that nobody has been told yet.

    Attributes:
        part: Tells the sums of two owners of one interval apart.
    """

    def __init__(self, partition: int, part: int) -> None:
        """Begin with nothing.

        Args:
            partition: The input partition.
            part: Tells the sums of two owners of one interval apart, so no two may have the same.
        """
        self._partition = partition
        self.part = part
        self._chunks: list[_Chunk] = []
        self._oldest: int | None = None
        self._settled: deque[Summary] = deque(maxlen=MOST_UNTOLD)
        self._committed = Untold((), ())

    def committed(self) -> None:
        """Note that all that was counted, and told, so far lasts."""
        self._committed = Untold(tuple(self._chunks), tuple(self._settled))

    def untold(self) -> Untold:
        """Tell what of the last commit nobody has been told for good.

        Returns:
            It, for `take_back`.
        """
        return self._committed

    def take_back(self, untold: Untold) -> None:
        """Count what was committed before the partition was left, and never told.

        Args:
            untold: Of the same partition.
        """
        self._chunks.extend(untold.chunks)
        self._settled.extend(untold.settled)
        oldest = [int(chunk.interval.min()) for chunk in self._chunks]
        self._oldest = min(oldest, default=None)
        self.committed()

    def add(self, due: DueTraces, traces: Rows, verdicts: Verdicts) -> None:
        """Count decided traces.

        Args:
            due: n traces.
            traces: Their `TRACE` rows [n].
            verdicts: On these.
        """
        counts = np.empty((len(due), 6), np.int64)
        counts[:, 0] = due.spans
        counts[:, 1] = due.size_bytes
        counts[:, 2] = (traces["flags"] & ERROR) != 0
        counts[:, 3] = verdicts.decision == SAMPLED
        counts[:, 4] = (traces["flags"] & ROOT) == 0
        counts[:, 5] = traces["missing"] != 0
        interval = due.decided_ms // INTERVAL_MS
        duration_ms = (due.duration_ns / _NS_PER_MS).astype(np.float32)
        self._chunks.append(
            _Chunk(interval, due.group, duration_ms, adjusted_counts(due.incoming), counts)
        )
        oldest = int(interval.min())
        self._oldest = oldest if self._oldest is None else min(self._oldest, oldest)

    def settle(self, before: int | None, groups: GroupNumbers) -> list[Summary]:
        """Work out what intervals come to that are over.

        Args:
            before: Number of the interval that is not over yet; None: all are.
            groups: The groups' names.

        Returns:
            One summary an interval, oldest first; `tell` tells them too.
        """
        if self._oldest is None or (before is not None and self._oldest >= before):
            return []
        joined = _joined(self._chunks)
        over = joined.interval < (_NEVER if before is None else before)
        self._chunks, self._oldest = [], None
        if not over.all():
            rest = joined.some(~over)
            self._chunks, self._oldest = [rest], int(rest.interval.min())
        closed = joined.some(over)
        settled = [
            self._summary(int(interval), closed.some(closed.interval == interval), groups)
            for interval in np.unique(closed.interval)
        ]
        self._settled.extend(settled)
        return settled

    def tell(self) -> list[Summary]:
        """Tell what has been worked out, each summary once.

        Returns:
            One summary an interval, oldest first.
        """
        told = list(self._settled)
        self._settled.clear()
        return told

    def _summary(self, interval: int, rows: _Chunk, groups: GroupNumbers) -> Summary:
        return Summary(
            "groups", self._partition, interval, self.part, tuple(_by_group(rows, groups))
        )


def _joined(chunks: list[_Chunk]) -> _Chunk:
    return _Chunk(
        np.concatenate([one.interval for one in chunks]),
        np.concatenate([one.group for one in chunks]),
        np.concatenate([one.duration_ms for one in chunks]),
        np.concatenate([one.adjusted for one in chunks]),
        np.concatenate([one.counts for one in chunks]),
    )


def _by_group(rows: _Chunk, groups: GroupNumbers) -> Iterator[GroupSummary]:
    order = np.argsort(rows.group, kind="stable")
    group = rows.group[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = [*starts[1:].tolist(), len(group)]
    durations = rows.duration_ms[order]
    adjusted = np.add.reduceat(rows.adjusted[order], starts).tolist()
    sums = np.add.reduceat(rows.counts[order], starts, axis=0).tolist()
    for start, end, counts, arrived in zip(starts.tolist(), ends, sums, adjusted, strict=True):
        sketch = kll_floats_sketch(SKETCH_K)
        sketch.update(durations[start:end])
        name = groups.name(int(group[start]))
        yield group_summary(name, [end - start, *counts], arrived, sketch.serialize())
