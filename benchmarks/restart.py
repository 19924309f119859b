"""A worker that comes back, on Apache Kafka: with its local store, without it, and after a kill.

A topic of six partitions is filled with a million spans that are not due for ten minutes; one
worker reads it. Then it is stopped and started again three times: in order, in order and its store
deleted, and killed. Told is how long it takes from the assignment of the partitions until all of
them are live, past decisions, blocks or records, and the group's commits included. Brokers and
worker share the machine's cores.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from benchmarks.end_to_end import fill
from benchmarks.memory import HELD
from benchmarks.policy_change import PARTITIONS, wait_until_read
from benchmarks.records import FOUR_SPANS
from streamsampler.config import Settings
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.topics import create_topics
from tests.kafka_cluster import KafkaCluster

PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.2


class Worker:
    """One worker process, and what it logs.

    Args:
        settings: Its settings.
        folder: For its log.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._file, self._log = folder / "worker.yaml", folder / "worker.log"
        self._file.write_text(yaml.safe_dump(settings.model_dump(mode="json")))

    def start(self) -> None:
        """Start it; what it logged before is gone."""
        script = Path(sys.executable).with_name("streamsampler")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(script), "run", "--config", str(self._file)], stdout=log, stderr=log
            )

    def stop(self, how: signal.Signals) -> None:
        """Stop it and wait for its end."""
        self._process.send_signal(how)
        self._process.wait(60)

    def _events(self, name: str) -> Iterator[dict[str, Any]]:
        for line in self._log.read_text().splitlines():
            if line.startswith("{") and (event := json.loads(line)).get("event") == name:
                yield event

    def seconds_until_live(self) -> float:
        """Wait until all partitions are live; tell how long that took from their assignment, s."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(list(self._events("partition_live"))) < PARTITIONS:
            assert time.monotonic() < deadline, "the worker did not become live in time"
            time.sleep(LOOK_SECONDS)
        began = next(self._events("partitions_assigned"))["timestamp"]
        ended = [event["timestamp"] for event in self._events("partition_live")][-1]
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def main() -> None:
    """Measure the three ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=125_000)
    options = parser.parse_args()
    took: dict[str, float] = {}
    with KafkaCluster() as kafka, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = Settings.model_validate(
            {
                "kafka": {"bootstrap.servers": kafka.bootstrap, "session.timeout.ms": "6000"},
                "group_id": "restart",
                "instance_id": "one",
                "store": {"path": str(folder / "store")},
                "http": {"address": None},
                "log": {"format": "json"},
            }
        )
        create_topics(settings, PARTITIONS, 1)
        publish_policy_set(settings, HELD, "benchmarks/memory.py")
        spans = fill(settings, FOUR_SPANS, options.traces)
        worker = Worker(settings, folder)
        worker.start()
        wait_until_read(settings)
        ways = {
            "with its store": (signal.SIGTERM, False),
            "without its store": (signal.SIGTERM, True),
            "after a kill": (signal.SIGKILL, False),
        }
        for name, (how, deleted) in ways.items():
            worker.stop(how)
            if deleted:
                shutil.rmtree(settings.store.path)
            worker.start()
            took[name] = worker.seconds_until_live()
        worker.stop(signal.SIGTERM)
    Console().print(
        f"{spans:,} spans buffered; all {PARTITIONS} partitions live again: "
        + ", ".join(f"{name} after {seconds:.2f} s" for name, seconds in took.items())
    )


if __name__ == "__main__":
    main()
