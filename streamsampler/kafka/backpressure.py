"""Which partitions wait when the buffer is nearly full.

A trace leaves the buffer when its partition's stream time passes its deadline, and where there are
records to read only they move it. So not all may wait: of the partitions that have something to
read, the one whose stream time is furthest behind goes on, alone, until the others are no longer
ahead of it or there is room again. Those that were read to their end hold nobody up, however far
behind they are: the wall clock carries them on. When that is not enough, the engine decides early.
"""

from collections.abc import Mapping

import structlog
from confluent_kafka import Consumer, TopicPartition

from streamsampler.config import Settings
from streamsampler.kafka.idle import IdleClocks
from streamsampler.kafka.ownership import COMMITTED, Ownership, State
from streamsampler.kafka.resumption import read_from
from streamsampler.sampler import Sampler

_log = structlog.get_logger("streamsampler.backpressure")


def waiting(stream_times_ms: Mapping[int, int], *, nearly_full: bool) -> frozenset[int]:
    """Tell which partitions wait.

    Args:
        stream_times_ms: The stream time of each partition that has something to read, ms.
        nearly_full: Whether the buffer is over its soft limit.

    Returns:
        Those whose records are left in Kafka for now.
    """
    if not nearly_full or not stream_times_ms:
        return frozenset()
    behind = min(stream_times_ms, key=lambda partition: (stream_times_ms[partition], partition))
    return frozenset(stream_times_ms) - {behind}


class Backpressure:
    """Lets partitions wait, and go on again.

    Args:
        settings: The limits.
        consumer: The member of the group.
        sampler: The engine.
        ownership: The state of each partition, moved between live and paused here.
        idle: The clocks of idle partitions; one that waits is not idle.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        sampler: Sampler,
        ownership: Ownership,
        idle: IdleClocks,
    ) -> None:
        self._limits = settings.limits
        self._topic = settings.topics.input
        self._consumer = consumer
        self._sampler = sampler
        self._ownership = ownership
        self._idle = idle

    def regulate(self) -> None:
        """Look at how full the buffer is, and let partitions wait or go on accordingly."""
        limits = self._limits
        spans, size = self._sampler.buffered()
        nearly_full = (
            spans > limits.soft_share * limits.buffered_spans
            or size > limits.soft_share * limits.buffered_bytes
        )
        held = self._ownership.within(*COMMITTED)
        times = {
            partition: self._sampler.stream_time_ms(partition)
            for partition in held
            if partition not in self._idle
        }
        wait = waiting(times, nearly_full=nearly_full)
        paused = set(self._ownership.within(State.PAUSED))
        for partition in sorted(wait - paused):
            self._pause(partition)
            _log.warning("partition_paused", partition=partition, spans=spans, bytes=size)
        for partition in sorted(paused - wait):
            self._resume(partition)
            _log.info("partition_resumed", partition=partition, spans=spans, bytes=size)

    def _pause(self, partition: int) -> None:
        self._ownership.move(partition, State.PAUSED)
        self._idle.woke(partition)
        self._consumer.pause([TopicPartition(self._topic, partition)])

    def _resume(self, partition: int) -> None:
        self._ownership.move(partition, State.LIVE)
        position = self._sampler.checkpoint(partition).position
        read_from(self._consumer, TopicPartition(self._topic, partition, position))
