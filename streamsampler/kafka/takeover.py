"""Taking partitions over: where to begin, and the decisions that were made since."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_reader
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.offsets import Start, from_committed, resolve_start
from streamsampler.kafka.watermarks import CatchUp, Watermarks, read_watermarks
from streamsampler.sampler import Checkpoint, Decision, PastDecision

BATCH: Final = 10_000
WAIT_SECONDS: Final = 0.05

_log = structlog.get_logger("streamsampler.takeover")


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
        FailStopError: An offset is gone, or a broker did not answer.
    """
    topic, timeout_ms = settings.topics.input, settings.startup_timeout_ms
    sought = [TopicPartition(topic, partition) for partition in partitions]
    committed = consumer.committed(sought, timeout=timeout_ms / 1000)
    watermarks = read_watermarks(admin, topic, partitions, timeout_ms)
    starts = {}
    for found in committed:
        if found.error is not None:
            raise FailStopError(f"{topic}/{found.partition}: no committed offset: {found.error}.")
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


@dataclass(slots=True)
class _Past:
    since_ms: int
    decisions: list[PastDecision]


class Readback:
    """Reads past decisions back for some partitions; owns a consumer outside of the group.

    Args:
        settings: The settings.
        admin: For the decisions topic's offsets. They are asked for now, after the assignment:
            what an earlier owner wrote is before them.
        resumed: Where each partition is taken up.
        ttl_ms: For how long before that a decision still matters, in stream time.

    Raises:
        FailStopError: A broker did not tell the offsets.
    """

    def __init__(
        self, settings: Settings, admin: AdminClient, resumed: Mapping[int, Checkpoint], ttl_ms: int
    ) -> None:
        topic = settings.topics.decisions
        self._topic = topic
        self._past = {
            partition: _Past(oldest_needed(checkpoint, ttl_ms), [])
            for partition, checkpoint in resumed.items()
        }
        found = read_watermarks(admin, topic, resumed, settings.startup_timeout_ms)
        self._catch_up = CatchUp(found)
        self._consumer: Consumer | None = None
        if self._catch_up.behind:
            self._consumer = make_reader(settings)
            self._consumer.assign(
                self._positions(self._consumer, found, settings.startup_timeout_ms)
            )

    def _positions(
        self, consumer: Consumer, found: Mapping[int, Watermarks], timeout_ms: int
    ) -> list[TopicPartition]:
        behind = self._catch_up.behind
        sought = [
            TopicPartition(self._topic, p, past.since_ms)
            for p, past in self._past.items()
            if p in behind and past.since_ms > 0
        ]
        by_time = consumer.offsets_for_times(sought, timeout=timeout_ms / 1000) if sought else []
        offsets = {tp.partition: tp.offset for tp in by_time if tp.error is None}
        # Where the search found nothing, all are read and the old ones left out: the embedded
        # broker cannot search by time.
        return [
            TopicPartition(self._topic, p, max(offsets.get(p, -1), found[p].beginning))
            for p in behind
        ]

    def poll(self) -> dict[int, list[PastDecision]]:
        """Read on, without waiting long.

        Returns:
            The decisions of the partitions that are complete now, in the order they were made.
        """
        for message in self._consumer.consume(BATCH, WAIT_SECONDS) if self._consumer else ():
            partition, offset, error = message.partition(), message.offset(), message.error()
            if partition is None or offset is None:
                continue
            if error is None:
                self._remember(partition, offset, message.key(), message.value())
                self._catch_up.reached(partition, offset + 1)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
                self._catch_up.reached(partition, offset)
            else:
                _log.warning("readback_trouble", code=error.name(), text=error.str())
        done = self._past.keys() - self._catch_up.behind
        return {partition: self._past.pop(partition).decisions for partition in done}

    def _remember(
        self, partition: int, offset: int, key: bytes | None, value: bytes | None
    ) -> None:
        past = self._past.get(partition)
        if past is None or value is None:
            return
        try:
            decision = past_decision(partition, key, value)
        except ValueError as error:
            _log.warning(
                "decision_unreadable",
                topic=self._topic,
                partition=partition,
                offset=offset,
                problem=str(error),
            )
            return
        if decision.decided_at_ms >= past.since_ms:
            past.decisions.append(decision)

    def forget(self, partition: int) -> None:
        """No longer read for a partition."""
        self._past.pop(partition, None)
        self._catch_up.forget(partition)

    @property
    def finished(self) -> bool:
        """Whether every partition is complete and handed out, or forgotten."""
        return not self._past

    def close(self) -> None:
        """Let the consumer go."""
        if self._consumer is not None:
            self._consumer.close()


def oldest_needed(checkpoint: Checkpoint, ttl_ms: int) -> int:
    """Tell since when decisions matter to a partition that is taken up.

    Args:
        checkpoint: Where.
        ttl_ms: For how long a decision is remembered.

    Returns:
        Stream time in ms; 0: all of them, as no stream time is known.
    """
    return max(checkpoint.stream_time_ms - ttl_ms, 0)


def past_decision(partition: int, key: bytes | None, value: bytes) -> PastDecision:
    """Read a record of the decisions topic.

    Args:
        partition: Of the record.
        key: The trace id, 16 bytes.
        value: The packed decision.

    Returns:
        What is remembered of it.

    Raises:
        ValueError: It is no decision.
    """
    if key is None or len(key) != 16:
        raise ValueError(f"the key is {key!r}, no trace id of 16 bytes")
    decision = Decision.unpack(partition, key, value)
    return PastDecision(key, decision.decision, decision.policy, decision.decided_at_ms)
