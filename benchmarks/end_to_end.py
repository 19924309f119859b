"""End to end on Apache Kafka: spans per CPU second, and where that time goes.

A topic of eight partitions is filled first; then one worker in this process reads it, buffers,
decides with four policies, writes the kept traces and a decision a trace, and commits twice a
second. Counted is the CPU time of the whole process, librdkafka's and RocksDB's threads included,
from the first record to the last. A broker runs beside it on the same two cores.

What is spent outside librdkafka is the worker's own thread less its calls into the Kafka client,
and RocksDB's threads, taken from a run of the engine alone.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import structlog
from confluent_kafka import Producer
from rich.console import Console

from benchmarks.engine import POLICIES, policies
from benchmarks.records import FOUR_SPANS, ONE_SPAN, Shape, batches, template
from streamsampler.config import Http, Settings, Store
from streamsampler.kafka import clients
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.topics import create_topics
from streamsampler.kafka.worker import Watch, run_worker
from streamsampler.outcome import Counts
from streamsampler.sampler import Sampler
from streamsampler.store import BlockStore
from tests.kafka_cluster import KafkaCluster

PARTITIONS = 8


@dataclass(slots=True)
class Client:
    """A Kafka client that notes how much of the caller's CPU time its calls take."""

    inner: Any
    spent: list[float] = field(default_factory=lambda: [0.0])

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.inner, name)
        if not callable(attribute):
            return attribute

        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.thread_time()
            try:
                return attribute(*arguments, **named)
            finally:
                self.spent[0] += time.thread_time() - start

        return timed


def fill(settings: Settings, shape: Shape, traces: int) -> int:
    """Write the records, by key, with times in the past; tell how many spans."""
    producer = Producer({**settings.kafka, "linger.ms": "50", "compression.type": "lz4"})
    shift = 0
    for batch in batches(shape, traces, 5000):
        shift = shift or int(time.time() * 1000) - 3_600_000 - int(batch.times_ms[0])
        times = (batch.times_ms + shift).tolist()
        for record in range(len(batch)):
            while True:
                try:
                    producer.produce(
                        settings.topics.input,
                        batch.value(record),
                        batch.key(record),
                        timestamp=times[record],
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    return traces * shape.spans_per_trace


@dataclass(slots=True)
class Progress:
    """What the worker has read, and the CPU time when it began and when all was read."""

    spans: int
    started: tuple[float, float] = (0.0, 0.0)
    ended: tuple[float, float] = (0.0, 0.0)

    def counts(self, counts: dict[int, Counts]) -> None:
        """Take the counts of a commit interval."""
        now = (time.process_time(), time.thread_time())
        read = sum(one.spans_in for one in counts.values())
        if not read:
            self.started = now
        if read >= self.spans and self.ended == (0.0, 0.0):
            self.ended = now

    def done(self) -> bool:
        """Whether everything has been read."""
        return self.ended != (0.0, 0.0)


def sample(settings: Settings, progress: Progress) -> float:
    """Run a worker until all is read; give the CPU time of its calls into the Kafka client."""
    spent = [0.0]

    def wrapped(make: Callable[[Settings], Any]) -> Callable[[Settings], Any]:
        return lambda given: Client(make(given), spent)

    with (
        mock.patch(
            "streamsampler.kafka.worker.make_group_consumer", wrapped(clients.make_group_consumer)
        ),
        mock.patch("streamsampler.kafka.worker.make_producer", wrapped(clients.make_producer)),
        mock.patch(
            "streamsampler.kafka.worker.make_transactional_producer",
            wrapped(clients.make_transactional_producer),
        ),
    ):
        run_worker(settings, progress.done, Watch(counts=progress.counts))
    return spent[0]


def background(shape: Shape, traces: int) -> float:
    """CPU time of RocksDB's threads for so many traces, s, from the engine alone."""
    with tempfile.TemporaryDirectory() as folder, BlockStore(Path(folder) / "b") as store:
        sampler = Sampler(policies(), store)
        sampler.assign(0)
        spent = 0.0
        for batch in batches(shape, traces, 5000):
            whole, own = time.process_time(), time.thread_time()
            sampler.submit(batch)
            sampler.committed(0, sampler.checkpoint(0))
            spent += (time.process_time() - whole) - (time.thread_time() - own)
    return max(spent, 0.0)


def measure(bootstrap: str, shape: Shape, traces: int, guarantee: str, console: Console) -> None:
    """Fill, sample, print."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"bench{shape.spans_per_record}.{guarantee}"
        settings = Settings(
            kafka={"bootstrap.servers": bootstrap},
            topics={
                "input": f"{name}.in",
                "output": f"{name}.out",
                "decisions": f"{name}.decisions",
                "policies": f"{name}.policies",
                "dead_letters": f"{name}.dlq",
            },
            group_id=name,
            store=Store(path=Path(folder) / "store"),
            guarantee=guarantee,
            http=Http(address=None),
        )
        create_topics(settings, PARTITIONS, 1)
        publish_policy_set(settings, POLICIES, "benchmarks/engine.py")
        progress = Progress(fill(settings, shape, traces))
        in_client = sample(settings, progress)
    cpu = progress.ended[0] - progress.started[0]
    own = progress.ended[1] - progress.started[1]
    outside = (own - in_client + background(shape, traces)) / cpu
    console.print(
        f"{shape.spans_per_record} span(s) in {len(template(shape))} bytes, {guarantee}:"
        f" {progress.spans / cpu:,.0f} spans per CPU second"
        f" ({cpu / progress.spans * 1e6:.2f} us a span);"
        f" {outside:.0%} of that outside librdkafka"
    )


def main() -> None:
    """Measure both shapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=100_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    console = Console()
    with KafkaCluster() as kafka:
        for shape in (ONE_SPAN, FOUR_SPANS):
            for guarantee in ("at_least_once", "exactly_once"):
                measure(kafka.bootstrap, shape, options.traces, guarantee, console)


if __name__ == "__main__":
    main()
