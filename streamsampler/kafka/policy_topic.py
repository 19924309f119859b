"""The policies topic: read from its beginning, then followed; the last good sets stay in force."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_producer, make_reader
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.policy_in_force import PolicyInForce, Refusal, checked_policy_set
from streamsampler.kafka.watermarks import CatchUp, insist_on_watermarks
from streamsampler.policies import PolicyError, PolicySet
from streamsampler.policies.sets import DEFAULT, PolicySets

__all__ = [
    "PolicyTopic",
    "checked_policy_set",
    "delete_policy_set",
    "publish_policy_set",
    "read_policies_file",
]

LOOK_SECONDS: Final = 0.05

_log = structlog.get_logger("streamsampler.policies")


def read_policies_file(file: Path) -> PolicySet:
    """Read a policy set from a file and make sure that it can take effect.

    Args:
        file: YAML or JSON in UTF-8.

    Returns:
        The set.

    Raises:
        PolicyError: It cannot be read or used; says all that is wrong.
    """
    try:
        value = file.read_bytes()
    except OSError as error:
        raise PolicyError([f"{file}: cannot be read: {error.strerror}."]) from error
    return checked_policy_set(value, str(file))


class PolicyTopic:
    """Reads the topic outside of any group; owns its consumer.

    What stands in the topic at the start is read before anything of it counts. Where that cannot be
    had in time, `trouble` says why, and `follow` goes on trying.

    Args:
        settings: The settings.
        admin: For the offsets.
        partitions: How many the topic has.
        on_refusal: Told of each record that is refused.

    Attributes:
        trouble: Why the topic has not been read to its end, without a period; empty where it has.
    """

    def __init__(
        self,
        settings: Settings,
        admin: AdminClient,
        partitions: int,
        on_refusal: Callable[[Refusal], None] = lambda _: None,
    ) -> None:
        self._topic = topic = settings.topics.policies
        self._in_force = PolicyInForce(topic, on_refusal)
        self._told: str | None = None
        self._said = ""
        self._unread = set(range(partitions))
        self.trouble = ""
        self._catch_up: CatchUp | None = None
        self._consumer: Consumer = make_reader(settings)
        self._consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in self._unread])
        try:
            ends = insist_on_watermarks(admin, topic, self._unread, settings.startup_timeout_ms)
        except FailStopError as error:
            self.trouble = str(error).removesuffix(".")
        else:
            self._catch_up = CatchUp(ends)
            self._unread = set(self._catch_up.behind)
            self._read_to_the_end(settings.startup_timeout_ms / 1000)
        if self.trouble:
            _log.error("policy_topic_not_read", topic=topic, problem=self.trouble)
        self._news()

    def _read_to_the_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._unread and time.monotonic() < deadline:
            self._consume(LOOK_SECONDS)
        if self._unread:
            self.trouble = f"{self._topic} was not read to its end within {seconds:g} s"

    @property
    def policies(self) -> PolicySets | None:
        """The last good sets; None where there is no default, or the topic is not yet read."""
        return None if self._unread else self._in_force.policies

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """Of the names whose last record was refused, that refusal."""
        return self._in_force.refused

    def follow(self, seconds: float = 0.0) -> PolicySets | None:
        """Take in what has come since.

        Args:
            seconds: How long to wait for something.

        Returns:
            The sets in force, where they are others than before.
        """
        self._consume(seconds)
        return self._news()

    def _news(self) -> PolicySets | None:
        """The sets in force, where they have not been told yet."""
        policies = self.policies
        if policies is None or policies.version == self._told:
            return None
        self._told = policies.version
        return policies

    def _consume(self, seconds: float) -> None:
        for message in self._consumer.consume(100, seconds):
            error = message.error()
            partition, offset = message.partition(), message.offset()
            if error is None:
                assert offset is not None
                self._in_force.take(message.key(), message.value(), offset)
                offset += 1
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
                self._say(error)
                continue
            if self._unread and partition is not None and offset is not None:
                self._note_read(partition, offset, ended=error is not None)

    def _note_read(self, partition: int, offset: int, *, ended: bool) -> None:
        """Note how far a partition is read, while it matters."""
        if self._catch_up is not None:
            self._catch_up.reached(partition, offset)
            self._unread = set(self._catch_up.behind)
        elif ended:  # no broker told where it ends, but this one does
            self._unread.discard(partition)
        if not self._unread:
            if self.trouble:
                _log.info("policy_topic_read", topic=self._topic, after=self.trouble)
            self.trouble = ""

    def _say(self, error: KafkaError) -> None:
        """Log what is wrong; while it stays the same, once."""
        if error.name() != self._said:
            self._said = error.name()
            _log.warning("policy_topic_trouble", code=error.name(), text=error.str())

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()


def publish_policy_set(
    settings: Settings, text: str | bytes, source: str, name: str = DEFAULT
) -> PolicySet:
    """Check a policy set and put it in force for the whole group.

    Args:
        settings: Brokers and topic.
        text: YAML or JSON; bytes are UTF-8.
        source: What sentences call it: the file's name.
        name: Of the set: `DEFAULT`, or the tenant whose own it is.

    Returns:
        The set as the workers will read it. Whether it goes together with the sets of other names
        only they say.

    Raises:
        PolicyError: The set cannot be used; nothing was written.
        FailStopError: The broker did not take it in time.
    """
    value = text.encode() if isinstance(text, str) else text
    policies = checked_policy_set(value, source)
    _write(settings, name, value)
    return policies


def delete_policy_set(settings: Settings, tenant: str) -> None:
    """Take a tenant's own set away from the whole group; the default decides its traces then.

    Args:
        settings: Brokers and topic.
        tenant: Whose. The default cannot be taken away: it would stay in force.

    Raises:
        FailStopError: The broker did not take it in time.
    """
    _write(settings, tenant, None)


def _write(settings: Settings, name: str, value: bytes | None) -> None:
    producer = make_producer(settings)
    failures: list[str] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failures.append(error.str())

    producer.produce(
        settings.topics.policies, key=name.encode(), value=value, on_delivery=delivered
    )
    if producer.flush(settings.startup_timeout_ms / 1000):
        failures.append(f"no answer from {settings.bootstrap}")
        producer.purge()
        producer.flush()
    if failures:
        raise FailStopError(
            f"the policy set was not written to {settings.topics.policies}: {failures[0]}."
        )
