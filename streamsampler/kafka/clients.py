"""Where Kafka clients are made: the properties that the guarantee rests on stand here, once."""

import logging
import socket
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from streamsampler.config import ConfigError, Settings
from streamsampler.kafka.errors import FailStopError
from streamsampler.logs import RateLimit

Properties = dict[str, Any]
Client = TypeVar("Client")

_log = structlog.get_logger("streamsampler.kafka")

STATUS_TIMEOUT_MS: Final = 15_000
STATUS_QUEUE: Final = 100

PRODUCER_DEFAULTS: Final[Mapping[str, str]] = {
    "client.id": "streamsampler",
    "compression.type": "lz4",
    "linger.ms": "20",
    # As Java's producers place keys, so that consumers of the output may be joined with theirs.
    "partitioner": "murmur2_random",
    # A dead letter is as large as the record it tells of, plus headers.
    "message.max.bytes": "2000000",
    # Within max.poll.interval.ms, so that a flush during a rebalance ends before the group does.
    "message.timeout.ms": "120000",
    "queue.buffering.max.kbytes": "131072",
}
TRANSACTIONAL_DEFAULTS: Final[Mapping[str, str]] = {
    # Offsets for a group whose coordinator is gone wait, beyond any time limit, until some broker
    # changes its state (librdkafka 2.16; its issues 5456 and 5511). A connection that is closed
    # because nothing uses it is such a change.
    "connections.max.idle.ms": "5000",
}
CONSUMER_DEFAULTS: Final[Mapping[str, str]] = {"client.id": "streamsampler"}


def producer_properties(settings: Settings) -> Properties:
    """Join the properties of a producer outside of transactions.

    Args:
        settings: Theirs go over the defaults, the guarantee's over theirs.

    Returns:
        librdkafka's properties.
    """
    return {**PRODUCER_DEFAULTS, **settings.kafka, "enable.idempotence": "true"}


def transactional_properties(settings: Settings) -> Properties:
    """Join the properties of the producer whose records count only once committed.

    Args:
        settings: Theirs go over the defaults, the guarantee's over theirs.

    Returns:
        librdkafka's properties. A static member has the same transactional id each time, so that
        it ends what it left open; any other process has an id of its own.
    """
    name = settings.instance_id or f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
    properties = {
        **TRANSACTIONAL_DEFAULTS,
        **producer_properties(settings),
        "transactional.id": f"{settings.group_id}-{name}",
        "transaction.timeout.ms": str(settings.transaction_timeout_ms),
    }
    # A record outlives no transaction, whatever message.timeout.ms would say.
    properties["message.timeout.ms"] = str(settings.transaction_timeout_ms)
    return properties


def group_properties(settings: Settings) -> Properties:
    """Join the properties of the consumer that is a member of the group.

    Args:
        settings: Theirs go over the defaults, the guarantee's over theirs.

    Returns:
        librdkafka's properties.
    """
    properties = {
        **reader_properties(settings),
        "group.protocol": settings.group_protocol,
        # Spans that are gone must not be passed over in silence.
        "auto.offset.reset": "error",
    }
    if settings.group_protocol == "classic":
        properties["partition.assignment.strategy"] = "cooperative-sticky"
    if settings.instance_id is not None:
        properties["group.instance.id"] = settings.instance_id
    return properties


def reader_properties(settings: Settings) -> Properties:
    """Join the properties of a consumer that is assigned partitions by us, outside the group.

    Args:
        settings: Theirs go over the defaults, the guarantee's over theirs.

    Returns:
        librdkafka's properties.
    """
    return {
        **CONSUMER_DEFAULTS,
        **settings.kafka,
        "group.id": settings.group_id,  # librdkafka wants one even where no group is joined
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        # Policies and past decisions: what is gone from their topics matters no more.
        "auto.offset.reset": "earliest",
        "enable.partition.eof": "true",
        "isolation.level": "read_committed",
    }


def make_producer(settings: Settings) -> Producer:
    """Make a producer outside of transactions.

    Args:
        settings: The settings.

    Returns:
        The producer, which the caller closes.

    Raises:
        ConfigError: librdkafka refuses a property.
    """
    return _made(Producer, producer_properties(settings))


def status_properties(settings: Settings) -> Properties:
    """Join the properties of the producer of how a worker stands.

    Args:
        settings: Theirs go over the defaults, the writer's over theirs.

    Returns:
        librdkafka's properties. What is older than the next few records is not worth waiting for,
        and little is queued while brokers are away.
    """
    return {
        **producer_properties(settings),
        "message.timeout.ms": str(max(STATUS_TIMEOUT_MS, settings.status_interval_ms)),
        "queue.buffering.max.messages": str(STATUS_QUEUE),
    }


def make_status_producer(settings: Settings) -> Producer:
    """Make the producer of how a worker stands.

    Args:
        settings: The settings.

    Returns:
        The producer, which the caller closes.

    Raises:
        ConfigError: librdkafka refuses a property.
    """
    return _made(Producer, status_properties(settings))


def make_transactional_producer(settings: Settings) -> Producer:
    """Make the producer whose records count only once committed.

    Args:
        settings: The settings.

    Returns:
        The producer, which the caller closes.

    Raises:
        ConfigError: librdkafka refuses a property.
    """
    return _made(Producer, transactional_properties(settings))


def make_group_consumer(settings: Settings) -> Consumer:
    """Make the consumer that is a member of the group.

    Args:
        settings: The settings.

    Returns:
        The consumer, which the caller closes.

    Raises:
        ConfigError: librdkafka refuses a property.
    """
    return _made(Consumer, group_properties(settings))


def make_forwarder(settings: Settings) -> Consumer:
    """Make the consumer of what is kept: a member of a group of its own.

    Args:
        settings: The settings.

    Returns:
        The consumer, which the caller closes. It reads committed records only, from the beginning
        where its group has no offset.

    Raises:
        ConfigError: librdkafka refuses a property.
    """
    group = settings.forward.group_id or f"{settings.group_id}-forward"
    properties = group_properties(settings.model_copy(update={"group_id": group}))
    return _made(Consumer, {**properties, "auto.offset.reset": "earliest"})


def make_reader(settings: Settings) -> Consumer:
    """Make a consumer that joins no group.

    Args:
        settings: The settings.

    Returns:
        The consumer, which the caller assigns partitions to and closes.

    Raises:
        ConfigError: librdkafka refuses a property.
    """
    return _made(Consumer, reader_properties(settings))


def make_admin(settings: Settings) -> AdminClient:
    """Make a client for topics and offsets.

    Args:
        settings: The settings.

    Returns:
        The client.

    Raises:
        ConfigError: librdkafka refuses a property.
    """
    return _made(AdminClient, {"client.id": "streamsampler", **settings.kafka})


def topic_partitions(settings: Settings, admin: AdminClient) -> dict[str, int]:
    """Ask which topics there are; the first thing a command asks of a broker.

    Args:
        settings: For the address and for how long to wait.
        admin: Whom to ask.

    Returns:
        Each topic's number of partitions. All topics are asked for: asking for one by name would
        make it where brokers create topics themselves.

    Raises:
        FailStopError: No broker answered in time.
    """
    try:
        metadata = admin.list_topics(timeout=settings.startup_timeout_ms / 1000)
    except KafkaException as error:
        raise FailStopError(
            f"no broker answered at {settings.bootstrap} within "
            f"{settings.startup_timeout_ms / 1000:g} s ({error.args[0].str()}); check "
            "kafka.bootstrap.servers, and the TLS and SASL properties under kafka."
        ) from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def store_identity(settings: Settings, admin: AdminClient) -> tuple[str, str]:
    """Tell what the blocks in a local store are of, so that no others are taken for ours.

    Args:
        settings: For the topic and the group.
        admin: Whom to ask.

    Returns:
        Cluster, topic and group; and the topic's id, empty where the broker does not tell it. A
        topic that was made anew under its old name has another id.

    Raises:
        FailStopError: No broker answered in time.
    """
    topic, seconds = settings.topics.input, settings.startup_timeout_ms / 1000
    try:
        cluster = admin.list_topics(timeout=seconds).cluster_id
    except KafkaException as error:
        raise FailStopError(f"no broker named its cluster: {error.args[0].str()}.") from error
    topic_id = ""
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=seconds)
        topic_id = str(described[topic].result().topic_id)
    except KafkaException as error:
        _log.info("topic_id_unknown", topic=topic, reason=error.args[0].str())
    return f"{cluster}/{topic}/{settings.group_id}", topic_id


def _made(kind: Callable[[Properties], Client], properties: Properties) -> Client:
    log = _Log()
    try:
        return kind({**properties, "logger": log, "error_cb": log.note})
    except KafkaException as error:
        reason = error.args[0]
        text = reason.str() if isinstance(reason, KafkaError) else str(reason)
        raise ConfigError(f"kafka: librdkafka refuses the properties: {text}.") from error


class _Log:
    """What a client says, in our log.

    While a broker is away, a client says the same several times a second, and all of it at once
    when it is next asked: of one kind, one a minute is told, with how many were not.
    """

    def __init__(self) -> None:
        self._limit = RateLimit(1)

    def note(self, error: KafkaError) -> None:
        """Take an error, as librdkafka's `error_cb` does."""
        kind = error.name()
        if (unsaid := self._limit.admit(kind)) is not None:
            _log.warning(
                "kafka_trouble", code=kind, text=error.str(), fatal=error.fatal(), unsaid=unsaid
            )

    def log(self, level: int, _form: str, facility: str, client: str, text: str) -> None:
        """Take a line, as `logging.Logger` does."""
        # All clients are given all properties; each says of every property that is not for it
        # that it will be ignored.
        if facility == "CONFWARN" and "will be ignored by this" in text:
            return
        if level < logging.WARNING:
            _log.debug("librdkafka", facility=facility, client=client, text=text)
        elif (unsaid := self._limit.admit(facility)) is not None:
            _log.warning("librdkafka", facility=facility, client=client, text=text, unsaid=unsaid)
