"""Policies that change while three workers sample."""

from datetime import datetime

from confluent_kafka import Producer

from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.policies import load_policy_set
from tests.chaos.scenario import POLICIES, OpenScenario, Scenario

OTHER = """
decision_wait: 60s
completion_grace: 30s
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slower, type: latency, latency: {threshold_ms: 1500}}
  - name: not canary
    type: string_attribute
    string_attribute: {key: deployment.environment.name, values: [production]}
  - {name: tenants, type: tenant, tenant: {tenants: {initech: always, globex: 50}}}
"""
BAD = "policies: [{name: errors, type: statuscode}]"
MOST_SECONDS = 5.0
"""Beside three brokers and a load; `benchmarks.policy_change` measures it with a million spans."""
IN_FORCE, REFUSED = "policy_set_in_force", "policy_set_refused"


def change(stage: Scenario, text: str) -> float:
    """Write a set, and tell how long it then took until all workers had it, in seconds."""
    version = publish_policy_set(stage.settings, text, "a change").version
    written = datetime.now().astimezone()
    seen = {worker.name: len(worker.events(IN_FORCE)) for worker in stage.crew}
    stage.wait_until(
        lambda: all(worker.events(IN_FORCE)[-1]["version"] == version for worker in stage.crew),
        f"all workers to have {version}, after {seen}",
    )
    stage.fault("policies changed")
    times = [worker.events(IN_FORCE)[-1]["timestamp"] for worker in stage.crew]
    return (max(map(datetime.fromisoformat, times)) - written).total_seconds()


def write_bad(stage: Scenario) -> None:
    producer = Producer({"bootstrap.servers": stage.settings.bootstrap})
    producer.produce(stage.settings.topics.policies, BAD.encode(), b"default")
    assert producer.flush(30) == 0
    stage.wait_until(
        lambda: all(worker.events(REFUSED) for worker in stage.crew), "the bad set to be refused"
    )
    stage.fault("bad policies")


def test_each_trace_is_decided_by_exactly_one_version(scenario: OpenScenario) -> None:
    stage = scenario("policies changed under load", partitions=6, others=(OTHER,))
    stage.allowed_troubles = [REFUSED]
    for name in ("one", "two", "three"):
        stage.worker(name).start()
    stage.wait_ready()
    stage.load.start()
    stage.let_pass(5)
    took = change(stage, OTHER)
    stage.let_pass(4)
    write_bad(stage)
    stage.let_pass(3)
    took = max(took, change(stage, POLICIES))
    stage.let_pass(3)
    report = stage.conclude()
    assert report.clean, report.text()
    versions = {load_policy_set(text, "a set").version for text in (POLICIES, OTHER)}
    assert report.versions.keys() == versions
    assert min(report.versions.values()) > 100
    assert took < MOST_SECONDS
