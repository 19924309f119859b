"""A worker behind TLS and ACLs: with the documented rights, and without one of them.

Who it is, it tells by SCRAM, by a certificate of its own, or by a token.
"""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamsampler.config import Settings
from streamsampler.forward.answers import Answer, Fate
from streamsampler.forward.figures import Figures
from streamsampler.forward.loop import Forwarder
from streamsampler.kafka.clients import make_forwarder, make_producer
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.topics import create_topics
from streamsampler.kafka.worker import run_worker
from tests.documented_rights import documented
from tests.fleet.traces import trace
from tests.integration.control_plane import running
from tests.integration.sampling import RunningWorker, wait_until
from tests.kafka_cluster import KafkaMissingError
from tests.secure_kafka import ADMIN, CERTIFIED, USER, SecureKafka
from tests.token_endpoint import TokenEndpoint, unsecured_token

POLICIES = """
decision_wait: 2s
completion_grace: 500ms
policies: [{name: all, type: always_sample}]
"""


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureKafka]:
    try:
        with SecureKafka() as cluster:
            yield cluster
    except KafkaMissingError as missing:
        pytest.fail(f"no Apache Kafka: {missing}")


@pytest.fixture(scope="module")
def topics(secure: SecureKafka) -> None:
    operator = settings_of(secure, ADMIN, "operator", Path())
    create_topics(operator, 3, 1)
    publish_policy_set(operator, POLICIES, "the test")


def settings_of(secure: SecureKafka, user: str, group: str, folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap.servers": secure.bootstrap, **secure.client(user)},
            "group_id": group,
            "store": {"path": folder / "store"},
            "http": {"address": None},
            "startup_timeout_ms": 10_000,
        }
    )


@pytest.fixture
def settings(secure: SecureKafka, topics: None, tmp_path: Path) -> Settings:  # noqa: ARG001
    return settings_of(secure, USER, f"g{uuid.uuid4().hex[:8]}", tmp_path)


def send(secure: SecureKafka, settings: Settings, traces: int) -> None:
    producer = Producer({"bootstrap.servers": secure.bootstrap, **secure.client(ADMIN)})
    for number in range(1, traces + 1):
        trace_id = uuid.uuid4().bytes
        value = trace(trace_id, 1, 1_700_000_000_000 + 100 * number, 5.0, 2)
        producer.produce(settings.topics.input, value, trace_id.hex().encode())
    assert producer.flush(30) == 0


def test_a_worker_works_with_the_documented_rights_and_no_others(
    secure: SecureKafka, settings: Settings
) -> None:
    rights = documented("worker", settings.group_id)
    assert len(rights) == 10
    secure.allow(USER, rights)
    send(secure, settings, 200)
    with RunningWorker(settings) as worker:
        worker.wait_until(lambda: worker.total.traces_sampled >= 150, "verdicts")


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("topic", "otlp_spans", "otlp_spans"),
        ("topic", "otlp_spans_sampled", "otlp_spans_sampled"),
        ("topic", "streamsampler.decisions", r"streamsampler\.decisions"),
        ("topic", "streamsampler.policies", r"streamsampler\.policies"),
        ("topic", "streamsampler.dlq", r"streamsampler\.dlq"),
        ("group", "", "lacks Read on the group"),
        ("transactional id", "-", "lacks Write and Describe on transactional ids"),
    ],
)
def test_without_a_right_it_ends_with_a_sentence(
    secure: SecureKafka, settings: Settings, kind: str, name: str, words: str
) -> None:
    rights = documented("worker", settings.group_id)
    full = name if kind == "topic" else settings.group_id + name
    less = [right for right in rights if (right.kind, right.name) != (kind, full)]
    assert len(less) == len(rights) - 1
    secure.allow(USER, less)
    with pytest.raises(FailStopError, match=words):
        run_worker(settings, lambda: False)


def test_without_read_on_the_decisions_it_ends_where_it_takes_a_partition_over(
    secure: SecureKafka, settings: Settings
) -> None:
    rights = documented("worker", settings.group_id)
    secure.allow(USER, rights)
    send(secure, settings, 200)
    with RunningWorker(settings) as worker:
        worker.wait_until(lambda: worker.total.traces_sampled >= 150, "verdicts")
    name = "streamsampler.decisions"
    less = [r._replace(operations=("Write", "Describe")) if r.name == name else r for r in rights]
    secure.allow(USER, less)
    words = rf"{re.escape(name)}/\d: cannot be read: .*lacks Read on the topic"
    stop = time.monotonic() + 60
    with pytest.raises(FailStopError, match=words):
        run_worker(settings, lambda: time.monotonic() > stop)


def test_the_control_plane_works_with_the_documented_rights(
    secure: SecureKafka, settings: Settings, tmp_path: Path
) -> None:
    secure.allow(USER, documented("control plane", settings.group_id))
    with running("thresholds", settings, tmp_path) as app:
        wait_until(lambda: len(app.shards()) > 0, "shards")
        wait_until(lambda: app.page("/progress")["rounds"] > 0, "a round")


def test_a_forwarder_works_with_the_documented_rights(
    secure: SecureKafka, settings: Settings
) -> None:
    secure.allow(USER, documented("forwarder", settings.group_id))
    producer = Producer({"bootstrap.servers": secure.bootstrap, **secure.client(ADMIN)})
    producer.produce(settings.topics.output, trace(uuid.uuid4().bytes, 1, 1, 5.0, 1))
    assert producer.flush(30) == 0
    accepted: list[bytes] = []

    def accept(request: bytes) -> Answer:
        accepted.append(request)
        return Answer(Fate.ACCEPTED)

    with closing(make_forwarder(settings)) as consumer, closing(make_producer(settings)) as letters:
        stop = time.monotonic() + 30
        Forwarder(
            settings, consumer, letters, accept,
            lambda: bool(accepted) or time.monotonic() > stop, Figures(),
        ).run()  # fmt: skip
    assert accepted


def test_a_wrong_password_is_told(secure: SecureKafka, settings: Settings) -> None:
    kafka = {**settings.kafka, "sasl.password": "wrong"}
    wrong = settings.model_copy(update={"kafka": kafka, "startup_timeout_ms": 4_000})
    with pytest.raises(FailStopError, match="SASL") as refused:
        run_worker(wrong, lambda: False)
    assert "wrong" not in str(refused.value)
    assert secure.bootstrap in str(refused.value)


@pytest.fixture
def certified(secure: SecureKafka, settings: Settings) -> Settings:
    return settings.model_copy(update={"kafka": secure.certified()})


def test_a_worker_is_known_by_its_certificate(secure: SecureKafka, certified: Settings) -> None:
    secure.allow(CERTIFIED, documented("worker", certified.group_id))
    send(secure, certified, 200)
    with RunningWorker(certified) as worker:
        worker.wait_until(lambda: worker.total.traces_sampled >= 150, "verdicts")


def test_the_control_plane_is_known_by_its_certificate(
    secure: SecureKafka, certified: Settings, tmp_path: Path
) -> None:
    secure.allow(CERTIFIED, documented("control plane", certified.group_id))
    with running("thresholds", certified, tmp_path) as app:
        wait_until(lambda: len(app.shards()) > 0, "shards")
        wait_until(lambda: app.page("/progress")["rounds"] > 0, "a round")


def test_without_a_certificate_it_ends_with_a_sentence(
    secure: SecureKafka, certified: Settings
) -> None:
    kafka = {name: value for name, value in secure.certified().items() if "certificate" not in name}
    del kafka["ssl.key.location"]
    nobody = certified.model_copy(update={"kafka": kafka, "startup_timeout_ms": 4_000})
    with pytest.raises(FailStopError, match=r"check .*the TLS and SASL properties") as refused:
        run_worker(nobody, lambda: False)
    assert kafka["bootstrap.servers"] in str(refused.value)


AUTHORIZED = "authorized"


@pytest.fixture
def authorized(secure: SecureKafka, settings: Settings) -> Iterator[Settings]:
    with TokenEndpoint(lambda _: unsecured_token(AUTHORIZED)) as endpoint:
        yield settings.model_copy(update={"kafka": secure.authorized(endpoint)})
        assert endpoint.asked


def test_a_worker_is_known_by_its_token(secure: SecureKafka, authorized: Settings) -> None:
    secure.allow(AUTHORIZED, documented("worker", authorized.group_id))
    send(secure, authorized, 200)
    with RunningWorker(authorized) as worker:
        worker.wait_until(lambda: worker.total.traces_sampled >= 150, "verdicts")


def test_the_control_plane_is_known_by_its_token(
    secure: SecureKafka, authorized: Settings, tmp_path: Path
) -> None:
    secure.allow(AUTHORIZED, documented("control plane", authorized.group_id))
    with running("thresholds", authorized, tmp_path) as app:
        wait_until(lambda: len(app.shards()) > 0, "shards")
        wait_until(lambda: app.page("/progress")["rounds"] > 0, "a round")
