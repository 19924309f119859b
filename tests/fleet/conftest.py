"""Three workers on a topic of 24 partitions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from streamsampler.config import Settings
from streamsampler.kafka.policy_topic import publish_policy_set
from tests.chaos.workers import WorkerProcess
from tests.integration.sampling import make_settings, make_topics, wait_until

WORKERS = 3
PARTITIONS = 24


@pytest.fixture
def settings(kafka: str, prefix: str, tmp_path: Path) -> Settings:
    """Tables are published every second, so that a test need not wait for them."""
    topology = {"publish_ms": 1_000, "path": tmp_path / "topology"}
    return make_settings(kafka, prefix, tmp_path, topology=topology, commit_interval_ms=200)


class Start(Protocol):
    """Makes the topics, puts policies in force and starts workers."""

    def __call__(self, policies: str) -> list[WorkerProcess]: ...


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    started: list[WorkerProcess] = []

    def start(policies: str) -> list[WorkerProcess]:
        make_topics(settings, PARTITIONS)
        publish_policy_set(settings, policies, "the test")
        for number in range(WORKERS):
            worker = WorkerProcess(f"worker-{number}", settings, tmp_path)
            worker.start()
            started.append(worker)
        for worker in started:
            wait_until(lambda worker=worker: worker.answer("/readyz")[0] == 200, "a worker")  # type: ignore[misc]
        return started

    yield start
    for worker in started:
        worker.clean_up()
