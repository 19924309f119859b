"""What a worker tells of itself: to its watch, to the health page and, if need be, in the log."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamsampler.config import Settings
from streamsampler.kafka.ownership import COMMITTED, Ownership
from streamsampler.kafka.takeover import TakeOver
from streamsampler.observe import PartitionStanding, StoreStanding, Vitals
from streamsampler.outcome import Counts, Outcome
from streamsampler.sampler import Sampler
from streamsampler.store import StoreError

REMINDER_MS: Final = 30_000
STORE_MS: Final = 1_000
"""So often the store is asked how it stands: RocksDB takes half a millisecond to say it."""
_NOTHING: Final = Counts()

_log = structlog.get_logger("streamsampler.worker")


def _ignore(_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Watch:
    """Who wants to see what a worker does; called in its thread, so quickly.

    Attributes:
        outcome: Given what came of each batch.
        counts: Given the counts of each partition at each commit interval.
    """

    outcome: Callable[[Outcome], None] = _ignore
    counts: Callable[[dict[int, Counts]], None] = _ignore


class Reporting:
    """Tells how the worker stands; changes nothing.

    Args:
        settings: The settings.
        consumer: For how much there is still to read.
        sampler: The engine.
        ownership: The state of each partition.
        take_over: How far those are that are recovering.
        watch: Who wants to see.
        vitals: The health page's view.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        sampler: Sampler,
        ownership: Ownership,
        take_over: TakeOver,
        watch: Watch,
        vitals: Vitals,
    ) -> None:
        self._topic = settings.topics.input
        self._consumer = consumer
        self._sampler = sampler
        self._ownership = ownership
        self._take_over = take_over
        self.watch = watch
        self.vitals = vitals
        self._keyless_said = 0
        self._next_reminder_ms = self._next_store_ms = 0

    def show(
        self, now_ms: int, wall_ms: int, policy_version: str, stopped: str, *, settled: bool
    ) -> None:
        """Show the counts and standings; say what makes sampling by trace impossible, or is a bug.

        Args:
            now_ms: The monotonic clock.
            wall_ms: The wall clock.
            policy_version: Of the set in force.
            stopped: Why all stands still; empty where it does not.
            settled: Whether the group has told which partitions are ours.
        """
        counts = {p: self._sampler.counts(p) for p in self._ownership.within(*COMMITTED)}
        self.watch.counts(counts)
        standings = [
            self._standing(p, counts.get(p, _NOTHING), now_ms, wall_ms, stopped)
            for p in self._ownership.owned
        ]
        self.vitals.show(
            policy_version,
            standings,
            settled=settled,
            policy_versions=self._sampler.policies.versions,
            policy_counts=self._sampler.policy_counts(),
            knowledge=self._sampler.knowledge(),
            store=self._store_standing(now_ms),
        )
        for partition, one in counts.items():
            if not one.conserved():
                _log.error("conservation_broken", partition=partition, **one.told())
        self._say_keyless(sum(one.records_keyless for one in counts.values()), now_ms)

    def _store_standing(self, now_ms: int) -> StoreStanding | None:
        """How the store stands, asked for once a second; None where it was not, or has failed."""
        if now_ms < self._next_store_ms:
            return None
        self._next_store_ms = now_ms + STORE_MS
        try:
            figures = self._sampler.store_figures()
        except StoreError:  # the loop has said so, and mends it
            return None
        return StoreStanding(figures.table_bytes, figures.put_bytes, figures.written_bytes)

    def _standing(
        self, partition: int, counts: Counts, now_ms: int, wall_ms: int, stopped: str
    ) -> PartitionStanding:
        state = self._ownership.state(partition)
        assert state is not None
        held = partition in self._sampler.partitions
        checkpoint = self._sampler.checkpoint(partition) if held else None
        replay = self._take_over.replays.get(partition)
        return PartitionStanding(
            partition=partition,
            state=state.value,
            low_watermark=checkpoint.low_watermark if checkpoint else None,
            position=checkpoint.position if checkpoint else None,
            end=self._end(partition) if held else None,
            stream_time_ms=self._sampler.stream_time_ms(partition) if held else -1,
            wall_ms=wall_ms,
            replayed=replay.done if replay else 0,
            replay_total=replay.total if replay else 0,
            expected_seconds=replay.expected_seconds(now_ms) if replay else None,
            stopped=stopped,
            buffered_bytes=self._sampler.buffered_bytes(partition) if held else 0,
            block_bytes=self._sampler.block_bytes(partition) if held else 0,
            counts=counts,
        )

    def _end(self, partition: int) -> int | None:
        """The high watermark that the client was told with the last records."""
        try:
            found = self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), cached=True
            )
        except KafkaException:  # it has none yet
            return None
        end = found[1]
        return end if end >= 0 else None

    def _say_keyless(self, keyless: int, now_ms: int) -> None:
        if keyless <= self._keyless_said or now_ms < self._next_reminder_ms:
            return
        self._keyless_said = keyless
        self._next_reminder_ms = now_ms + REMINDER_MS
        _log.warning(
            "records_without_key",
            topic=self._topic,
            records=keyless,
            mend="set partition_traces_by_id: true in the Collector's kafka exporter; without "
            "it the spans of a trace are spread over partitions and decided on apart",
        )

    def committed(self, partitions: Collection[int], took_ms: int | None) -> None:
        """Note that a commit is through.

        Args:
            partitions: Those that were in it.
            took_ms: How long it took; None where there was nothing to write.
        """
        counts = {partition: self._sampler.counts(partition) for partition in partitions}
        self.vitals.committed(counts, None if took_ms is None else took_ms / 1000)

    def left(self, partition: int) -> None:
        """Say what became of all that a partition brought while it was ours.

        Args:
            partition: One that the engine still holds.
        """
        counts = self._sampler.counts(partition)
        _log.info(
            "partition_counts", partition=partition, conserved=counts.conserved(), **counts.told()
        )
