"""All decisions of a fleet, read as they come."""

import time

from confluent_kafka import Consumer, TopicPartition

from streamsampler.config import Settings
from streamsampler.sampler import Decision
from tests.fleet.conftest import PARTITIONS

PATIENCE_SECONDS = 180.0


def decisions(settings: Settings, expected: int) -> list[Decision]:
    """Read so many; there must not be more of them, nor fewer for long."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
        }
    )
    topic = settings.topics.decisions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found: list[Decision] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    late = 0
    while len(found) < expected or late < 3:
        assert time.monotonic() < deadline, f"{len(found)} decisions of {expected}"
        messages = consumer.consume(5_000, 0.5)
        late = 0 if messages or len(found) < expected else late + 1
        for message in messages:
            assert message.error() is None, message.error()
            key, value = message.key(), message.value()
            assert key is not None
            assert value is not None
            found.append(Decision.unpack(message.partition() or 0, key, value))
    consumer.close()
    assert len(found) == len({one.trace_id for one in found}) == expected
    return found
