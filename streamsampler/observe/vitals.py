"""What a worker's loop tells of itself, and what is shown of it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from streamsampler.observe.metrics import Metrics
from streamsampler.observe.standing import PartitionStanding, WorkerStanding
from streamsampler.observe.totals import RunningTotals
from streamsampler.outcome import Counts

EXACTLY_ONCE: Final = "exactly_once"


class Vitals:
    """Told by the loop, in its thread; `read` and `metrics` may be asked from any.

    It belongs to the process: a worker that is made anew after a failure goes on with the same
    one, so that counters never fall.

    Args:
        worker: The worker's name.
        version: Of streamsampler.
        guarantee: "exactly_once" or "at_least_once".
        now_ms: A monotonic clock, the one that `turned` is told.

    Attributes:
        metrics: For the server.
    """

    def __init__(self, worker: str, version: str, guarantee: str, now_ms: int) -> None:
        self._transactions = guarantee == EXACTLY_ONCE
        self._totals = RunningTotals()
        self._last_turn_ms = now_ms
        # Never changed, only replaced: whoever reads it in another thread has one moment's.
        self._standing = WorkerStanding(
            worker=worker,
            version=version,
            guarantee=guarantee,
            policy_version=None,
            settled=False,
            partitions=(),
            totals=self._totals.now(),
            last_turn_ms=now_ms,
        )
        self.metrics = Metrics(self.read)

    def read(self) -> WorkerStanding:
        """Tell how the worker stands: what was shown last, and when its loop last turned."""
        return replace(self._standing, last_turn_ms=self._last_turn_ms)

    def turned(self, now_ms: int) -> None:
        """Note that the loop lives; at every turn.

        Args:
            now_ms: The clock.
        """
        self._last_turn_ms = now_ms

    def show(
        self, policy_version: str | None, partitions: Iterable[PartitionStanding], *, settled: bool
    ) -> None:
        """Show how the worker stands; at every commit interval, and when partitions come or go.

        Args:
            policy_version: Of the set in force; None where there is none.
            partitions: All that the worker owns now.
            settled: Whether the group has told which they are, be it none.
        """
        self._standing = replace(
            self._standing,
            policy_version=policy_version,
            settled=settled,
            partitions=tuple(sorted(partitions, key=lambda one: one.partition)),
            totals=self._totals.now(),
        )

    def committed(self, counts: Mapping[int, Counts], seconds: float | None) -> None:
        """Note that a commit is through.

        Args:
            counts: Of the partitions committed, since each was taken up and up to this commit.
            seconds: How long the commit took; None where there was nothing to write.
        """
        self._totals.committed(counts)
        if seconds is not None:
            self.metrics.committed(seconds, transaction=self._transactions)

    def aborted(self) -> None:
        """Note that what there was since the last commit is undone.

        `left` is to be told for each partition that is taken back.
        """
        if self._transactions:
            self.metrics.aborted()

    def left(self, partition: int) -> None:
        """Note that a partition's counts begin anew when it comes back.

        Args:
            partition: One that was revoked, lost, or taken back to its last commit.
        """
        self._totals.left(partition)

    def restarted(self, times: int = 1) -> None:
        """Note that the worker was made anew after a failure: it owns nothing yet.

        Args:
            times: How often, where several are told at once.
        """
        self.metrics.restarted(times)
        self._totals.all_left()
        self.show(self._standing.policy_version, (), settled=False)
