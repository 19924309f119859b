"""A scenario: topics of its own, a load, a crew of workers, faults, and the reckoning."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

from streamsampler.config import Settings
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.topics import create_topics
from streamsampler.policies import load_policy_set
from tests.chaos.load import Load, Pace, shaped
from tests.chaos.report import Report, Truth, compare, input_partitions
from tests.chaos.topics import checkpoints_of, ends_of
from tests.chaos.workers import COMMAND, WorkerProcess
from tests.integration.sampling import make_settings

POLICIES = """
decision_wait: 60s
completion_grace: 30s
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 900}}
  - name: canary
    type: string_attribute
    string_attribute: {key: deployment.environment.name, values: [canary]}
  - {name: tenants, type: tenant, tenant: {tenants: {globex: always, initech: 25}}}
  - {name: baseline, type: probabilistic, probabilistic: {sampling_percentage: 5}}
"""
KAFKA = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}
PATIENCE_SECONDS = 90.0
LOOK_SECONDS = 0.1
ABORTED = "transaction_aborted"


OpenScenario = Callable[..., "Scenario"]


class Scenario:
    """Has its topics made and its policies in force from the start; whoever made it closes it.

    Args:
        name: What the report calls it.
        seed: Of all its chance.
        bootstrap: The brokers.
        folder: For the workers' files.
        partitions: Of input, output and decisions.
        pace: Of the load.
        shape: What the traffic has that others have not, as in `TrafficSettings`.
        policies: The policy set.
        others: Sets that may come into force meanwhile, with the same waits.
        **settings: Of the workers.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        bootstrap: str,
        folder: Path,
        *,
        partitions: int = 4,
        pace: Pace | None = None,
        shape: Mapping[str, Any] | None = None,
        policies: str = POLICIES,
        others: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self.report = Report(name, seed)
        self.random = Random(f"{seed}/{name}")
        self.folder = folder
        self.crew: list[WorkerProcess] = []
        self.allowed_troubles: list[str] = []
        self.verdicts_hold = True
        self.cut: dict[bytes, int] = {}
        self.partitions_before: dict[bytes, int] = {}
        self._began = time.monotonic()
        prefix = f"chaos{self.random.getrandbits(48):012x}."
        kafka = {"bootstrap.servers": bootstrap, **KAFKA}
        self.settings: Settings = make_settings(bootstrap, prefix, folder, kafka=kafka, **settings)
        create_topics(self.settings, partitions)
        publish_policy_set(self.settings, policies, name)
        loaded = load_policy_set(policies, name)
        pace = pace or Pace()
        shaped_by = shaped(loaded, pace, self.random.getrandbits(32), **(shape or {}))
        judges = [load_policy_set(one, name) for one in others]
        topic = self.settings.topics.input
        self.load = Load(bootstrap, topic, partitions, loaded, shaped_by, pace, judges)

    def worker(
        self,
        name: str,
        *,
        instance_id: str | None = None,
        command: Sequence[str] = COMMAND,
        **settings: Any,
    ) -> WorkerProcess:
        """Add a worker to the crew, not yet started.

        Args:
            name: Its own.
            instance_id: For static membership.
            command: What runs it.
            **settings: Of this one alone.

        Returns:
            The worker.
        """
        own = Settings.model_validate({**self.settings.model_dump(), **settings})
        worker = WorkerProcess(name, own, self.folder, instance_id, command)
        self.crew.append(worker)
        return worker

    def fault(self, kind: str) -> None:
        """Count an injected fault."""
        self.report.faults[kind] = self.report.faults.get(kind, 0) + 1

    def check(self) -> None:
        """Fail where the load or a worker ended by itself."""
        self.load.check()
        for worker in self.crew:
            worker.check()

    def wait_until(
        self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Wait for a condition while load and workers go on; else fail, saying for what."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            assert time.monotonic() < deadline, self._in_vain(f"{seconds:g} s for {what}")
            time.sleep(LOOK_SECONDS)

    def wait_ready(self, *workers: WorkerProcess) -> None:
        """Wait until these, or all that run, are ready."""
        for worker in workers or [one for one in self.crew if one.running]:
            self.wait_until(partial(_is_ready, worker), f"{worker.name} to be ready")

    def let_pass(self, seconds: float) -> None:
        """Let the load go on for a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.check()
            Event().wait(min(left, LOOK_SECONDS))

    def decided(self) -> bool:
        """Whether everything written so far is read, decided and committed."""
        checkpoints = checkpoints_of(self.settings)
        if checkpoints is None:
            return False
        low_watermarks = {p: one.low_watermark if one else 0 for p, one in checkpoints.items()}
        return low_watermarks == ends_of(self.settings, self.settings.topics.input)

    def conclude(self) -> Report:
        """End the load, wait until all is decided, stop the workers, and hold all to the oracle.

        Returns:
            The report; a scenario's test asserts that it has no problems.
        """
        self.load.finish()
        self.wait_until(self.decided, "every trace to be decided")
        for worker in self.crew:
            if worker.running:
                worker.stop()
        partitions = {**self.partitions_before, **input_partitions(self.settings)}
        truth = Truth(
            self.load.expected, partitions, self.cut, self.verdicts_hold, self.load.by_version
        )
        compare(self.settings, truth, self.report)
        self._check_logs()
        self.report.seconds = time.monotonic() - self._began
        return self.report

    def _check_logs(self) -> None:
        for worker in self.crew:
            self.report.aborted_transactions += len(worker.events(ABORTED, ever=True))
            for counts in worker.events("partition_counts", ever=True):
                if not counts["conserved"]:
                    self.report.note(f"{worker.name}: not conserved: {counts}")
            for line in worker.troubles():
                if not any(allowed in line for allowed in self.allowed_troubles):
                    self.report.note(f"{worker.name}: {line}")

    def _in_vain(self, what: str) -> str:
        where = f"seed {self.report.seed}, files in {self.folder}"
        stands = f"committed {checkpoints_of(self.settings)}"
        ends = f"of {ends_of(self.settings, self.settings.topics.input)}"
        tails = "\n".join(f"{one.name}: {one.tail()[-1500:]}" for one in self.crew if one.starts)
        return f"waited {what} in vain; {where}; {stands} {ends}\n{tails}"

    def close(self) -> None:
        """Leave no process and no load behind."""
        for worker in self.crew:
            worker.clean_up()
        self.load.abandon()


def _is_ready(worker: WorkerProcess) -> bool:
    return worker.ready
