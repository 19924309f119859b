"""The examples and the files of docker-compose.yml say what they claim to say."""

import os
from pathlib import Path

import pytest
import yaml

from streamsampler.config import Settings, load_settings
from streamsampler.policies import load_policy_set

REPOSITORY = Path(__file__).parents[3]


def test_the_example_policies_load_without_a_warning() -> None:
    file = REPOSITORY / "examples" / "policies.yaml"
    policy_set = load_policy_set(file.read_text(encoding="utf-8"), str(file))
    assert policy_set.warnings == ()
    assert len(policy_set.policies) == 5


def test_the_example_settings_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("STREAMSAMPLER_")]:
        monkeypatch.delenv(name)

    settings = load_settings(REPOSITORY / "examples" / "config.yaml")

    kafka = {"bootstrap.servers": "localhost:9092"}
    policies_file = Path("examples/policies.yaml")
    assert settings == Settings(kafka=kafka, policies_file=policies_file)
    assert (REPOSITORY / policies_file).is_file()


def test_what_compose_mounts_is_there_and_its_settings_load() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
    mounted = {
        volume.split(":")[1]: REPOSITORY / volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    }
    settings = load_settings(mounted["/etc/streamsampler/config.yaml"])

    assert all(file.exists() for file in mounted.values())
    assert (
        settings.bootstrap
        in compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    )
    assert str(settings.policies_file) in mounted


def test_the_collectors_of_compose_use_the_sampler_s_topics() -> None:
    topics = load_settings(REPOSITORY / "deploy" / "compose" / "streamsampler.yaml").topics
    before, behind = (
        yaml.safe_load((REPOSITORY / "deploy" / "compose" / name).read_text(encoding="utf-8"))
        for name in ("collector-in.yaml", "collector-out.yaml")
    )
    assert before["exporters"]["kafka"]["traces"]["topic"] == topics.input
    assert before["exporters"]["kafka"]["partition_traces_by_id"] is True
    assert behind["receivers"]["kafka"]["traces"]["topics"] == [topics.output]
