"""The policies topic on a real Kafka: published by command, read from its beginning, followed."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamsampler.cli import main
from streamsampler.config import Settings
from streamsampler.kafka.clients import make_admin
from streamsampler.kafka.policy_topic import PolicyTopic, publish_policy_set
from streamsampler.policies import PolicySet
from tests.integration.sampling import RunningWorker, Written, make_topics, wait_until, write

ALL = "policies: [{name: all, type: always_sample}]"
SLOW = "policies: [{name: slow, type: latency, latency: {threshold_ms: 5}}]"
BAD = "policies: [{name: slow, type: latency, latency: {threshold_ms: soon}}]"


@pytest.fixture
def topics(settings: Settings) -> None:
    make_topics(settings, 2)


@contextmanager
def following(settings: Settings) -> Iterator[PolicyTopic]:
    with closing(PolicyTopic(settings, make_admin(settings), 1)) as topic:
        yield topic


def policy(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, arguments)])


@pytest.mark.usefixtures("topics")
def test_the_last_good_set_is_there_before_anything_else(settings: Settings) -> None:
    publish_policy_set(settings, ALL, "test")
    good = publish_policy_set(settings, SLOW, "test")
    write(settings, settings.topics.policies, [Written(BAD.encode(), b"default")])
    with following(settings) as topic:
        assert topic.policies is not None
        assert topic.policies.version == good.version


@pytest.mark.usefixtures("topics")
def test_an_empty_topic_leaves_nothing_in_force(settings: Settings) -> None:
    with following(settings) as topic:
        assert topic.policies is None
        assert topic.follow() is None


def next_set(topic: PolicyTopic) -> PolicySet:
    """What comes into force next."""
    came: list[PolicySet] = []

    def look() -> bool:
        policies = topic.follow()
        came.extend([policies.default] if policies else [])
        return bool(came)

    wait_until(look, "a policy set")
    return came[0]


@pytest.mark.usefixtures("topics")
def test_a_published_set_is_followed(settings: Settings, config: Path) -> None:
    file = config.parent / "policies.yaml"
    with following(settings) as topic:
        for text in (ALL, SLOW):
            file.write_text(text)
            result = policy("apply", file, "--config", config)
            assert result.exit_code == 0, result.output
            assert f"version {next_set(topic).version}, 1 policy is in force" in result.stdout


@pytest.mark.usefixtures("topics")
def test_a_bad_set_never_takes_effect(settings: Settings) -> None:
    publish_policy_set(settings, SLOW, "test")
    with following(settings) as topic:
        write(settings, settings.topics.policies, [Written(BAD.encode(), b"default")])
        write(settings, settings.topics.policies, [Written(ALL.encode(), b"default")])
        assert next_set(topic).policies[0].name == "all"


@pytest.mark.usefixtures("topics")
def test_a_bad_set_is_not_published(settings: Settings, config: Path) -> None:
    file = config.parent / "policies.yaml"
    file.write_text(BAD)
    result = policy("apply", file, "--config", config)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {file}:1:")
    assert "threshold_ms" in result.stderr
    with following(settings) as topic:
        assert topic.policies is None


def test_a_set_is_not_published_to_a_topic_that_is_not_there(
    settings: Settings, config: Path
) -> None:
    file = config.parent / "policies.yaml"
    file.write_text(ALL)
    result = policy("apply", file, "--config", config, "--set", "startup_timeout_ms=2000")
    assert result.exit_code == 1
    assert f"not written to {settings.topics.policies}" in result.stderr


def test_validating_needs_no_broker(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(ALL)
    bad.write_text(BAD)
    result = policy("validate", good)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{good}: valid, 1 policy, version ")
    assert policy("validate", bad).exit_code == 2
    missing = policy("validate", tmp_path / "missing.yaml")
    assert missing.exit_code == 2
    assert "cannot be read: No such file" in missing.stderr


@pytest.mark.usefixtures("topics")
def test_a_worker_waits_for_its_first_set_and_reads_nothing_before(settings: Settings) -> None:
    write(settings, settings.topics.input, [Written(b"\xff", b"k")])
    with RunningWorker(settings) as worker:
        # It is a member of no group while it waits, so it cannot have read anything.
        publish_policy_set(settings, ALL, "test")
        worker.wait_until_read(1)
        assert worker.total.records_dead == 1


@pytest.mark.usefixtures("topics")
def test_a_worker_that_waits_can_be_stopped(settings: Settings) -> None:
    with RunningWorker(settings) as worker:
        assert worker.running()
    assert not worker.running()
    assert worker.counts == {}


@pytest.mark.usefixtures("topics")
def test_a_file_stands_in_until_the_topic_has_a_set(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(ALL)
    own = settings.model_copy(update={"policies_file": file})
    write(settings, settings.topics.input, [Written(b"\xff", b"k")])
    with RunningWorker(own) as worker:
        worker.wait_until_read(1)
