"""A Kafka-protocol broker inside this process, for the demo and for tests: librdkafka's mock.

What it does not do decides what it is good for: a partition keeps its newest 5 MB or 100,000
records, topics have four partitions and come into being by first use, nothing is compacted,
timestamps cannot be searched, and transactions abort nothing. So: `at_least_once`, small volumes.
"""

from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamsampler.config import Topics
from streamsampler.kafka.errors import FailStopError

PARTITIONS: Final = 4
ANSWER_SECONDS: Final = 10


class EmbeddedKafka:
    """One broker, which lives as long as this context manager.

    Attributes:
        bootstrap: What `bootstrap.servers` must be set to.
    """

    def __init__(self) -> None:
        self.bootstrap = ""
        self._cluster: AdminClient | None = None

    def __enter__(self) -> Self:
        # The mock cluster belongs to this client and dies with it. It speaks of every client
        # that comes and goes; only what is an error is let through.
        self._cluster = AdminClient({"test.mock.num.brokers": 1, "log_level": 3})
        try:
            brokers = self._cluster.list_topics(timeout=ANSWER_SECONDS).brokers.values()
        except KafkaException as error:
            self._cluster = None
            raise FailStopError(f"the embedded broker did not start: {error.args[0]}.") from error
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cluster = None

    def create(self, topics: Topics) -> None:
        """Bring all topics into being, by asking for each by its name.

        Args:
            topics: Their names.

        Raises:
            FailStopError: The broker did not answer.
        """
        assert self._cluster is not None
        for name in topics.model_dump().values():
            try:
                self._cluster.list_topics(name, timeout=ANSWER_SECONDS)
            except KafkaException as error:
                raise FailStopError(f"the embedded broker has no {name}: {error}.") from error
