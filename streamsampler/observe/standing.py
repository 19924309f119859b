"""How a worker stands: plain data, and the questions that it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamsampler.observe.totals import Totals
from streamsampler.outcome import Counts, GroupKnowledge, PolicyCounts

ASSIGNED: Final = "assigned"
RECOVERING: Final = "recovering"
LIVE: Final = "live"
PAUSED: Final = "paused"
STATES: Final = (ASSIGNED, RECOVERING, LIVE, PAUSED)
"""What a partition may be to the worker that owns it."""

_READY_STATES: Final = (LIVE, PAUSED)


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """How far a worker is with one partition that it owns.

    Attributes:
        partition: Its number.
        state: One of `STATES`.
        low_watermark: The first offset that an undecided trace still needs; None while the engine
            does not hold the partition.
        position: The offset behind the last record taken in; None likewise.
        end: The topic's high watermark; None where it is not known.
        stream_time_ms: The partition's clock; -1: it has none yet.
        wall_ms: The wall clock at that moment, ms since the epoch.
        replayed: Records that were read again since it was taken up.
        replay_total: Records that have to be; 0 where there is nothing to replay.
        expected_seconds: How long until it is live, at the present pace; None where that cannot be
            told.
        stopped: Why it stands still, a sentence without its period, such as the disk's words;
            empty where it does not. Waiting because a buffer is full is no such thing.
        buffered_bytes: What undecided traces take.
        block_bytes: What the store's blocks that they may need take.
        counts: Since it was taken up; a copy that nobody counts on in.
    """

    partition: int
    state: str
    low_watermark: int | None
    position: int | None
    end: int | None
    stream_time_ms: int
    wall_ms: int
    replayed: int
    replay_total: int
    expected_seconds: float | None
    stopped: str
    buffered_bytes: int
    block_bytes: int
    counts: Counts

    @property
    def lag(self) -> int | None:
        """Records that are yet to be taken in; None where position or end is not known."""
        if self.end is None or self.position is None:
            return None
        return max(self.end - self.position, 0)  # the end is known later than the position

    @property
    def stream_delay_ms(self) -> int | None:
        """How far the partition's clock is behind the wall clock; None where it has none yet."""
        return None if self.stream_time_ms < 0 else self.wall_ms - self.stream_time_ms

    @property
    def unaccounted(self) -> int:
        """Spans that are in none of the fates: 0, unless the worker has a bug."""
        counts = self.counts
        fates = counts.kept + counts.not_sampled + counts.dropped + counts.duplicates
        return counts.spans_in - fates - counts.dead_lettered - counts.buffered


@dataclass(frozen=True, slots=True)
class StoreStanding:
    """What the block store has done in a worker's life.

    Attributes:
        table_bytes: Of RocksDB's tables on disk, now.
        put_bytes: Of blocks put.
        written_bytes: Of tables that RocksDB wrote, when it flushed and when it compacted.
    """

    table_bytes: int
    put_bytes: int
    written_bytes: int

    def after(self, earlier: "StoreStanding") -> "StoreStanding":
        """Go on counting where an earlier store ended.

        Args:
            earlier: The other one, as it stood last.

        Returns:
            What is on disk now, and the sums.
        """
        return StoreStanding(
            self.table_bytes,
            earlier.put_bytes + self.put_bytes,
            earlier.written_bytes + self.written_bytes,
        )


@dataclass(frozen=True, slots=True)
class WorkerStanding:
    """How a worker stands, at one moment.

    Attributes:
        worker: Its name.
        version: Of streamsampler.
        guarantee: "exactly_once" or "at_least_once".
        policy_version: Of the policy sets in force, all together; None while there are none.
        settled: Whether the group has told which partitions are the worker's, be it none.
        partitions: Those that it owns, by number.
        totals: What it has counted and committed in its life.
        last_turn_ms: When its loop last turned, on the clock of `liveness`.
        policy_versions: Of each policy set in force by its name, "default" first.
        waiting: Why there are no policy sets, a sentence without its period; empty where that is
            not known.
        knowledge: What it knows of the whole group.
        policy_counts: What each policy did since the worker's engine was made, by the names of
            set and policy.
        store: How its block store stands; None where that is not known yet.
    """

    worker: str
    version: str
    guarantee: str
    policy_version: str | None
    settled: bool
    partitions: tuple[PartitionStanding, ...]
    totals: Totals
    last_turn_ms: int
    policy_versions: Mapping[str, str] = field(default_factory=dict)
    waiting: str = ""
    policy_counts: Mapping[tuple[str, str], PolicyCounts] = field(default_factory=dict)
    knowledge: GroupKnowledge | None = None
    store: StoreStanding | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not ready, a sentence each; empty where it is."""
        return readiness(
            self.policy_version, self.partitions, settled=self.settled, waiting=self.waiting
        )

    @property
    def ready(self) -> bool:
        """Whether it does its work on all that it owns."""
        return not self.reasons


def readiness(
    policy_version: str | None,
    partitions: Sequence[PartitionStanding],
    *,
    settled: bool,
    waiting: str = "",
) -> tuple[str, ...]:
    """Tell what keeps a worker from being ready.

    Ready is a worker with a policy set that knows what it owns and works on all of it. A partition
    that waits because the buffer is full is at work.

    Args:
        policy_version: Of the set in force; None where there is none.
        partitions: Those that the worker owns.
        settled: Whether the group has told which they are.
        waiting: Why there is no set in force, without a period; empty: not known.

    Returns:
        A sentence for each reason, without its period; empty: it is ready.
    """
    reasons = []
    if policy_version is None:
        reasons.append("no policy set is in force" + (f": {waiting}" if waiting else ""))
    if not settled:
        reasons.append("the group has not told yet which partitions are this worker's")
    for one in partitions:
        if one.stopped:
            reasons.append(f"partition {one.partition} stands still: {one.stopped}")
        elif one.state not in _READY_STATES:
            reasons.append(f"partition {one.partition} is {one.state}: {_progress(one)}")
    return tuple(reasons)


def _progress(one: PartitionStanding) -> str:
    if one.state != RECOVERING:
        return "nothing of it is held yet"
    left = "" if one.expected_seconds is None else f", {_seconds_text(one.expected_seconds)} left"
    if one.replayed < one.replay_total:
        return f"{one.replayed:,} of {one.replay_total:,} records replayed{left}"
    return f"its past decisions are being read back{left}"


def _seconds_text(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    if seconds < 100:
        return f"about {seconds:.0f} s"
    minutes = seconds / 60
    return f"about {minutes:,.0f} min" if minutes < 100 else f"about {minutes / 60:,.0f} h"


def liveness(last_turn_ms: int, now_ms: int, limit_ms: int) -> str:
    """Tell whether a loop still turns.

    Args:
        last_turn_ms: When it last did, on a monotonic clock.
        now_ms: That clock now.
        limit_ms: How long a turn may take.

    Returns:
        A sentence on what is wrong, without its period; empty: it turns.
    """
    since_ms = now_ms - last_turn_ms
    if since_ms <= limit_ms:
        return ""
    return (
        f"the worker's loop has not turned for {since_ms / 1000:,.1f} s; "
        f"it may take {limit_ms / 1000:,.1f} s"
    )
