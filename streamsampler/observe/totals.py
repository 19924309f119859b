"""Counts over a worker's life, though a partition's begin anew whenever it is taken up.

Only committed counts are added up. An aborted transaction takes its partitions back to their last
commit, and what had been counted since is counted again, as its records are read again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from streamsampler.outcome import Counts


@dataclass(frozen=True, slots=True)
class Totals:
    """Committed counts, added up over partitions and over a worker's life.

    The conservation law over them is ``spans_in = fates + buffered + handed_over``.

    Attributes:
        counts: The sum; `buffered` and `traces_buffered` are those of partitions still here.
        handed_over: Spans that were undecided when their partition left, or was taken back to its
            last commit. Whoever takes it up next counts them in again.
        traces_handed_over: Traces, likewise.
    """

    counts: Counts
    handed_over: int
    traces_handed_over: int


class RunningTotals:
    """Adds up what partitions count; what is told must be told in the order of events."""

    def __init__(self) -> None:
        self._gone = Counts()  # of partitions that left, as of their last commits
        self._here: dict[int, Counts] = {}  # of each partition, as of its last commit

    def committed(self, counts: Mapping[int, Counts]) -> None:
        """Note what a commit made last.

        Args:
            counts: By partition, since it was taken up; they grow from commit to commit.
        """
        for partition, one in counts.items():
            self._here[partition] = replace(one)

    def left(self, partition: int) -> None:
        """Note that a partition's counts begin anew when it comes back.

        Args:
            partition: One that was revoked, lost, or taken back to its last commit; also one that
                never came to a commit.
        """
        self._gone += self._here.pop(partition, Counts())

    def all_left(self) -> None:
        """Note that no partition is here any more, as a worker is made anew."""
        for partition in tuple(self._here):
            self.left(partition)

    def now(self) -> Totals:
        """Add up.

        Returns:
            The totals as of the last commit.
        """
        here = sum(self._here.values(), start=Counts())
        summed = replace(
            self._gone + here, buffered=here.buffered, traces_buffered=here.traces_buffered
        )
        return Totals(summed, self._gone.buffered, self._gone.traces_buffered)
