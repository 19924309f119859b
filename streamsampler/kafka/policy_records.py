"""What the policies topic still has, record by record: for commands, which follow nothing."""

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_admin, make_reader, topic_partitions
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.watermarks import CatchUp, insist_on_watermarks

_PATIENCE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A record of the policies topic.

    Attributes:
        offset: Its offset.
        time_ms: When it was written, wall clock.
        key: The name of the set, UTF-8.
        value: The set as it was written; None: it was deleted.
    """

    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None

    @property
    def name(self) -> str:
        """The name of the set; empty where the record has no key."""
        return (self.key or b"").decode(errors="replace")


def read_policy_records(settings: Settings) -> list[PolicyRecord]:
    """Read the policies topic from its beginning to where it ends now.

    Args:
        settings: Brokers and topic.

    Returns:
        What compaction has left, in the order of the offsets.

    Raises:
        FailStopError: The topic is not there, or could not be read to its end in time.
    """
    topic = settings.topics.policies
    admin = make_admin(settings)
    count = topic_partitions(settings, admin).get(topic)
    if count is None:
        raise FailStopError(
            f"there is no topic {topic}; `streamsampler topics create` makes what is missing."
        )
    watermarks = insist_on_watermarks(admin, topic, range(count), settings.startup_timeout_ms)
    with closing(make_reader(settings)) as consumer:
        consumer.assign([TopicPartition(topic, p, watermarks[p].beginning) for p in watermarks])
        return _read_to(consumer, CatchUp(watermarks), settings)


def _read_to(consumer: Consumer, catch_up: CatchUp, settings: Settings) -> list[PolicyRecord]:
    records: list[PolicyRecord] = []
    deadline = time.monotonic() + settings.startup_timeout_ms / 1000
    while catch_up.behind:
        records += _taken(consumer.consume(100, _PATIENCE_SECONDS), catch_up)
        if time.monotonic() > deadline:
            raise FailStopError(
                f"{settings.topics.policies}: not read to its end within "
                f"{settings.startup_timeout_ms / 1000:g} s."
            )
    return records


def _taken(messages: Iterable[Message], catch_up: CatchUp) -> Iterable[PolicyRecord]:
    for message in messages:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if partition is None or offset is None:
            continue
        if error is None:
            _, time_ms = message.timestamp()
            yield PolicyRecord(offset, time_ms, message.key(), message.value())
            catch_up.reached(partition, offset + 1)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
            catch_up.reached(partition, offset)
