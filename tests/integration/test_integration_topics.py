"""`streamsampler topics create` on a real Kafka."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so
    AdminClient,
    ConfigResource,
    NewTopic,
)

from streamsampler.cli import main
from streamsampler.config import Settings
from streamsampler.kafka.topics import create_topics
from tests.integration.sampling import wait_until


@pytest.fixture
def admin(kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka})


def make(admin: AdminClient, name: str, partitions: int, **config: str) -> None:
    properties = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, 1, config=properties)])[name].result()
    wait_until(lambda: name in admin.list_topics(timeout=10).topics, "the topic")


def config_of(admin: AdminClient, name: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    entries = admin.describe_configs([resource])[resource].result()
    return {key: entry.value for key, entry in entries.items()}


def create(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["topics", "create", "--config", str(config), *arguments])


def test_all_topics_are_made_with_their_settings(
    settings: Settings, config: Path, admin: AdminClient
) -> None:
    result = create(config, "--partitions", "3", "--replication-factor", "1")
    assert result.exit_code == 0, result.output
    topics = settings.topics
    assert result.stdout.splitlines()[0] == f"created  {topics.input}: 3 partitions"
    there = admin.list_topics(timeout=10).topics
    expected = {topics.input: 3, topics.output: 3, topics.decisions: 3, topics.policies: 1}
    assert {name: len(there[name].partitions) for name in expected} == expected
    assert config_of(admin, topics.decisions)["cleanup.policy"] == "compact,delete"
    assert config_of(admin, topics.policies)["cleanup.policy"] == "compact"
    assert config_of(admin, topics.dead_letters)["max.message.bytes"] == "2097152"


def test_a_second_run_changes_nothing_and_says_so(settings: Settings, config: Path) -> None:
    create(config, "--partitions", "3")
    result = create(config)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["exists"] * 8
    assert result.stderr == ""
    assert f"exists   {settings.topics.policies}: 1 partition\n" in result.stdout


def test_decisions_get_as_many_partitions_as_an_existing_input(
    settings: Settings, admin: AdminClient
) -> None:
    make(admin, settings.topics.input, 5)
    reports = {report.name: report for report in create_topics(settings)}
    assert not reports[settings.topics.input].created
    assert reports[settings.topics.decisions].created
    assert reports[settings.topics.decisions].partitions == 5


def test_an_input_gets_as_many_partitions_as_existing_decisions(
    settings: Settings, config: Path, admin: AdminClient
) -> None:
    make(admin, settings.topics.decisions, 5)
    refused = create(config, "--partitions", "4")
    assert refused.exit_code == 1
    assert f"has 5 partitions and the input topic {settings.topics.input} has 4" in refused.stderr
    assert create(config).exit_code == 0
    assert len(admin.list_topics(timeout=10).topics[settings.topics.input].partitions) == 5


def test_decisions_are_kept_as_long_as_an_existing_input(
    settings: Settings, admin: AdminClient
) -> None:
    make(admin, settings.topics.input, 1, retention_ms="-1")
    create_topics(settings)
    assert config_of(admin, settings.topics.decisions)["retention.ms"] == "-1"


def test_what_differs_from_the_plan_is_told_and_left(
    settings: Settings, config: Path, admin: AdminClient
) -> None:
    make(admin, settings.topics.input, 5)
    make(admin, settings.topics.policies, 1, cleanup_policy="delete")
    result = create(config, "--partitions", "9")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        f"Warning: {settings.topics.input}: It was left with its 5 partitions; 9 were asked for.",
        f"Warning: {settings.topics.policies}: Its cleanup.policy is delete; compact is expected.",
    ]
    assert config_of(admin, settings.topics.policies)["cleanup.policy"] == "delete"


def test_decisions_that_do_not_fit_the_input_are_refused_in_words(
    settings: Settings, config: Path, admin: AdminClient
) -> None:
    make(admin, settings.topics.input, 4)
    make(admin, settings.topics.decisions, 3)
    result = create(config)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"Error: the decisions topic {settings.topics.decisions} has 3 partitions and the input "
        f"topic {settings.topics.input} has 4;"
    )
    assert settings.topics.output not in admin.list_topics(timeout=10).topics


def test_what_the_broker_refuses_is_told_with_the_topic(settings: Settings, config: Path) -> None:
    result = create(config, "--replication-factor", "7")
    assert result.exit_code == 1
    assert f"topic {settings.topics.input} could not be created: " in result.stderr
    assert "eplication" in result.stderr


def test_an_unreachable_broker_is_told_in_time(config: Path) -> None:
    result = create(
        config, "--set", "kafka.bootstrap.servers=127.0.0.1:1", "--set", "startup_timeout_ms=500"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no broker answered at 127.0.0.1:1 within 0.5 s")


def test_a_bad_setting_is_a_usage_error(config: Path) -> None:
    config.write_text("kafka: {bootstrap.server: x}\n")
    result = create(config)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {config}:1:1: kafka.bootstrap.servers is missing")
