"""The tables topic: what the control plane tells the workers, read from its beginning, followed.

The topic is compacted and keeps the last table of each key, so a worker that starts while the
control plane is away still has the last it told.
"""

from collections.abc import Iterator
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from streamsampler.config import Settings
from streamsampler.estimates.tables import Table, TableError, unpack
from streamsampler.kafka.clients import make_reader

MOST_AT_ONCE: Final = 50
FOR_PEOPLE: Final = b"health/"
"""Keys of tables that no worker reads."""

_log = structlog.get_logger("streamsampler.tables")


class TableTopic:
    """Reads the topic outside of any group; owns its consumer.

    Nothing waits for it: where it cannot be read, workers go on without.

    Args:
        settings: The settings.
        partitions: How many the topic has.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._said = ""
        self._consumer: Consumer = make_reader(settings)
        self._consumer.assign(
            [
                TopicPartition(settings.topics.tables, partition, OFFSET_BEGINNING)
                for partition in range(partitions)
            ]
        )

    def follow(self) -> Iterator[tuple[bytes, Table]]:
        """Take in what has come since, without waiting.

        Yields:
            Key and table.
        """
        for message in self._consumer.consume(MOST_AT_ONCE, 0.0):
            error, key, value = message.error(), message.key(), message.value()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
                    self._say(error.name(), error.str())
            elif key is not None and value is not None and not key.startswith(FOR_PEOPLE):
                try:
                    yield key, unpack(value)
                except TableError as refused:
                    self._say("table_refused", f"offset {message.offset()}: {refused}")

    def _say(self, code: str, text: str) -> None:
        """Log what is wrong; while it stays the same, once."""
        if code != self._said:
            self._said = code
            _log.warning("table_topic_trouble", code=code, text=text)

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()
