"""Workers that die at any moment, in the middle of a commit for choice.

The long form, of so many minutes, goes on with every kind of fault at random.
"""

import os
import signal
import time
from functools import partial

import pytest

from tests.chaos.faults import FAULTS, kill
from tests.chaos.scenario import OpenScenario
from tests.chaos.workers import COMMAND, INTERRUPTED, WorkerProcess
from tests.kafka_cluster import KafkaCluster

KILLS = 20
PAUSE_SECONDS = 1.5
MINUTES = float(os.environ.get("STREAMSAMPLER_CHAOS_MINUTES") or 0)
SOME_RECORDS = 40


@pytest.mark.timeout(300 + 60 * MINUTES)
def test_workers_killed_at_random_moments_lose_nothing_and_double_nothing(
    scenario: OpenScenario, cluster: KafkaCluster
) -> None:
    # Commits follow each other so closely that many a kill comes in the middle of one.
    stage = scenario("kill -9", partitions=6, commit_interval_ms=50)
    for worker in (
        stage.worker("static-1", instance_id="static-1"),
        stage.worker("static-2", instance_id="static-2"),
        stage.worker("dynamic"),
    ):
        worker.start()
    stage.wait_ready()
    stage.load.start()
    for _ in range(KILLS):
        stage.let_pass(stage.random.uniform(0, PAUSE_SECONDS))
        kill(stage, cluster)
    end = time.monotonic() + 60 * MINUTES
    while time.monotonic() < end:
        stage.let_pass(stage.random.uniform(0, PAUSE_SECONDS))
        stage.random.choice(FAULTS)(stage, cluster)
    report = stage.conclude()
    assert report.clean, report.text()


def test_a_worker_killed_within_a_commit_leaves_all_of_it_or_nothing(
    scenario: OpenScenario,
) -> None:
    stage = scenario("kill within a commit")
    undone = stage.worker("undone", instance_id="undone")
    done = stage.worker("done", instance_id="done")
    kill = str(int(signal.SIGKILL))
    undone.command = (*INTERRUPTED, "after_offsets", str(SOME_RECORDS), kill)
    done.command = (*INTERRUPTED, "after_commit", str(SOME_RECORDS), kill)
    for worker in (undone, done):
        worker.start(ends_by_itself=True)
    stage.wait_ready()
    stage.load.start()
    for worker in (undone, done):
        stage.wait_until(partial(_is_dead, worker), f"{worker.name} to die")
        stage.fault(f"kill {worker.command[-3].replace('_', ' ')}")
        worker.command = COMMAND
        worker.start()
    stage.wait_ready(undone, done)
    stage.let_pass(3)
    report = stage.conclude()
    assert report.clean, report.text()
    assert report.aborted_records >= SOME_RECORDS, report.text()


def _is_dead(worker: WorkerProcess) -> bool:
    return not worker.running
