"""Brokers that die, and brokers that are restarted one after the other."""

from tests.chaos.faults import BROKERS, bring_back, kill_broker
from tests.chaos.scenario import OpenScenario
from tests.kafka_cluster import KafkaCluster


def test_a_killed_broker_and_a_rolling_restart_cost_nothing(
    scenario: OpenScenario, cluster: KafkaCluster
) -> None:
    stage = scenario("brokers killed and rolled", partitions=6)
    for name in ("one", "two"):
        stage.worker(name).start()
    stage.wait_ready()
    stage.load.start()
    stage.let_pass(4)
    kill_broker(stage, cluster)
    for broker in range(BROKERS):
        cluster.stop_broker(broker)
        stage.fault("broker rolled")
        stage.let_pass(1)
        bring_back(stage, cluster, broker)
    stage.wait_ready()
    report = stage.conclude()
    assert report.clean, report.text()
