"""The embedded broker, and what of Kafka's ways can be seen on it without a group."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_admin, topic_partitions
from streamsampler.kafka.embedded import PARTITIONS, EmbeddedKafka
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.policy_topic import PolicyTopic, publish_policy_set
from streamsampler.kafka.readback import Found, Readback
from streamsampler.kafka.watermarks import read_watermarks
from streamsampler.policies import PolicyError
from streamsampler.sampler import Checkpoint, Decision

POLICIES = "policies: [{name: all, type: always_sample}]"
OTHERS = "decision_wait: 5s\n" + POLICIES


@pytest.fixture(scope="module")
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as running:
        yield running


@pytest.fixture
def settings(kafka: EmbeddedKafka, prefix: str) -> Settings:
    names = ("input", "output", "decisions", "policies", "dead_letters")
    made = Settings.model_validate(
        {
            "kafka": {"bootstrap.servers": kafka.bootstrap, "log_level": "0"},
            "topics": {name: prefix + name for name in names},
            "guarantee": "at_least_once",
        }
    )
    kafka.create(made.topics)
    return made


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return make_admin(settings)


def decision(number: int, decided_at_ms: int) -> Decision:
    return Decision(
        1, number.to_bytes(16, "big"), "sampled", "all", "timeout", None, None, 3, 900, 5, None,
        False, decided_at_ms, 7, "abc",
    )  # fmt: skip


def test_it_has_the_topics_of_the_settings(settings: Settings, admin: AdminClient) -> None:
    existing = topic_partitions(settings, admin)
    for name in settings.topics.model_dump().values():
        assert existing[name] == PARTITIONS


def test_a_policy_set_is_read_from_the_beginning_and_then_followed(
    settings: Settings, admin: AdminClient
) -> None:
    first = publish_policy_set(settings, POLICIES, "test")
    topic = PolicyTopic(settings, admin, PARTITIONS)
    assert topic.policies is not None
    assert topic.policies.version == first.version
    assert topic.follow() is None
    second = publish_policy_set(settings, OTHERS, "test")
    followed = None
    while followed is None:
        followed = topic.follow(seconds=0.05)
    assert followed.version == second.version
    topic.close()


def test_a_bad_policy_set_is_not_published(settings: Settings, admin: AdminClient) -> None:
    with pytest.raises(PolicyError, match=r"mine\.yaml:1:28"):
        publish_policy_set(settings, "policies: [{name: a, type: no_such}]", "mine.yaml")
    ends = read_watermarks(admin, settings.topics.policies, range(PARTITIONS), 5_000)
    assert all(found.end == 0 for found in ends.values())


def test_decisions_are_read_back_in_their_order_and_the_old_ones_left_out(
    settings: Settings, admin: AdminClient
) -> None:
    producer = Producer(dict(settings.kafka))
    for number, decided_at_ms in enumerate([1_000, 5_000, 6_000, 5_500]):
        made = decision(number, decided_at_ms)
        producer.produce(
            settings.topics.decisions,
            partition=1,
            key=made.trace_id,
            value=made.pack(),
            timestamp=decided_at_ms,
        )
    producer.produce(settings.topics.decisions, partition=1, key=b"no id", value=b"\xc1")
    producer.flush(5)
    resumed = {1: Checkpoint(10, 20, 8_000), 2: Checkpoint(0, 0, -1)}
    readback = Readback(settings, admin, resumed, 3_000, 10_000)
    recent, older = {}, {}
    while not readback.finished:
        found = readback.poll()
        recent.update(found.recent)
        older.update(found.older)
    readback.close()
    # This broker cannot search by time, so that all of them come first.
    assert [one.decided_at_ms for one in recent[1]] == [5_000, 6_000, 5_500]
    assert recent[2] == older[1] == older[2] == []


def test_a_partition_that_left_is_not_read_back(settings: Settings, admin: AdminClient) -> None:
    readback = Readback(settings, admin, {0: Checkpoint(0, 0, -1)}, 3_000, 10_000)
    readback.forget(0)
    assert readback.finished
    assert readback.poll() == Found({}, {})
    readback.close()


def test_a_broker_that_does_not_answer_is_told_in_time() -> None:
    nobody = Settings(
        kafka={"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}, startup_timeout_ms=300
    )
    with pytest.raises(FailStopError, match=r"no broker answered at 127\.0\.0\.1:1 within 0\.3 s"):
        topic_partitions(nobody, make_admin(nobody))
    with pytest.raises(FailStopError, match=r"not written .* no answer from 127\.0\.0\.1:1"):
        publish_policy_set(nobody, POLICIES, "test")
