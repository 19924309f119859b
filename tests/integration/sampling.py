"""What the integration tests share: topics to write and read, and a worker that runs meanwhile."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.config import Settings
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.topics import create_topics
from streamsampler.kafka.worker import Watch, run_worker
from streamsampler.sampler import Counts, Decision

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.05
TOPICS = ("input", "output", "decisions", "policies", "sketches", "tables", "status")


def make_settings(bootstrap: str, prefix: str, folder: Path, **other: Any) -> Settings:
    """Settings with topics and a group that no other test has."""
    topics = {name: prefix + name for name in (*TOPICS, "dead_letters")}
    return Settings.model_validate(
        {
            "kafka": {"bootstrap.servers": bootstrap, "session.timeout.ms": "6000"},
            "topics": topics,
            "group_id": f"{prefix}group",
            "store": {"path": folder / "store"},
            "http": {"address": None},
            **other,
        }
    )


def make_topics(settings: Settings, partitions: int) -> None:
    """All topics; the input, output and decisions with so many partitions."""
    create_topics(settings, partitions, 1)


@dataclass(frozen=True, slots=True)
class Written:
    """A record to write."""

    value: bytes | None
    key: bytes | None = None
    partition: int = -1
    time_ms: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def write(settings: Settings, topic: str, records: Iterable[Written]) -> int:
    """Write records and wait until the broker has them; returns how many."""
    producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 5})
    written = 0
    for record in records:
        written += 1
        producer.produce(
            topic,
            value=record.value,
            key=record.key,
            partition=record.partition,
            timestamp=record.time_ms,
            headers=list(record.headers),
        )
        producer.poll(0)
    assert producer.flush(PATIENCE_SECONDS) == 0
    return written


def read_all(settings: Settings, topic: str) -> list[Message]:
    """All committed records that a topic has now, partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap,
            "group.id": "reader",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    partitions = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages: list[Message] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while partitions:
        assert time.monotonic() < deadline, f"{topic} could not be read to its end"
        for message in consumer.consume(1_000, LOOK_SECONDS):
            error = message.error()
            if error is None:
                messages.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                partitions.discard(message.partition() or 0)
    consumer.close()
    return sorted(messages, key=lambda message: (message.partition(), message.offset()))


def span_ids(values: Iterable[bytes]) -> Counter[bytes]:
    """How often each span id stands in OTLP protobuf values, by another decoder than ours."""
    return Counter(
        span.span_id
        for value in values
        for resource in TracesData.FromString(value).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


def output_of(settings: Settings) -> dict[str, Counter[bytes]]:
    """The output topic: trace id in hex, and how often each span id is in it."""
    values: dict[str, list[bytes]] = {}
    for message in read_all(settings, settings.topics.output):
        key, value = message.key(), message.value()
        assert key is not None
        assert value is not None
        values.setdefault(key.decode(), []).append(value)
    return {trace_id: span_ids(parts) for trace_id, parts in values.items()}


def span_counts(output: Mapping[str, Counter[bytes]]) -> dict[str, int]:
    """How many spans each trace has."""
    return {trace_id: ids.total() for trace_id, ids in output.items()}


def decisions_of(settings: Settings) -> list[Decision]:
    """The decisions topic."""
    return [
        Decision.unpack(message.partition() or 0, message.key() or b"", message.value() or b"")
        for message in read_all(settings, settings.topics.decisions)
    ]


def committed_offsets(settings: Settings, partitions: int) -> list[TopicPartition]:
    """What the group has committed for the input."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": settings.group_id})
    places = [TopicPartition(settings.topics.input, partition) for partition in range(partitions)]
    found = consumer.committed(places, timeout=10)
    consumer.close()
    return found


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look until a condition holds; fail, saying what was waited for, when it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s in vain for {what}"
        pause.wait(LOOK_SECONDS)


def hurried(times: int) -> Clock:
    """A clock on which intervals pass so many times as fast; records keep their times."""
    return Clock(monotonic_ms=lambda: time.monotonic_ns() * times // 1_000_000)


class RunningWorker:
    """A worker in a thread of this process, told to stop at the end of the `with`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.counts: dict[int, Counts] = {}
        self._stop = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(settings, clock))

    def _run(self, settings: Settings, clock: Clock | None) -> None:
        try:
            run_worker(settings, self._stop.is_set, Watch(counts=self._note), clock)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self._error = error

    def _note(self, counts: dict[int, Counts]) -> None:
        self.counts = counts

    @property
    def total(self) -> Counts:
        """Of the partitions that it has now."""
        return sum(self.counts.values(), Counts())

    @property
    def conserved(self) -> bool:
        """Whether the conservation law holds on every partition."""
        return bool(self.counts) and all(each.conserved() for each in self.counts.values())

    def running(self) -> bool:
        """Whether it has neither stopped nor failed."""
        return self._thread.is_alive()

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; fail as the worker does if it ends before."""

        def holds_or_ended() -> bool:
            return condition() or not self.running()

        wait_until(holds_or_ended, what)
        if self._error is not None:
            raise self._error
        assert condition(), f"the worker stopped before {what}"

    def wait_until_read(self, records: int) -> None:
        """Wait until it has taken so many records in."""
        self.wait_until(lambda: self.total.records >= records, f"{records} records to be read")

    def wait_until_decided(self, records: int) -> None:
        """Wait until it has read so many records and decided on all traces."""
        self.wait_until_read(records)
        self.wait_until(lambda: self.total.traces_buffered == 0, "every trace to be decided")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the worker did not stop"
        if error is None and self._error is not None:
            raise self._error
