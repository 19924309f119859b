"""Which policies a worker begins with."""

import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from streamsampler.config import Settings
from streamsampler.kafka.policy_in_force import Refusal
from streamsampler.kafka.policy_topic import read_policies_file
from streamsampler.kafka.reporting import REMINDER_MS
from streamsampler.policies import AlwaysSampleSettings, Policy, PolicySet
from streamsampler.policies.sets import DEFAULT, PolicySets

WAIT_SECONDS: Final = 0.2

KEEP_ALL: Final = PolicySet((Policy("keep_all", "always_sample", AlwaysSampleSettings()),))
DROP_ALL: Final = PolicySet(policies=())
"""Without a policy that samples, nothing is sampled."""

_STAND_INS: Final = {"keep_all": KEEP_ALL, "drop_all": DROP_ALL}

_log = structlog.get_logger("streamsampler.worker")


class Topic(Protocol):
    """What is asked of the policies topic."""

    trouble: str

    @property
    def policies(self) -> PolicySets | None:
        """The last good sets, once the topic is read."""

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """What was refused."""

    def follow(self, seconds: float = 0.0) -> PolicySets | None:
        """Take in what has come."""


def wait_for_policies(
    settings: Settings, topic: Topic, stop: Callable[[], bool], waiting: Callable[[str], None]
) -> PolicySets | None:
    """Find the policies to begin with: without any, everything would have to be kept or dropped.

    1. The topic's, where it has been read and has a default.
    2. Else the file's of the settings.
    3. Else what `policies.without` says: wait for the topic, keep all or drop all.

    Whatever the topic has later takes the place of 2 and 3.

    Args:
        settings: The settings.
        topic: The policies topic, as far as it could be read.
        stop: Asked while there is nothing to begin with.
        waiting: Told again and again meanwhile, and why, without a period.

    Returns:
        The policies; None where the worker was told to stop before there were any.

    Raises:
        PolicyError: The file cannot be used.
    """
    if topic.policies is None and settings.policies_file is not None:
        from_file = PolicySets(read_policies_file(settings.policies_file))
        return _in_force(from_file, str(settings.policies_file))
    if topic.policies is None and settings.policies.without != "wait":
        without = settings.policies.without
        _log.error(
            "no_policy_set_found",
            topic=settings.topics.policies,
            reason=why_none(settings, topic),
            until_there_is_one="every trace is kept"
            if without == "keep_all"
            else "NOTHING IS KEPT",
            setting=f"policies.without: {without}",
        )
        return _in_force(PolicySets(_STAND_INS[without]), f"policies.without: {without}")
    next_reminder = 0.0
    while topic.policies is None:
        if stop():
            return None
        reason = why_none(settings, topic)
        waiting(reason)
        if time.monotonic() >= next_reminder:
            next_reminder = time.monotonic() + REMINDER_MS / 1000
            _log.warning(
                "waiting_for_policies",
                topic=settings.topics.policies,
                reason=reason,
                mend="publish a set with `streamsampler policy apply`, or set policies_file",
            )
        topic.follow(WAIT_SECONDS)
    return _in_force(topic.policies, settings.topics.policies)


def why_none(settings: Settings, topic: Topic) -> str:
    """Tell why the policies topic gives no policies.

    Args:
        settings: The settings.
        topic: The topic.

    Returns:
        A sentence without its period.
    """
    name = settings.topics.policies
    if topic.trouble:
        return topic.trouble
    refused = [one for one in topic.refused if one.key == DEFAULT]
    if refused:
        return f"the set on {name} was refused: {refused[-1].sentence.removesuffix('.')}"
    return f"{name} has no set named {DEFAULT}"


def _in_force(policies: PolicySets, source: str) -> PolicySets:
    _log.info(
        "policy_set_in_force",
        version=policies.version,
        sets=len(policies.names),
        source=source,
    )
    return policies
