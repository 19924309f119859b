"""`streamsampler run` as an operator runs it: processes, signals, exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from streamsampler.config import Settings
from streamsampler.kafka.offsets import from_committed
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.policies import PolicySet, load_policy_set
from streamsampler.traffic import Expectation, Traffic, TrafficSettings, judge, write_topic
from tests.integration.sampling import (
    PATIENCE_SECONDS,
    committed_offsets,
    decisions_of,
    make_topics,
    output_of,
    wait_until,
)

COMMAND = Path(sys.executable).with_name("streamsampler")
POLICIES = """
decision_wait: 6s
completion_grace: 2s
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 900}}
  - name: canary
    type: string_attribute
    string_attribute: {key: deployment.environment.name, values: [canary]}
  - {name: tenants, type: tenant, tenant: {tenants: {globex: always, initech: 25}}}
  - {name: baseline, type: probabilistic, probabilistic: {sampling_percentage: 5}}
"""


class Running:
    """The command as a subprocess; its log is JSON lines in a file."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self._log = config.with_name(f"log-{time.monotonic_ns()}.jsonl")
        command = [str(COMMAND), "run", "--config", str(config), *arguments]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def text(self) -> str:
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines with this event."""
        lines = [line for line in self.text.splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(lambda: condition() or self.process.poll() is not None, what)
        assert self.process.poll() is None, self.text

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def workers(self) -> list[int]:
        """The ids of its worker processes."""
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


@contextmanager
def running(config: Path, *arguments: str) -> Iterator[Running]:
    command = Running(config, *arguments)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait(PATIENCE_SECONDS)


def ends(settings: Settings, topic: str, partitions: int) -> list[int]:
    """The offset behind the last record of each partition."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "looking"})
    places = [TopicPartition(topic, partition) for partition in range(partitions)]
    found = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
    consumer.close()
    return found


def sampled(settings: Settings, partitions: int, traces: int) -> bool:
    """Whether all that was written has been read, decided and committed."""
    if sum(ends(settings, settings.topics.decisions, partitions)) < traces:
        return False
    checkpoints = [from_committed(place) for place in committed_offsets(settings, partitions)]
    low_watermarks = [one.low_watermark if one else 0 for one in checkpoints]
    return low_watermarks == ends(settings, settings.topics.input, partitions)


def shop_traffic(settings: Settings, policies: PolicySet, traces: int) -> list[Expectation]:
    """Write the shop's traffic of the last minutes; returns what must become of each trace."""
    windows = policies.decision_wait_ms, policies.completion_grace_ms
    shape = TrafficSettings(
        traces=traces, seed=11, spans_per_second=2_000, duplicate_share=0.02, late_share=0.05
    ).fitted(*windows)
    start_ms = time.time_ns() // 1_000_000 - shape.duration_ms
    traffic = Traffic(replace(shape, start_ms=start_ms))
    written = write_topic(
        traffic.records(), {"bootstrap.servers": settings.bootstrap}, settings.topics.input
    )
    assert written.failed == 0
    return [judge(one, policies) for one in traffic.traces]


def kept(expected: Sequence[Expectation]) -> dict[str, Counter[bytes]]:
    """What the output must hold: each span once."""
    return {one.trace_id.hex(): Counter(one.span_ids) for one in expected if one.span_ids}


def test_two_workers_do_with_twenty_thousand_traces_what_the_oracle_says(
    settings: Settings, config: Path
) -> None:
    make_topics(settings, 8)
    policies = load_policy_set(POLICIES, "test")
    expected = shop_traffic(settings, policies, 20_000)
    # Without policies both wait, so that both begin at once; then the first to join takes all
    # partitions, and hands half of them over in the midst of the traffic.
    heartbeat = ("--set", "kafka.heartbeat.interval.ms=200")
    with running(config, "--workers", "2", *heartbeat) as command:
        command.wait_until(lambda: len(command.events("waiting_for_policies")) == 2, "two workers")
        publish_policy_set(settings, POLICIES, "test")
        command.wait_until(lambda: sampled(settings, 8, 20_000), "20,000 traces")
        assert command.stop() == 0, command.text
        counts = command.events("partition_counts")
    assert {one["partition"] for one in counts} == set(range(8))
    assert all(one["conserved"] for one in counts)
    # Nothing of what the spans hold is in the log.
    assert not re.search(r"checkout|cart|globex|GET /|POST /", command.text)
    decided: Counter[str] = Counter()
    for one in counts:
        decided[one["worker"]] += one["kept"] + one["not_sampled"] + one["dropped"]
    assert len(decided) == 2
    assert min(decided.values()) > 0
    assert decided.total() == sum(one.on_time + one.late for one in expected)
    verdicts = decisions_of(settings)
    assert len(verdicts) == 20_000
    assert {one.trace_id: (one.decision, one.policy) for one in verdicts} == {
        one.trace_id: (one.decision, one.policy) for one in expected
    }
    assert output_of(settings) == kept(expected)


def test_a_killed_worker_loses_nothing_and_no_verdict_is_given_twice(
    settings: Settings, config: Path
) -> None:
    make_topics(settings, 4)
    policies = publish_policy_set(settings, POLICIES, "test")
    expected = shop_traffic(settings, policies, 3_000)
    topic = settings.topics.decisions
    with running(config, "--set", "batch_records=20") as command:
        command.wait_until(lambda: sum(ends(settings, topic, 4)) > 300, "some decisions")
        command.stop(signal.SIGKILL)
    before = decisions_of(settings)
    assert 300 < len(before) < 3_000
    with running(config) as command:
        command.wait_until(lambda: sampled(settings, 4, 3_000), "all decisions")
        assert command.stop() == 0, command.text
        assert all(one["conserved"] for one in command.events("partition_counts"))
    decided = decisions_of(settings)
    assert {one.trace_id: one.decision for one in decided} == {
        one.trace_id: one.decision for one in expected
    }
    assert len(decided) == len(expected)
    output, must = output_of(settings), kept(expected)
    assert set(output) == set(must)
    # At least once: what was written since the last commit may be there again.
    assert all(must[trace_id] <= output[trace_id] for trace_id in must)
    assert all(set(must[trace_id]) == set(output[trace_id]) for trace_id in must)


def test_one_worker_that_dies_stops_all(settings: Settings, config: Path) -> None:
    make_topics(settings, 4)
    publish_policy_set(settings, POLICIES, "test")
    with running(config, "--workers", "2") as command:
        command.wait_until(lambda: len(command.events("partitions_assigned")) >= 2, "two members")
        first, second = command.workers()
        os.kill(first, signal.SIGKILL)
        assert command.process.wait(PATIENCE_SECONDS) == 1
        assert len(command.events("worker_stopped")) == 1
    assert not Path(f"/proc/{second}").exists()


def test_workers_do_not_outlive_their_supervisor(settings: Settings, config: Path) -> None:
    make_topics(settings, 4)
    publish_policy_set(settings, POLICIES, "test")
    with running(config, "--workers", "2") as command:
        command.wait_until(lambda: len(command.events("worker_starting")) == 2, "two workers")
        workers = command.workers()
        command.stop(signal.SIGKILL)
        wait_until(
            lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "their end"
        )
        assert len(command.events("worker_stopped")) == 2


def test_the_guarantee_is_said_at_the_start_and_an_interrupt_is_a_stop(
    settings: Settings, config: Path
) -> None:
    make_topics(settings, 1)
    policies = config.with_name("policies.yaml")
    policies.write_text(POLICIES)
    with running(config, "--policies", str(policies), "--set", "instance_id=pod-7") as command:
        command.wait_until(lambda: bool(command.events("partitions_assigned")), "a member")
        assert command.stop(signal.SIGINT) == 0
        (start,) = command.events("worker_starting")
        assert (start["guarantee"], start["worker"]) == ("exactly_once", "pod-7")
        assert len(command.events("worker_stopped")) == 1


def test_an_unreachable_broker_is_told_in_a_sentence(config: Path) -> None:
    nowhere = ["--set", "kafka.bootstrap.servers=127.0.0.1:1", "--set", "startup_timeout_ms=500"]
    for workers in ("1", "2"):
        with running(config, "--workers", workers, *nowhere) as command:
            assert command.process.wait(PATIENCE_SECONDS) == 1
            assert "Error: no broker answered at 127.0.0.1:1 within 0.5 s" in command.text
            assert "Traceback" not in command.text


def test_a_bad_setting_is_told_before_anything_starts(config: Path) -> None:
    config.write_text("kafka: {bootstrap.servers: 127.0.0.1:1}\ninput: {formt: otlp_proto}\n")
    with running(config, "--workers", "2") as command:
        assert command.process.wait(PATIENCE_SECONDS) == 2
        assert command.text == (
            f"Error: {config}:2:9: input.formt is unknown; did you mean format?\n"
        )


def test_a_format_that_is_none_is_a_bad_setting(config: Path) -> None:
    with running(config, "--set", "input.format=otlp_jsn") as command:
        assert command.process.wait(PATIENCE_SECONDS) == 2
        assert "input.format is unknown; did you mean otlp_json?" in command.text
