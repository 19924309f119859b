"""A commit while the broker that keeps the group's offsets is gone."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_group_consumer, make_transactional_producer
from streamsampler.kafka.transactions import Transactions
from tests.kafka_cluster import KafkaCluster

UP_SECONDS = 60.0
NOTICED_SECONDS = 5.0
"""After which the other brokers no longer tell of the one that died."""
MOST_SECONDS = 40.0
OFFSETS = "__consumer_offsets"


@pytest.fixture
def settings(cluster: KafkaCluster) -> Settings:
    name = f"coordinator-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    made = admin.create_topics([NewTopic(name, 3, 3)], operation_timeout=UP_SECONDS)
    for future in made.values():
        future.result(UP_SECONDS)
    return Settings.model_validate(
        {
            "kafka": {"bootstrap.servers": cluster.bootstrap},
            "group_id": name,
            "topics": {"input": name},
            "transaction_timeout_ms": 60_000,
        }
    )


@pytest.fixture
def member(settings: Settings) -> Iterator[Consumer]:
    consumer = make_group_consumer(settings)
    consumer.subscribe([settings.topics.input])
    until = time.monotonic() + UP_SECONDS
    while not consumer.assignment() and time.monotonic() < until:
        consumer.poll(0.1)
    assert consumer.assignment()
    yield consumer
    consumer.close()


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    with closing(make_transactional_producer(settings)) as producer:
        yield producer


def coordinator_of(group: str, cluster: KafkaCluster) -> int:
    """The broker that keeps a group's offsets: by Java's hash of the group's name."""
    found = 0
    for character in group:
        found = (31 * found + ord(character)) & 0xFFFFFFFF
    found = abs(found - (1 << 32) if found >> 31 else found)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    partitions = admin.list_topics(OFFSETS, timeout=UP_SECONDS).topics[OFFSETS].partitions
    return int(partitions[found % len(partitions)].leader) - 1


def test_a_commit_does_not_wait_for_a_coordinator_that_is_gone(
    cluster: KafkaCluster, settings: Settings, member: Consumer, producer: Producer
) -> None:
    transactions = Transactions(producer)
    transactions.start()
    topic = settings.topics.input
    transactions.commit(member, [TopicPartition(topic, 0, 0)])
    transactions.begin()
    producer.produce(topic, b"a record")
    broker = coordinator_of(settings.group_id, cluster)
    try:
        cluster.kill_broker(broker)
        time.sleep(NOTICED_SECONDS)
        producer.list_topics(timeout=UP_SECONDS)
        began = time.monotonic()
        transactions.commit(member, [TopicPartition(topic, 0, 1)])
        took = time.monotonic() - began
    finally:
        cluster.start_missing_brokers()
    assert took < MOST_SECONDS
    assert member.committed([TopicPartition(topic, 0)], timeout=UP_SECONDS)[0].offset == 1
