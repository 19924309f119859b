"""What a worker's loop tells of itself, and what is shown of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, Literal

from streamsampler.observe.metrics import Metrics
from streamsampler.observe.standing import PartitionStanding, StoreStanding, WorkerStanding
from streamsampler.observe.totals import RunningTotals
from streamsampler.outcome import Counts, GroupKnowledge, PolicyCounts

EXACTLY_ONCE: Final = "exactly_once"


def _ignore(_: WorkerStanding) -> None:
    pass


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
        self._former_store = StoreStanding(0, 0, 0)
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
        self._listener: Callable[[WorkerStanding], None] = _ignore

    @contextmanager
    def heard_by(self, listener: Callable[[WorkerStanding], None]) -> Iterator[None]:
        """Let someone hear, in the loop's thread, how the worker stands whenever that is shown.

        Args:
            listener: Called quickly, for as long as the context lasts.
        """
        self._listener = listener
        try:
            yield
        finally:
            self._listener = _ignore

    def read(self) -> WorkerStanding:
        """Tell how the worker stands: what was shown last, and when its loop last turned."""
        return replace(self._standing, last_turn_ms=self._last_turn_ms)

    def turned(self, now_ms: int) -> None:
        """Note that the loop lives; at every turn.

        Args:
            now_ms: The clock.
        """
        self._last_turn_ms = now_ms

    def waits(self, reason: str, now_ms: int) -> None:
        """Note that there are no policies to begin with, and that the worker lives all the same.

        Args:
            reason: Why there are none, a sentence without its period.
            now_ms: The clock.
        """
        self.turned(now_ms)
        self._standing = replace(self._standing, waiting=reason)
        self._listener(self._standing)

    def policy_set_refused(self, kind: Literal["default", "tenant"]) -> None:
        """Count a policy set that was read and refused.

        Args:
            kind: Whose it was.
        """
        self.metrics.policy_set_refused(kind)

    def show(
        self,
        policy_version: str | None,
        partitions: Iterable[PartitionStanding],
        *,
        settled: bool,
        policy_versions: Mapping[str, str] | None = None,
        policy_counts: Mapping[tuple[str, str], PolicyCounts] | None = None,
        knowledge: GroupKnowledge | None = None,
        store: StoreStanding | None = None,
    ) -> None:
        """Show how the worker stands; at every commit interval, and when partitions come or go.

        Args:
            policy_version: Of the sets in force; None where there are none.
            partitions: All that the worker owns now.
            settled: Whether the group has told which they are, be it none.
            policy_versions: Of each set in force by its name; None: as they were shown last.
            policy_counts: What each policy did, by the names of set and policy; None: likewise.
            knowledge: What it knows of the whole group; None: likewise.
            store: How its block store stands, counted since that was made; None: likewise.
        """
        before = self._standing
        self._standing = replace(
            before,
            policy_version=policy_version,
            policy_versions=(
                before.policy_versions if policy_versions is None else dict(policy_versions)
            ),
            policy_counts=(
                before.policy_counts if policy_counts is None else _copied(policy_counts)
            ),
            knowledge=before.knowledge if knowledge is None else knowledge,
            store=before.store if store is None else store.after(self._former_store),
            settled=settled,
            partitions=tuple(sorted(partitions, key=lambda one: one.partition)),
            totals=self._totals.now(),
        )
        self._listener(self._standing)

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
        self._former_store = self._standing.store or self._former_store
        self.show(self._standing.policy_version, (), settled=False)


def _copied(
    counts: Mapping[tuple[str, str], PolicyCounts],
) -> dict[tuple[str, str], PolicyCounts]:
    """As they are now: the page is served while the engine counts on."""
    return {named: replace(one) for named, one in counts.items()}
