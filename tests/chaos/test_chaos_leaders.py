"""Offsets asked for while a partition has no leader."""

import time
import uuid

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsampler.kafka.errors import NotYetError
from streamsampler.kafka.watermarks import (
    Watermarks,
    first_offsets_since,
    insist_on_watermarks,
    read_watermarks,
)
from tests.kafka_cluster import KafkaCluster

UP_SECONDS = 60.0
BROKER = 2
ASK_MS = 2_000
ASKED_SECONDS = 8.0
"""Long enough for the cluster to notice that the broker is gone, and beyond."""


@pytest.fixture
def topic(cluster: KafkaCluster) -> str:
    """Of one partition, which only one broker has."""
    name = f"leaders-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    made = admin.create_topics(
        [NewTopic(name, 1, replica_assignment=[[BROKER + 1]])], operation_timeout=UP_SECONDS
    )
    made[name].result(UP_SECONDS)
    return name


def test_a_partition_without_a_leader_is_waited_for(cluster: KafkaCluster, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    empty = {0: Watermarks(0, 0)}
    assert insist_on_watermarks(admin, topic, [0], 10_000) == empty
    refused = 0
    try:
        cluster.kill_broker(BROKER)
        until = time.monotonic() + ASKED_SECONDS
        while time.monotonic() < until:
            with pytest.raises(NotYetError):
                read_watermarks(admin, topic, [0], ASK_MS)
            with pytest.raises(NotYetError):
                first_offsets_since(admin, topic, {0: 1}, ASK_MS)
            refused += 1
    finally:
        cluster.start_missing_brokers()
    assert refused
    assert insist_on_watermarks(admin, topic, [0], 60_000) == empty
