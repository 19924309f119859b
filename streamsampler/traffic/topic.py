"""Generated records to a Kafka topic, at full speed or at the pace of the wall clock."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamsampler.traffic.model import GeneratedRecord

_PRODUCER_DEFAULTS: Mapping[str, Any] = {
    # As Java's producers place keys, so that a trace's records meet whoever wrote them.
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "linger.ms": 20,
    "compression.type": "lz4",
    # An unreachable broker is told of after half a minute, not after five.
    "message.timeout.ms": 30_000,
    # What goes wrong is in the result; librdkafka would write it to stderr again and again.
    "log_level": 2,
}
_POLL_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 0.1
_REASONS_KEPT = 5


@dataclass(slots=True)
class TopicWrite:
    """What came of writing to a topic.

    Attributes:
        records: records that the broker acknowledged.
        spans: spans in them.
        failed: records that it did not.
        reasons: what went wrong, each once, the first few; also what was mended by a retry.
    """

    records: int = 0
    spans: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)

    def note(self, reason: str) -> None:
        """Remembers what went wrong.

        Args:
            reason: in the broker's or the client's words.
        """
        if reason not in self.reasons and len(self.reasons) < _REASONS_KEPT:
            self.reasons.append(reason)


def write_topic(
    records: Iterable[GeneratedRecord],
    producer_config: Mapping[str, Any],
    topic: str,
    *,
    paced: bool = False,
    stop: Event | None = None,
    on_record: Callable[[GeneratedRecord], None] | None = None,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> TopicWrite:
    """Writes records to a topic and waits until the broker has them.

    Args:
        records: in stream order.
        producer_config: librdkafka's properties, `bootstrap.servers` at least; they go before
            this module's own.
        topic: its name.
        paced: write each record when the wall clock reaches its time, and stamp it with the time
            of writing; else at once, stamped with its own time.
        stop: when set, no further record is written.
        on_record: called with each record when it is handed to the producer.
        now_ms: the wall clock, ms since the epoch.

    Returns:
        What was written and what was not.

    Raises:
        KafkaException: librdkafka refuses the configuration.
    """
    stop = stop or Event()
    written = TopicWrite()
    told: dict[str, Any] = {"error_cb": lambda error: written.note(error.str())}
    producer = Producer({**_PRODUCER_DEFAULTS, **told, **producer_config})
    for record in records:
        if paced:
            _wait_until(record.time_ms, now_ms, producer, stop)
        if stop.is_set():
            break
        _produce(producer, topic, record, now_ms() if paced else record.time_ms, written)
        if on_record is not None:
            on_record(record)
    while producer.flush(_POLL_SECONDS):
        pass
    return written


def _wait_until(time_ms: int, now_ms: Callable[[], int], producer: Producer, stop: Event) -> None:
    producer.poll(0)
    while not stop.is_set() and (left := (time_ms - now_ms()) / 1000) > 0:
        stop.wait(min(left, _LONGEST_WAIT_SECONDS))
        producer.poll(0)


def _produce(
    producer: Producer, topic: str, record: GeneratedRecord, time_ms: int, written: TopicWrite
) -> None:
    spans = sum(len(batch.spans) for batch in record.batches)

    def delivered(error: KafkaError | None, _message: Message | None) -> None:
        if error is None:
            written.records += 1
            written.spans += spans
        else:
            written.failed += 1
            written.note(error.str())

    while True:
        try:
            producer.produce(
                topic,
                value=record.value,
                key=record.key,
                timestamp=time_ms,
                headers=list(record.headers),
                on_delivery=delivered,
            )
        except BufferError:
            # The queue is full: the broker's pace is ours.
            producer.poll(_POLL_SECONDS)
        except KafkaException as error:
            delivered(error.args[0], None)
            break
        else:
            break
    producer.poll(0)
