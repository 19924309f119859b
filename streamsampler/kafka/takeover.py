"""Taking partitions over: from what the group committed to live.

Each partition goes through the same door, whether it is new, has come back, or an aborted
transaction undid what was done with it:

1. *Assigned.* Its checkpoint is asked for: low watermark L, position X, stream time at L.
2. *Recovering.* The decisions made since L are read back. Then the engine opens what the local
   store holds and says from where the topic must be read: L, X, or between.
3. Records up to X are read; what of them is undecided fills the buffer again. Meanwhile the older
   decisions, which still steer late spans, are read back. Nothing is decided.
4. *Live*, when X is reached and the older decisions are there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.errors import FailStopError, NotYetError
from streamsampler.kafka.offsets import Start, from_committed, resolve_start
from streamsampler.kafka.ownership import Ownership, State
from streamsampler.kafka.readback import Readback
from streamsampler.kafka.resumption import read_from
from streamsampler.kafka.watermarks import read_watermarks
from streamsampler.sampler import PastDecision, Sampler

ASK_MS: Final = 500
"""How long a broker may take to tell offsets; then the other partitions have their turn."""
AGAIN_MS: Final = 500
PROGRESS_MS: Final = 5_000

_log = structlog.get_logger("streamsampler.takeover")


@dataclass(slots=True)
class Replay:
    """The records that a partition reads again before it goes live.

    Attributes:
        start: Where the partition is taken up.
        began_ms: When, by the monotonic clock.
        read_from: The first offset to read; -1 before the engine has said.
        position: Up to where it has been read.
        older: Past decisions to be remembered at the end; None while they are read back.
        reached: Whether all records are read.
    """

    start: Start
    began_ms: int
    read_from: int = -1
    position: int = -1
    older: list[PastDecision] | None = None
    reached: bool = False

    @property
    def end(self) -> int:
        """The offset behind the last record to read."""
        return self.start.checkpoint.position

    @property
    def total(self) -> int:
        """How many offsets there are to read; 0 before the engine has said."""
        return max(self.end - self.read_from, 0) if self.read_from >= 0 else 0

    @property
    def done(self) -> int:
        """How many of them are read."""
        return min(max(self.position - self.read_from, 0), self.total)

    def expected_seconds(self, now_ms: int) -> float | None:
        """How long the rest will take at the pace so far; None before there is a pace."""
        if not self.done:
            return None
        return (now_ms - self.began_ms) / 1000 * (self.total - self.done) / self.done


class TakeOver:
    """Takes the partitions that are assigned to live.

    Args:
        settings: The settings.
        consumer: The member of the group.
        admin: For offsets.
        sampler: The engine.
        ownership: The state of each partition, which is moved on here up to live.
        clock: The time.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        admin: AdminClient,
        sampler: Sampler,
        ownership: Ownership,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._topic = settings.topics.input
        self._consumer = consumer
        self._admin = admin
        self._sampler = sampler
        self._ownership = ownership
        self._clock = clock
        self._readbacks: list[Readback] = []
        self._next_ask_ms = 0
        self._next_progress_ms = 0
        self.replays: dict[int, Replay] = {}
        """Of each partition that is recovering."""

    @property
    def busy(self) -> bool:
        """Whether past decisions are being read back."""
        return bool(self._readbacks)

    def step(self, now_ms: int, ttl_ms: int) -> list[int]:
        """Go on with whatever is being taken over, without waiting long.

        Args:
            now_ms: The monotonic clock.
            ttl_ms: For how long a decision is remembered, in stream time.

        Returns:
            The partitions that are live now.

        Raises:
            FailStopError: Offsets are gone and the settings say to stop, or were refused.
            StoreError: The store failed.
        """
        self._begin(now_ms, ttl_ms)
        for readback in list(self._readbacks):
            found = readback.poll()
            for partition, recent in found.recent.items():
                self._open(partition, recent)
            for partition, older in found.older.items():
                self.replays[partition].older = older
            if readback.finished:
                readback.close()
                self._readbacks.remove(readback)
        live = [p for p, replay in self.replays.items() if self._complete(replay)]
        for partition in live:
            self._go_live(partition, now_ms)
        self._tell_progress(now_ms)
        return live

    def _begin(self, now_ms: int, ttl_ms: int) -> None:
        """Find where the assigned partitions are taken up, and begin to read decisions back."""
        assigned = self._ownership.within(State.ASSIGNED)
        if not assigned or now_ms < self._next_ask_ms:
            return
        try:
            starts = find_starts(self._settings, self._consumer, self._admin, assigned)
            resumed = {p: start.checkpoint for p, start in starts.items()}
            readback = Readback(self._settings, self._admin, resumed, ttl_ms, ASK_MS)
        except NotYetError as error:
            # A killed worker's transaction may still be open, or a leader is being chosen.
            _log.info("take_over_waits", partitions=list(assigned), reason=str(error))
            self._next_ask_ms = now_ms + AGAIN_MS
            return
        self._readbacks.append(readback)
        for partition, start in starts.items():
            self.replays[partition] = Replay(start, now_ms)
            self._ownership.move(partition, State.RECOVERING)
        self._next_progress_ms = now_ms + PROGRESS_MS

    def _open(self, partition: int, recent: Sequence[PastDecision]) -> None:
        """Let the engine open what the local store has, and read the rest from the topic."""
        replay = self.replays[partition]
        checkpoint, beginning = replay.start.checkpoint, replay.start.beginning
        first = self._sampler.assign(partition, checkpoint, recent, self._clock.wall_ms())
        if first < beginning:
            self._sampler.skip(partition, beginning - first)
            _log.error(
                "offsets_skipped",
                partition=partition,
                offsets=beginning - first,
                first=first,
                reason="their records were deleted from the topic before they were read",
            )
            first = beginning
        replay.read_from = replay.position = first
        replay.reached = first >= replay.end
        _log.info(
            "partition_recovering",
            partition=partition,
            low_watermark=checkpoint.low_watermark,
            position=checkpoint.position,
            read_from=first,
            decisions_read=len(recent),
        )
        if not replay.reached:
            self._read(partition, first)

    def _complete(self, replay: Replay) -> bool:
        return replay.reached and replay.older is not None

    def _go_live(self, partition: int, now_ms: int) -> None:
        replay = self.replays.pop(partition)
        self._sampler.recall(partition, replay.older or [])
        self._ownership.move(partition, State.LIVE)
        self._read(partition, max(replay.end, replay.start.beginning))
        _log.info(
            "partition_live",
            partition=partition,
            replayed=replay.total,
            older_decisions=len(replay.older or []),
            seconds=round((now_ms - replay.began_ms) / 1000, 3),
        )

    def _read(self, partition: int, offset: int) -> None:
        read_from(self._consumer, TopicPartition(self._topic, partition, offset))

    def _tell_progress(self, now_ms: int) -> None:
        if not self.replays or now_ms < self._next_progress_ms:
            return
        self._next_progress_ms = now_ms + PROGRESS_MS
        for partition, replay in self.replays.items():
            expected = replay.expected_seconds(now_ms)
            _log.info(
                "recovery_progress",
                partition=partition,
                replayed=replay.done,
                of=replay.total,
                expected_seconds=None if expected is None else round(expected, 1),
                waits_for="records" if replay.older is not None else "past decisions",
            )

    def sift(self, messages: Sequence[Message]) -> list[Message]:
        """Part the records to be read again from those that must wait for the partition to go live.

        Args:
            messages: Records, of any partitions.

        Returns:
            Without those of recovering partitions that lie beyond where their replay ends.
        """
        if not self.replays:
            return list(messages)
        kept = []
        for message in messages:
            replay = self.replays.get(message.partition() or 0)
            if replay is None:
                kept.append(message)
            elif replay.read_from < 0 or replay.reached:
                continue  # fetched before the pause took hold
            elif (message.offset() or 0) < replay.end:
                kept.append(message)
            else:
                self._reach(message.partition() or 0, replay)
        return kept

    def replayed(self, partition: int, position: int) -> None:
        """Note up to where a partition has been read; nothing for one that is not recovering.

        Args:
            partition: Its number.
            position: The offset behind the last record that was taken in, or the topic's end.
        """
        replay = self.replays.get(partition)
        if replay is None or replay.read_from < 0:
            return
        replay.position = max(replay.position, position)
        if replay.position >= replay.end and not replay.reached:
            self._reach(partition, replay)

    def _reach(self, partition: int, replay: Replay) -> None:
        replay.reached = True
        replay.position = replay.end
        self._consumer.pause([TopicPartition(self._topic, partition)])

    def forget(self, partition: int) -> None:
        """Break off the taking over of a partition; nothing for one that is not recovering."""
        if self.replays.pop(partition, None) is not None:
            for readback in self._readbacks:
                readback.forget(partition)

    def close(self) -> None:
        """Let go of all consumers."""
        for readback in self._readbacks:
            readback.close()
        self._readbacks.clear()


def find_starts(
    settings: Settings, consumer: Consumer, admin: AdminClient, partitions: Collection[int]
) -> dict[int, Start]:
    """Find where each partition is taken up.

    Args:
        settings: The settings.
        consumer: A member of the group, whose committed offsets are asked for.
        admin: For the topic's offsets.
        partitions: Of the input.

    Returns:
        The start of each.

    Raises:
        NotYetError: A broker did not answer in time, or a commit is still under way.
        FailStopError: An offset is gone and the settings say to stop, or it was refused.
    """
    topic = settings.topics.input
    watermarks = read_watermarks(admin, topic, partitions, ASK_MS)
    starts = {}
    for found in _committed(consumer, topic, partitions):
        has = watermarks[found.partition]
        starts[found.partition] = resolve_start(
            f"{topic}/{found.partition}",
            from_committed(found),
            has.beginning,
            has.end,
            start=settings.input.start,
            out_of_range=settings.input.out_of_range,
        )
    return starts


def _committed(consumer: Consumer, topic: str, partitions: Collection[int]) -> list[TopicPartition]:
    sought = [TopicPartition(topic, partition) for partition in partitions]
    try:
        committed = consumer.committed(sought, timeout=ASK_MS / 1000)
        errors = [one.error for one in committed if one.error is not None]
    except KafkaException as failure:
        committed, errors = [], [failure.args[0]]
    for error in errors:
        words = f"{topic}: no committed offset was told: {error.str()}."
        if error.code() in _PASSING or error.retriable():
            raise NotYetError(words)
        raise FailStopError(words)
    return committed


_PASSING: Final = frozenset(
    {
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,  # the group moved on without us; the callbacks will say so
        KafkaError.STALE_MEMBER_EPOCH,
        # The library's own error codes begin with an underscore; they are public all the same.
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
    }
)
