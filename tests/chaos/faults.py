"""Faults that come to a victim of chance, and leave everything running again."""

import shutil
from collections.abc import Callable

from confluent_kafka.admin import AdminClient

from tests.chaos.scenario import Scenario
from tests.chaos.workers import WorkerProcess
from tests.kafka_cluster import KafkaCluster

BROKERS = 3
# Brokers learn of a death after three seconds, the group after six.
OUTAGE_SECONDS = 4.0
FREEZES_SECONDS = 0.2, 9.0

Fault = Callable[[Scenario, KafkaCluster], None]


def kill(stage: Scenario, _cluster: KafkaCluster) -> None:
    """Kill a worker, and start it again at once."""
    victim = _victim(stage)
    victim.kill()
    stage.fault("kill -9")
    victim.start()


def restart(stage: Scenario, _cluster: KafkaCluster) -> None:
    """Stop a worker in order, and start it again."""
    victim = _victim(stage)
    victim.stop()
    stage.fault("restart")
    victim.start()


def freeze(stage: Scenario, _cluster: KafkaCluster) -> None:
    """Let a worker stand still for a while, shorter than its session or longer."""
    victim = _victim(stage)
    victim.freeze()
    stage.fault("freeze")
    stage.let_pass(stage.random.uniform(*FREEZES_SECONDS))
    victim.thaw()


def lose_store(stage: Scenario, _cluster: KafkaCluster) -> None:
    """Kill a worker and delete its store."""
    victim = _victim(stage)
    victim.kill()
    shutil.rmtree(victim.store)
    stage.fault("kill -9 and store deleted")
    victim.start()


def kill_broker(stage: Scenario, cluster: KafkaCluster) -> None:
    """Kill a broker, do without it for a while, and start it again."""
    broker = stage.random.randrange(BROKERS)
    cluster.kill_broker(broker)
    stage.fault("broker killed")
    stage.let_pass(OUTAGE_SECONDS)
    bring_back(stage, cluster, broker)


def bring_back(stage: Scenario, cluster: KafkaCluster, broker: int) -> None:
    """Start a broker, and wait until no partition lacks a replica."""
    cluster.start_broker(broker)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})

    def in_sync() -> bool:
        topics = admin.list_topics(timeout=10).topics.values()
        partitions = [one for topic in topics for one in topic.partitions.values()]
        return all(len(one.isrs) == len(one.replicas) for one in partitions)

    stage.wait_until(in_sync, f"broker {broker} to be in sync")


FAULTS: tuple[Fault, ...] = (kill, kill, restart, freeze, lose_store, kill_broker)


def _victim(stage: Scenario) -> WorkerProcess:
    stage.wait_until(lambda: any(worker.ready for worker in stage.crew), "a worker to be ready")
    return stage.random.choice([worker for worker in stage.crew if worker.ready])
