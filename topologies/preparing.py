"""The topics of a topology: those it needs are there, and its changelog is as it should be.

A changelog must have as many partitions as the sketches topic, since an app writes an entry to the
partition that its record came from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so
    AdminClient,
    NewTopic,
)

from streamsampler.config import Settings
from topologies.errors import TopologyError

BROKERS_DEFAULT: Final = -1
CLIENT_ID: Final = "streamsampler-topology"
LARGEST_RECORD_BYTES: Final = 2_097_152
CHANGELOG_CONFIG: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    # Entries live for minutes; what is replaced or deleted should be gone before a recovery.
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "3600000",
    # An entry is a worker's record again.
    "max.message.bytes": str(LARGEST_RECORD_BYTES),
}


def changelog_name(app_id: str, table: str) -> str:
    """Name the changelog topic of a table, as Faust does."""
    return f"{app_id}-{table}-changelog"


def folder(settings: Settings, name: str) -> Path | None:
    """Tell where an app keeps its table; None: in memory."""
    path = settings.topology.path
    return None if path is None else path.absolute() / name


def prepare(settings: Settings, name: str, changelog: str) -> int:
    """See to the folder of an app, and to the topics that it reads and writes.

    Args:
        settings: Brokers, names and the folder.
        name: Of the topology.
        changelog: Of the app's table; made if it is not there.

    Returns:
        How many shards there are: the partitions of the sketches topic.

    Raises:
        TopologyError: The folder cannot be made, no broker answered, a topic is missing, or one
            has partitions that do not fit.
    """
    _make_folder(folder(settings, name))
    try:
        # Its log would only say at length what the error says.
        admin = AdminClient({**settings.kafka, "client.id": CLIENT_ID, "log_level": "0"})
        metadata = admin.list_topics(timeout=settings.startup_timeout_ms / 1000)
    except KafkaException as error:
        raise TopologyError(
            f"no broker answered at {settings.bootstrap} within "
            f"{settings.startup_timeout_ms / 1000:g} s ({error.args[0].str()}); check "
            "kafka.bootstrap.servers, and the TLS and SASL properties under kafka."
        ) from error
    existing = {name: len(topic.partitions) for name, topic in metadata.topics.items()}
    check(settings, changelog, existing)
    shards = existing[settings.topics.sketches]
    if changelog not in existing:
        _create(
            settings,
            admin,
            NewTopic(changelog, shards, BROKERS_DEFAULT, config=dict(CHANGELOG_CONFIG)),
        )
    return shards


def check(settings: Settings, changelog: str, existing: Mapping[str, int]) -> None:
    """Check the topics that there are.

    Args:
        settings: Names, and how many shards are expected where that is said.
        changelog: Of the app's table.
        existing: Each topic's number of partitions.

    Raises:
        TopologyError: One is missing, or partitions do not fit.
    """
    sketches, tables = settings.topics.sketches, settings.topics.tables
    missing = [name for name in (sketches, tables) if name not in existing]
    if missing:
        raise TopologyError(
            f"these topics do not exist: {', '.join(missing)}; `streamsampler topics create` makes "
            "what is missing."
        )
    shards, expected = existing[sketches], settings.topology.table_partitions
    if expected is not None and expected != shards:
        raise TopologyError(
            f"the sketches topic {sketches} has {shards} partitions and topology.table_partitions "
            f"says {expected}; an entry is kept where its record came from, so leave that setting "
            "out, or make the topic anew."
        )
    if existing.get(changelog, shards) != shards:
        raise TopologyError(
            f"the changelog topic {changelog} has {existing[changelog]} partitions and the "
            f"sketches topic {sketches} has {shards}; delete the changelog: it fills "
            "again as new intervals come."
        )


def _make_folder(path: Path | None) -> None:
    if path is None:
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TopologyError(
            f"the folder {path} cannot be made: {error.strerror}; set topology.path to one that "
            "can, or to null to keep the table in memory."
        ) from error


def _create(settings: Settings, admin: AdminClient, topic: NewTopic) -> None:
    timeout = settings.startup_timeout_ms / 1000
    pending = admin.create_topics([topic], operation_timeout=timeout, request_timeout=timeout)
    for name, done in pending.items():
        try:
            done.result()
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another instance made it
                raise TopologyError(
                    f"topic {name} could not be created: {reason.str()}."
                ) from error
