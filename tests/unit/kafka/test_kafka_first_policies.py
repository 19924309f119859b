"""Which policies a worker begins with: the topic's, the file's, or what the settings say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamsampler.config import Settings
from streamsampler.kafka.first_policies import DROP_ALL, KEEP_ALL, wait_for_policies
from streamsampler.kafka.policy_in_force import Refusal
from streamsampler.policies import PolicyError, load_policy_set
from streamsampler.policies.sets import PolicySets

GOOD = load_policy_set("policies: [{name: all, type: always_sample}]", "test")
FILE = "policies: [{name: from_file, type: always_sample}]"


class Topic:
    """Stands for the policies topic: has what the script has come to."""

    def __init__(self, *coming: PolicySets | None) -> None:
        self.policies: PolicySets | None = None
        self.coming = list(coming)
        self.refused: tuple[Refusal, ...] = ()
        self.trouble = ""

    def follow(self, seconds: float = 0.0) -> PolicySets | None:
        assert seconds > 0
        self.policies = self.coming.pop(0)
        return self.policies


def settings(**other: Any) -> Settings:
    return Settings(kafka={"bootstrap.servers": "nobody"}, **other)


def stop_after(times: int) -> Callable[[], bool]:
    answers = [False] * times
    return lambda: not answers or answers.pop()


def begin(
    topic: Topic, made: Settings, stop: Callable[[], bool] = lambda: False
) -> tuple[PolicySets | None, list[str]]:
    """The policies, and what was said of the waiting."""
    said: list[str] = []
    return wait_for_policies(made, topic, stop, said.append), said


def test_the_topic_goes_before_everything(tmp_path: Path) -> None:
    topic = Topic()
    topic.policies = PolicySets(GOOD)
    file = tmp_path / "missing.yaml"
    given = settings(policies_file=file, policies={"without": "drop_all"})
    assert begin(topic, given) == (topic.policies, [])


def test_the_file_goes_before_what_the_settings_say(tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(FILE)
    policies, said = begin(Topic(), settings(policies_file=file, policies={"without": "drop_all"}))
    assert policies is not None
    assert policies.default.policies[0].name == "from_file"
    assert said == []


def test_a_file_that_cannot_be_used_is_not_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "missing.yaml"
    with pytest.raises(PolicyError, match="cannot be read"):
        begin(Topic(), settings(policies_file=file, policies={"without": "keep_all"}))


def test_without_any_it_waits_and_says_so() -> None:
    policies, said = begin(Topic(None, None, PolicySets(GOOD)), settings())
    assert policies == PolicySets(GOOD)
    assert said == ["streamsampler.policies has no set named default"] * 3


def test_whoever_waits_can_be_stopped() -> None:
    policies, said = begin(Topic(None, None), settings(), stop_after(2))
    assert policies is None
    assert len(said) == 2


def test_a_topic_that_cannot_be_read_is_named_as_the_reason() -> None:
    topic = Topic(None)
    topic.trouble = "streamsampler.policies was not read to its end within 15 s"
    assert begin(topic, settings(), stop_after(1)) == (None, [topic.trouble])


def test_a_refused_default_is_named_as_the_reason() -> None:
    topic = Topic(None)
    topic.refused = (
        Refusal("default", 3, "policies offset 3: threshold_ms is -1."),
        Refusal("acme", 4, "policies offset 4: nothing."),
    )
    _, (reason,) = begin(topic, settings(), stop_after(1))
    assert reason == (
        "the set on streamsampler.policies was refused: policies offset 3: threshold_ms is -1"
    )


@pytest.mark.parametrize(
    ("without", "policies", "words"),
    [("keep_all", KEEP_ALL, "every trace is kept"), ("drop_all", DROP_ALL, "NOTHING IS KEPT")],
)
def test_the_settings_may_say_what_to_do_and_that_is_said_loudly(
    without: str, policies: object, words: str
) -> None:
    with capture_logs() as logs:
        found, said = begin(Topic(), settings(policies={"without": without}))
    assert found is not None
    assert found.default is policies
    assert said == []
    loud, in_force = logs
    assert loud["log_level"] == "error"
    assert loud["event"] == "no_policy_set_found"
    assert loud["until_there_is_one"] == words
    assert loud["reason"] == "streamsampler.policies has no set named default"
    assert in_force["source"] == f"policies.without: {without}"


def test_the_stand_ins_load_as_sets_and_do_what_they_are_called() -> None:
    assert [policy.type for policy in KEEP_ALL.policies] == ["always_sample"]
    assert DROP_ALL.policies == ()
