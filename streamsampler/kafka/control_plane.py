"""The topics over which a worker and the control plane speak; they may come while it runs."""

from collections.abc import Iterator, Mapping
from typing import Final

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.engine.health import HealthQuestions
from streamsampler.estimates.tables import Table
from streamsampler.kafka.table_topic import TableTopic

LOOK_MS: Final = 60_000
"""So often it is asked whether a topic that is missing is there now."""
LOOK_SECONDS: Final = 0.5
"""How long that may take: the worker's partitions wait meanwhile."""

_log = structlog.get_logger("streamsampler.worker")


class ControlPlane:
    """The way to the control plane and from it; owns what reads the tables topic.

    Args:
        settings: The settings.
        admin: Whom to ask for topics.
        existing: The topics that are there, with their numbers of partitions.
        now_ms: The monotonic clock.

    Attributes:
        shards: How many partitions the sketches topic has; 0: there is none, and nobody to tell.
    """

    def __init__(
        self, settings: Settings, admin: AdminClient, existing: Mapping[str, int], now_ms: int
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._tables: TableTopic | None = None
        self._next_look_ms = now_ms + LOOK_MS
        self.shards = 0
        self._take_up(existing)
        if self._missing:
            _log.info(
                "without_control_plane",
                missing=self._missing,
                mend="streamsampler topics create; it is looked for once a minute, and until then "
                "each partition goes by what it measures",
            )

    @property
    def _missing(self) -> list[str]:
        topics = self._settings.topics
        have = {topics.sketches: self.shards, topics.tables: self._tables}
        return [name for name, one in have.items() if not one]

    def _take_up(self, existing: Mapping[str, int]) -> None:
        topics = self._settings.topics
        self.shards = self.shards or existing.get(topics.sketches, 0)
        partitions = existing.get(topics.tables, 0)
        if partitions and self._tables is None:
            self._tables = TableTopic(self._settings, partitions)

    def look(self, now_ms: int) -> bool:
        """Look for topics that are missing, now and then, without waiting long.

        Args:
            now_ms: The monotonic clock.

        Returns:
            Whether the sketches topic has come with this.
        """
        missing, shards = self._missing, self.shards
        if not missing or now_ms < self._next_look_ms:
            return False
        self._next_look_ms = now_ms + LOOK_MS
        try:
            found = self._admin.list_topics(timeout=LOOK_SECONDS).topics
        except KafkaException as error:  # no answer tells nothing; it is looked again
            _log.debug("control_plane_not_looked_for", reason=error.args[0].str())
            return False
        self._take_up({name: len(topic.partitions) for name, topic in found.items()})
        came = sorted(set(missing) - set(self._missing))
        if came:
            _log.info("control_plane_topics_came", topics=came, missing=self._missing)
        return self.shards > shards

    def follow(self) -> Iterator[tuple[bytes, Table]]:
        """Take in what the control plane has told since, without waiting.

        Yields:
            Key and table.
        """
        if self._tables is not None:
            yield from self._tables.follow()

    def close(self) -> None:
        """Let the reader go."""
        if self._tables is not None:
            self._tables.close()


def health_questions(settings: Settings) -> HealthQuestions | None:
    """Tell what is asked of services, where there is somebody to tell.

    Args:
        settings: The settings.

    Returns:
        The questions; None: nothing.
    """
    asked = settings.health
    if not asked.one_in:
        return None
    keys = tuple(key.encode() for key in asked.attributes)
    return HealthQuestions(asked.one_in, asked.oversized_bytes, keys)
