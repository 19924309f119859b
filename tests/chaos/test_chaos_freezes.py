"""Workers that stand still for longer than the group waits, and then go on."""

import signal
from collections.abc import Mapping

from streamsampler.sampler import Checkpoint
from tests.chaos.scenario import OpenScenario, Scenario
from tests.chaos.topics import checkpoints_of, ends_of, last_stable_of
from tests.chaos.workers import INTERRUPTED

LONGER_THAN_THE_SESSION = 8.0
SOME_RECORDS = 40


def test_a_worker_frozen_past_its_session_is_fenced_and_comes_back(scenario: OpenScenario) -> None:
    stage = scenario("freeze past the session")
    staying, frozen = stage.worker("staying"), stage.worker("frozen")
    for worker in (staying, frozen):
        worker.start()
        stage.wait_ready(worker)
    stage.load.start()
    stage.let_pass(4)
    frozen.freeze()
    stage.fault("SIGSTOP")
    stage.let_pass(LONGER_THAN_THE_SESSION)
    assigned = len(frozen.events("partitions_assigned"))
    frozen.thaw()
    stage.wait_until(
        lambda: len(frozen.events("partitions_assigned")) > assigned, "the zombie to come back"
    )
    stage.wait_ready(frozen)
    stage.let_pass(3)
    report = stage.conclude()
    assert report.clean, report.text()


def test_decisions_behind_an_open_transaction_are_waited_for(scenario: OpenScenario) -> None:
    stage = scenario("takeover behind an open transaction", transaction_timeout_ms=8_000)
    first = stage.worker("first")
    first.command = (*INTERRUPTED, "before_offsets", str(SOME_RECORDS), str(int(signal.SIGSTOP)))
    first.start()
    stage.wait_ready(first)
    stage.load.start()
    stage.wait_until(lambda: first.frozen, "the first one to stand still")
    decisions = stage.settings.topics.decisions
    ends, stable = ends_of(stage.settings, decisions), last_stable_of(stage.settings, decisions)
    assert any(stable[p] < ends[p] for p in ends), "the first one's transaction is not open"
    stage.fault("SIGSTOP with an open transaction")

    second = stage.worker("second", instance_id="second")
    second.start()
    left_at = checkpoints_of(stage.settings)
    assert left_at is not None
    stage.wait_until(lambda: _all_moved(stage, left_at), "the second one's commits")
    second.kill()
    stage.fault("kill -9 of its successor")

    third = stage.worker("third", instance_id="second")
    third.start()
    stage.wait_ready(third)
    first.thaw()
    stage.let_pass(5)
    stage.wait_ready(first, third)
    report = stage.conclude()
    assert report.clean, report.text()
    assert report.aborted_records >= SOME_RECORDS, report.text()


def _all_moved(stage: Scenario, before: Mapping[int, Checkpoint | None]) -> bool:
    """Whether the group stands further on everywhere, decisions included."""
    now = checkpoints_of(stage.settings)
    if now is None:
        return False
    low = [(old.low_watermark if old else 0, now[p]) for p, old in before.items()]
    return all(new is not None and new.low_watermark > old for old, new in low)
