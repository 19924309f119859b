"""Topics read whole, as one who reads committed records sees them, and as everyone else does."""

import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so
    AdminClient,
    OffsetSpec,
)

from streamsampler.config import Settings
from streamsampler.kafka.offsets import from_committed
from streamsampler.kafka.watermarks import CatchUp, read_watermarks
from streamsampler.sampler import Checkpoint

# An open transaction of a killed worker hides what comes after it until it has timed out.
PATIENCE_SECONDS = 60.0
TIMEOUT_MS = 15_000
Isolation = Literal["read_committed", "read_uncommitted"]


class Read(NamedTuple):
    """A record that was read."""

    partition: int
    offset: int
    key: bytes
    value: bytes


def partitions_of(settings: Settings, topic: str) -> range:
    """The partitions of a topic."""
    found = AdminClient({"bootstrap.servers": settings.bootstrap}).list_topics(timeout=15)
    return range(len(found.topics[topic].partitions))


def ends_of(settings: Settings, topic: str) -> dict[int, int]:
    """The offset behind the last record of each partition, whoever wrote it."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    partitions = partitions_of(settings, topic)
    found = read_watermarks(admin, topic, partitions, TIMEOUT_MS)
    return {partition: watermarks.end for partition, watermarks in found.items()}


def last_stable_of(settings: Settings, topic: str) -> dict[int, int]:
    """The offset of each partition that readers of committed records do not get past now."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    pending = admin.list_offsets(
        {TopicPartition(topic, p): latest for p in partitions_of(settings, topic)},
        isolation_level=IsolationLevel.READ_COMMITTED,
    )
    return {place.partition: done.result().offset for place, done in pending.items()}


def read_topic(settings: Settings, topic: str, isolation: Isolation) -> Iterator[Read]:
    """Read a topic up to the end that it has now.

    Args:
        settings: The brokers.
        topic: Its name.
        isolation: Whose eyes to read with.

    Yields:
        Its records.
    """
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    watermarks = read_watermarks(admin, topic, partitions_of(settings, topic), TIMEOUT_MS)
    catch_up = CatchUp(watermarks)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap,
            "group.id": "judge",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": isolation,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, p, w.beginning) for p, w in watermarks.items()])
        yield from _read(consumer, catch_up)
    finally:
        consumer.close()


def _read(consumer: Consumer, catch_up: CatchUp) -> Iterator[Read]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while catch_up.behind:
        assert time.monotonic() < deadline, f"partitions {sorted(catch_up.behind)} not read whole"
        for message in consumer.consume(2_000, 0.2):
            partition, offset, error = message.partition(), message.offset(), message.error()
            assert partition is not None
            assert offset is not None
            if error is None:
                deadline = time.monotonic() + PATIENCE_SECONDS
                yield Read(partition, offset, message.key() or b"", message.value() or b"")
                catch_up.reached(partition, offset + 1)
            elif error.code() == KafkaError._PARTITION_EOF:
                catch_up.reached(partition, offset)
            else:
                assert error.retriable(), error.str()


def checkpoints_of(settings: Settings) -> dict[int, Checkpoint | None] | None:
    """Where the group stands on each input partition; None where the brokers do not say now."""
    topic = settings.topics.input
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": settings.group_id})
    try:
        sought = [TopicPartition(topic, p) for p in partitions_of(settings, topic)]
        committed = consumer.committed(sought, timeout=5)
    except KafkaException:
        return None  # a broker is away, or an open transaction holds the offsets
    finally:
        consumer.close()
    return {place.partition: from_committed(place) for place in committed}
