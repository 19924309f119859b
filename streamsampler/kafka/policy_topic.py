"""The policies topic: read from its beginning, then followed; the last good set stays in force."""

import time
from pathlib import Path
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_producer, make_reader
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.watermarks import CatchUp, insist_on_watermarks
from streamsampler.policies import (
    PolicyError,
    PolicySet,
    TenantNumbers,
    compile_policies,
    load_policy_set,
)

IN_FORCE: Final = b"default"
"""The key of the set that is in force."""

_log = structlog.get_logger("streamsampler.policies")


class PolicyInForce:
    """What the records of the topic leave in force; no Kafka in it.

    Args:
        source: What sentences call the topic.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self.policies: PolicySet | None = None

    def take(self, key: bytes | None, value: bytes | None, offset: int) -> bool:
        """Take a record of the topic in, in the order of the offsets.

        Args:
            key: The name of a set; only `IN_FORCE` counts.
            value: The set, YAML or JSON in UTF-8. None, a deletion, leaves the last set in force:
                without one, everything would have to be kept or dropped.
            offset: Of the record, for sentences.

        Returns:
            Whether another set is in force now. One that is bad is refused and said so.
        """
        if key != IN_FORCE:
            return False
        place = f"{self._source} offset {offset}"
        if value is None:
            _log.warning("policy_set_deleted", place=place, in_force=self._version())
            return False
        try:
            policies = checked_policy_set(value, place)
        except PolicyError as error:
            _log.error(
                "policy_set_refused", place=place, problem=str(error), in_force=self._version()
            )
            return False
        for warning in policies.warnings:
            _log.warning("policy_set_warning", warning=warning)
        changed = policies.version != self._version()
        self.policies = policies
        return changed

    def _version(self) -> str | None:
        return self.policies.version if self.policies else None


def checked_policy_set(value: bytes, source: str) -> PolicySet:
    """Read a policy set and make sure that it can take effect.

    Args:
        value: YAML or JSON in UTF-8.
        source: What sentences call it.

    Returns:
        The set.

    Raises:
        PolicyError: It cannot be used; says all that is wrong.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise PolicyError([f"{source}: byte {error.start} is not UTF-8."]) from error
    policies = load_policy_set(text, source)
    compile_policies(policies, TenantNumbers())
    return policies


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

    Args:
        settings: The settings.
        admin: For the offsets.
        partitions: How many the topic has.

    Raises:
        FailStopError: The topic could not be read to its end in time.
    """

    def __init__(self, settings: Settings, admin: AdminClient, partitions: int) -> None:
        topic = settings.topics.policies
        self._in_force = PolicyInForce(topic)
        everywhere = range(partitions)
        watermarks = insist_on_watermarks(admin, topic, everywhere, settings.startup_timeout_ms)
        self._consumer: Consumer = make_reader(settings)
        self._consumer.assign(
            [TopicPartition(topic, p, watermarks[p].beginning) for p in everywhere]
        )
        self._read_to(CatchUp(watermarks), settings)

    def _read_to(self, catch_up: CatchUp, settings: Settings) -> None:
        deadline = time.monotonic() + settings.startup_timeout_ms / 1000
        while catch_up.behind:
            self._consume(0.05, catch_up)
            if time.monotonic() > deadline:
                self.close()
                raise FailStopError(
                    f"{settings.topics.policies}: not read to its end within "
                    f"{settings.startup_timeout_ms / 1000:g} s."
                )

    @property
    def policies(self) -> PolicySet | None:
        """The last good set; None where the topic has had none."""
        return self._in_force.policies

    def follow(self, seconds: float = 0.0) -> PolicySet | None:
        """Take in what has come since.

        Args:
            seconds: How long to wait for something.

        Returns:
            The set in force, where it is another than before.
        """
        return self.policies if self._consume(seconds, None) else None

    def _consume(self, seconds: float, catch_up: CatchUp | None) -> bool:
        changed = False
        for message in self._consumer.consume(100, seconds):
            error = message.error()
            partition, offset = message.partition(), message.offset()
            if error is None:
                assert offset is not None
                changed |= self._in_force.take(message.key(), message.value(), offset)
                offset += 1
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
                _log.warning("policy_topic_trouble", code=error.name(), text=error.str())
                continue
            if catch_up is not None and partition is not None and offset is not None:
                catch_up.reached(partition, offset)
        return changed

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()


def publish_policy_set(settings: Settings, text: str | bytes, source: str) -> PolicySet:
    """Check a policy set and put it in force for the whole group.

    Args:
        settings: Brokers and topic.
        text: YAML or JSON; bytes are UTF-8.
        source: What sentences call it: the file's name.

    Returns:
        The set as the workers will read it.

    Raises:
        PolicyError: The set cannot be used; nothing was written.
        FailStopError: The broker did not take it in time.
    """
    value = text.encode() if isinstance(text, str) else text
    policies = checked_policy_set(value, source)
    producer = make_producer(settings)
    failures: list[str] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failures.append(error.str())

    producer.produce(settings.topics.policies, key=IN_FORCE, value=value, on_delivery=delivered)
    if producer.flush(settings.startup_timeout_ms / 1000):
        failures.append(f"no answer from {settings.bootstrap}")
        producer.purge()
        producer.flush()
    if failures:
        raise FailStopError(
            f"the policy set was not written to {settings.topics.policies}: {failures[0]}."
        )
    return policies
