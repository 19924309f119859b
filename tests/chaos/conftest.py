"""One cluster for all scenarios, a seed, and the reports at the end of the run."""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from streamsampler.policies import load_policy_set
from streamsampler.warmup import compile_kernels
from tests.chaos.faults import BROKERS
from tests.chaos.report import Report
from tests.chaos.scenario import POLICIES, OpenScenario, Scenario
from tests.kafka_cluster import KafkaCluster, KafkaMissingError

SEED = int(os.environ.get("STREAMSAMPLER_CHAOS_SEED") or random.SystemRandom().getrandbits(32))
PROPERTIES = {
    # How often the broker looks for transactions that have timed out; 10 s by default.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}

_reports: list[Report] = []


def pytest_report_header() -> str:
    return f"chaos: STREAMSAMPLER_CHAOS_SEED={SEED}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _reports:
        return
    terminalreporter.section("chaos")
    for report in _reports:
        terminalreporter.write_line(report.text())
    path = os.environ.get("STREAMSAMPLER_CHAOS_REPORT")
    if path:
        text = json.dumps([asdict(report) for report in _reports], indent=2)
        Path(path).write_text(text + "\n")


@pytest.fixture(scope="session")
def cluster() -> Iterator[KafkaCluster]:
    """Three brokers; a missing Java is a failure here, as nothing else would be tested."""
    try:
        with KafkaCluster(BROKERS, PROPERTIES) as cluster:
            yield cluster
    except KafkaMissingError as missing:
        pytest.fail(f"no Apache Kafka for the chaos tests: {missing}")


@pytest.fixture(scope="session", autouse=True)
def _warm_kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiled once, before several workers at a time would do it."""
    folder = tmp_path_factory.mktemp("kernels") / "blocks"
    compile_kernels(load_policy_set(POLICIES, "chaos"), folder)


@pytest.fixture
def scenario(cluster: KafkaCluster, tmp_path: Path) -> Iterator[OpenScenario]:
    """Opens scenarios, each on topics of its own; leaves no process behind."""
    opened: list[Scenario] = []

    def open_scenario(name: str, **options: object) -> Scenario:
        one = Scenario(name, SEED, cluster.bootstrap, tmp_path, **options)  # type: ignore[arg-type]
        opened.append(one)
        _reports.append(one.report)
        return one

    yield open_scenario
    for one in opened:
        one.close()
    cluster.start_missing_brokers()
