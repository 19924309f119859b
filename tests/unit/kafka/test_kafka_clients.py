"""Properties of the clients: the operator's over the defaults, the guarantee's over those."""

import pytest
from structlog.testing import capture_logs

from streamsampler.config import ConfigError, Settings
from streamsampler.kafka.clients import (
    group_properties,
    make_group_consumer,
    make_producer,
    make_status_producer,
    producer_properties,
    reader_properties,
    status_properties,
    transactional_properties,
)


def settings(protocol: str = "classic", instance: str | None = None, **kafka: str) -> Settings:
    properties = {name.replace("_", "."): value for name, value in kafka.items()}
    return Settings.model_validate(
        {
            "kafka": {"bootstrap.servers": "127.0.0.1:1", **properties},
            "group_protocol": protocol,
            "instance_id": instance,
        }
    )


def test_the_operators_properties_reach_every_client() -> None:
    given = settings(security_protocol="SASL_SSL", linger_ms="7")
    for made in (producer_properties(given), group_properties(given), reader_properties(given)):
        assert made["security.protocol"] == "SASL_SSL"
        assert made["linger.ms"] == "7"


def test_the_guarantee_stands_above_them() -> None:
    # The settings refuse these; the properties do not rely on that.
    given = settings(enable_auto_commit="true", auto_offset_reset="latest")
    for made in (group_properties(given), reader_properties(given)):
        assert made["enable.auto.commit"] == "false"
        assert made["enable.partition.eof"] == "true"
    assert group_properties(given)["auto.offset.reset"] == "error"
    assert reader_properties(given)["auto.offset.reset"] == "earliest"
    assert producer_properties(given)["enable.idempotence"] == "true"


def test_what_a_worker_says_of_itself_is_not_waited_for_long() -> None:
    made = status_properties(settings(message_timeout_ms="120000"))
    assert made["enable.idempotence"] == "true"
    assert "transactional.id" not in made
    assert int(made["message.timeout.ms"]) == 15_000
    assert int(made["queue.buffering.max.messages"]) == 100


def test_the_classic_protocol_rebalances_incrementally() -> None:
    made = group_properties(settings())
    assert made["group.protocol"] == "classic"
    assert made["partition.assignment.strategy"] == "cooperative-sticky"


def test_the_consumer_protocol_is_given_nothing_of_the_classic_one() -> None:
    made = group_properties(settings("consumer"))
    assert made["group.protocol"] == "consumer"
    assert "partition.assignment.strategy" not in made


def test_static_membership_is_by_setting() -> None:
    assert "group.instance.id" not in group_properties(settings())
    assert group_properties(settings(instance="pod-3"))["group.instance.id"] == "pod-3"
    assert "group.instance.id" not in reader_properties(settings(instance="pod-3"))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_librdkafka_takes_them(protocol: str) -> None:
    given = settings(protocol)
    make_group_consumer(given).close()
    make_producer(given).close()
    make_status_producer(given).close()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("no.such", "1", "no.such"), ("linger.ms", "soon", "queue.buffering.max.ms")],
)
def test_a_property_that_librdkafka_refuses_is_a_config_error(
    name: str, value: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=f"librdkafka refuses .*{words}"):
        make_producer(settings(**{name: value}))


def test_properties_of_the_other_client_are_not_warned_of() -> None:
    with capture_logs() as logs:
        producer = make_producer(settings(fetch_min_bytes="5"))
        producer.poll(0)
        producer.close()
    assert [entry for entry in logs if "ignored" in str(entry)] == []


def test_what_is_said_again_and_again_is_logged_once() -> None:
    producer = make_producer(settings())  # nobody listens there
    with capture_logs() as logs:
        for _ in range(20):
            producer.poll(0.05)
        producer.close()
    said = [(entry["event"], entry.get("facility") or entry["code"]) for entry in logs]
    assert said
    assert len(said) == len(set(said))


def test_connections_that_nothing_uses_are_closed_so_that_no_commit_waits_for_ever() -> None:
    assert int(transactional_properties(settings())["connections.max.idle.ms"]) <= 10_000
    given = settings(connections_max_idle_ms="60000")
    assert transactional_properties(given)["connections.max.idle.ms"] == "60000"
