"""Another policy set on Apache Kafka: how long until three workers run it, a million spans held.

A topic of six partitions is filled with traces that are not due for ten minutes; three workers
read it. Then a set that asks something new is written, and the workers' statuses tell when each
has it in force: they must first read all that they have buffered. Brokers and workers share the
machine's cores.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from rich.console import Console

from benchmarks.end_to_end import fill
from benchmarks.memory import HELD
from benchmarks.policies import NEW
from benchmarks.records import FOUR_SPANS
from streamsampler.config import Settings
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.status import read_status
from streamsampler.kafka.topics import create_topics
from tests.chaos.topics import checkpoints_of, ends_of
from tests.kafka_cluster import KafkaCluster

PARTITIONS = 6
WORKERS = 3
PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.2


@contextmanager
def workers(settings: Settings, folder: Path) -> Iterator[None]:
    """Run workers as processes, each with a store of its own."""
    running = []
    for number in range(WORKERS):
        own = settings.model_dump(mode="json")
        own["store"]["path"] = str(folder / f"store{number}")
        own["http"]["address"] = None
        file = folder / f"worker{number}.yaml"
        file.write_text(yaml.safe_dump(own))
        script = Path(sys.executable).with_name("streamsampler")
        command = [str(script), "run", "--config", str(file)]
        with (folder / f"worker{number}.log").open("w") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log, env=os.environ))
    try:
        yield
    finally:
        for one in running:
            one.send_signal(signal.SIGTERM)
        for one in running:
            one.wait(60)


def all_read(settings: Settings) -> bool:
    """Whether the group has taken in all records."""
    checkpoints = checkpoints_of(settings)
    if checkpoints is None:
        return False
    positions = {p: one.position if one else 0 for p, one in checkpoints.items()}
    return positions == ends_of(settings, settings.topics.input)


def wait_until_read(settings: Settings) -> None:
    """Wait until all records are buffered."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all_read(settings):
        assert time.monotonic() < deadline, "the workers did not read the topic in time"
        time.sleep(LOOK_SECONDS)


def seconds_until(settings: Settings, version: str) -> list[float]:
    """How long after now each worker had a version in force, s, by its own status."""
    began_ms = time.time() * 1000
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen: dict[str, float] = {}
    while len(seen) < WORKERS:
        assert time.monotonic() < deadline, f"only {sorted(seen)} run {version}"
        for name, status in read_status(settings, 5).items():
            if status.policy_version == version:
                seen.setdefault(name, (status.at_ms - began_ms) / 1000)
    return sorted(seen.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=125_000)
    options = parser.parse_args()
    with KafkaCluster() as kafka, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = Settings.model_validate(
            {
                "kafka": {"bootstrap.servers": kafka.bootstrap},
                "group_id": "policy-change",
                "store": {"path": str(folder / "store")},
            }
        )
        create_topics(settings, PARTITIONS, 1)
        publish_policy_set(settings, HELD, "benchmarks/memory.py")
        spans = fill(settings, FOUR_SPANS, options.traces)
        with workers(settings, folder):
            wait_until_read(settings)
            version = publish_policy_set(settings, NEW, "benchmarks/policies.py").version
            took = seconds_until(settings, version)
    Console().print(
        f"{spans:,} spans buffered by {WORKERS} workers: all run another set"
        f" {took[-1]:.2f} s after it was written (the first {took[0]:.2f} s)"
    )


if __name__ == "__main__":
    main()
