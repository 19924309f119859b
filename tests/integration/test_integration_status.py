"""What workers say of themselves on a real Kafka, and tenants' own sets on the policies topic."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_admin
from streamsampler.kafka.first_policies import DROP_ALL, KEEP_ALL
from streamsampler.kafka.policy_topic import PolicyTopic, delete_policy_set, publish_policy_set
from streamsampler.kafka.status import READY, WorkerStatus, read_status
from streamsampler.kafka.worker_status import pack_status, status_key
from streamsampler.policies import PolicySet
from streamsampler.policies.sets import PolicySets
from tests.integration.sampling import (
    RunningWorker,
    Written,
    make_topics,
    read_all,
    wait_until,
    write,
)

ALL = "policies: [{name: all, type: always_sample}]"
SLOW = "policies: [{name: slow, type: latency, latency: {threshold_ms: 5}}]"
BAD = "policies: [{name: slow, type: latency, latency: {threshold_ms: soon}}]"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A worker with a name, which says often how it stands."""
    return settings.model_copy(update={"instance_id": "pod-1", "status_interval_ms": 300})


@pytest.fixture
def topics(settings: Settings) -> None:
    make_topics(settings, 2)


def status_of(settings: Settings) -> WorkerStatus | None:
    return read_status(settings, 10).get("pod-1")


class Seen:
    """What the worker said, looked at until it says what is waited for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.status: WorkerStatus | None = None

    def wait(self, what: str, **expected: Any) -> WorkerStatus:
        def look() -> bool:
            self.status = status_of(self.settings)
            return self.status is not None and all(
                getattr(self.status, name) == value for name, value in expected.items()
            )

        wait_until(look, what)
        assert self.status is not None
        return self.status


@pytest.fixture
def seen(settings: Settings) -> Seen:
    return Seen(settings)


@contextmanager
def following(settings: Settings) -> Iterator[PolicyTopic]:
    with closing(PolicyTopic(settings, make_admin(settings), 1)) as topic:
        yield topic


def next_sets(topic: PolicyTopic) -> PolicySets:
    """What comes into force next."""
    came: list[PolicySets] = []

    def look() -> bool:
        policies = topic.follow()
        came.extend([policies] if policies else [])
        return bool(came)

    wait_until(look, "policy sets")
    return came[0]


@pytest.mark.usefixtures("topics")
def test_a_worker_says_what_it_runs_from_its_start_to_its_end(
    settings: Settings, seen: Seen
) -> None:
    with RunningWorker(settings):
        waiting = seen.wait("a worker that waits", policy_version=None)
        assert "no policy set is in force" in waiting.state
        first = publish_policy_set(settings, ALL, "test")
        ready = seen.wait("a worker at work", state=READY, partitions=(0, 1))
        assert ready.policy_version == first.version
        assert ready.policy_versions == {"default": first.version}
        assert ready.live(time.time_ns() // 1_000_000, 5_000)
        second = publish_policy_set(settings, SLOW, "test")
        own = publish_policy_set(settings, ALL, "test", "acme")
        both = PolicySets(second, {"acme": own})
        told = seen.wait("both sets", policy_version=both.version)
        assert told.policy_versions == both.versions
        assert told.at_ms > ready.at_ms
        assert told.started_ms == ready.started_ms
    assert status_of(settings) is None, "a worker that left is still there"
    assert read_all(settings, settings.topics.status)[-1].value() is None


@pytest.mark.usefixtures("topics")
def test_a_worker_says_which_sets_it_refused(settings: Settings, seen: Seen) -> None:
    good = publish_policy_set(settings, ALL, "test")
    with RunningWorker(settings):
        seen.wait("a worker at work", state=READY)
        write(settings, settings.topics.policies, [Written(BAD.encode(), b"acme")])

        def refused() -> bool:
            status = status_of(settings)
            return status is not None and bool(status.refused)

        wait_until(refused, "a refusal")
        status = status_of(settings)
        assert status is not None
        (refusal,) = status.refused
        assert (refusal.key, refusal.offset) == ("acme", 1)
        assert "threshold_ms" in refusal.sentence
        assert status.policy_version == good.version
        delete_policy_set(settings, "acme")
        seen.wait("an end of the refusal", refused=())


@pytest.mark.usefixtures("topics")
def test_a_worker_that_died_is_known_by_its_silence(settings: Settings) -> None:
    gone = WorkerStatus(settings.group_id, "pod-9", 1_000, 2_000, state=READY)
    record = Written(pack_status(gone), status_key(gone.group, gone.worker))
    write(settings, settings.topics.status, [Written(b"garbage", b"x"), record])
    assert read_status(settings, 10) == {"pod-9": gone}
    assert not gone.live(time.time_ns() // 1_000_000, 5_000)


def test_without_the_topic_there_are_no_workers(settings: Settings) -> None:
    assert read_status(settings, 10) == {}


@pytest.mark.usefixtures("topics")
def test_tenants_sets_come_and_go(settings: Settings) -> None:
    default = publish_policy_set(settings, ALL, "test")
    own = publish_policy_set(settings, SLOW, "test", "acme")
    with following(settings) as topic:
        assert topic.policies == PolicySets(default, {"acme": own})
        delete_policy_set(settings, "acme")
        assert next_sets(topic) == PolicySets(default)
        write(settings, settings.topics.policies, [Written(BAD.encode(), b"zeta")])
        publish_policy_set(settings, ALL, "test", "zeta")
        assert next_sets(topic).names == ("default", "zeta")
        assert topic.refused == ()


def test_a_topic_that_cannot_be_read_is_read_when_it_can(settings: Settings) -> None:
    hasty = settings.model_copy(update={"startup_timeout_ms": 1_000})
    with following(hasty) as topic:
        assert topic.policies is None
        assert settings.topics.policies in topic.trouble
        make_topics(settings, 1)
        first = publish_policy_set(settings, ALL, "test")
        second = publish_policy_set(settings, SLOW, "test")
        assert next_sets(topic).default.version in {first.version, second.version}
        assert topic.trouble == ""


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize(("without", "begins"), [("keep_all", KEEP_ALL), ("drop_all", DROP_ALL)])
def test_a_worker_may_begin_without_a_set(
    settings: Settings, seen: Seen, without: str, begins: PolicySet
) -> None:
    own = settings.model_copy(
        update={"policies": settings.policies.model_copy(update={"without": without})}
    )
    with RunningWorker(own):
        seen.wait("a worker at work", state=READY, policy_version=begins.version)
        published = publish_policy_set(settings, SLOW, "test")
        seen.wait("the topic's set", policy_version=published.version)


@pytest.mark.usefixtures("topics")
def test_a_worker_that_cannot_begin_with_its_file_says_so_at_once(
    settings: Settings, tmp_path: Path
) -> None:
    own = settings.model_copy(update={"policies_file": tmp_path / "missing.yaml"})
    with pytest.raises(ValueError, match="cannot be read"), RunningWorker(own) as worker:
        worker.wait_until(lambda: False, "an error")
