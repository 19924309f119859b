"""The loop of a forwarder: a member of a group that reads the output topic and sends it on.

Offsets are committed after the endpoint's answer, so a crash sends again what was not answered: at
least once. Records' values joined are a valid request, so nothing is parsed.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from prometheus_client import start_http_server

from streamsampler.config import ConfigError, Forward, Settings
from streamsampler.forward.answers import Answer, Fate
from streamsampler.forward.backoff import delay_ms
from streamsampler.forward.figures import Figures
from streamsampler.forward.grpc import grpc_sender
from streamsampler.forward.http import Send, http_sender
from streamsampler.kafka.clients import make_admin, make_forwarder, make_producer, topic_partitions
from streamsampler.kafka.dead_letters import dead_letter
from streamsampler.kafka.errors import FailStopError
from streamsampler.observe.address import split_address

POLL_SECONDS: Final = 0.1
FLUSH_SECONDS: Final = 30.0
REASON: Final = "refused_by_endpoint"

_log = structlog.get_logger("streamsampler.forward")


class Forwarder:
    """Sends what the group gives it, until told to stop.

    Args:
        settings: The settings.
        consumer: A member of the group, not subscribed yet.
        producer: For dead letters.
        send: To the endpoint.
        stop: Asked between requests, and while it waits.
        figures: Counted in.
    """

    def __init__(
        self,
        settings: Settings,
        consumer: Consumer,
        producer: Producer,
        send: Send,
        stop: Callable[[], bool],
        figures: Figures,
    ) -> None:
        self._settings = settings
        self._forward = settings.forward
        self._consumer = consumer
        self._producer = producer
        self._send = send
        self._stop = stop
        self._figures = figures
        self._owned: set[int] = set()
        self._came_meanwhile: list[Message] = []

    def run(self) -> None:
        """Work until told to stop.

        Raises:
            FailStopError: The endpoint takes nothing, a record cannot be put away, or the topic
                cannot be read. Offsets stay where they are.
            KafkaException: The client failed.
        """
        self._consumer.subscribe(
            [self._settings.topics.output],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        while not self._stop():
            messages = self._came_meanwhile or self._consumer.consume(
                self._forward.batch_records, POLL_SECONDS
            )
            self._came_meanwhile = []
            records = [message for message in messages if _is_record(message)]
            for batch in batches(records, self._forward.max_request_bytes):
                if not self._deliver(batch):
                    return
                self._commit(batch)

    def _on_assign(self, _consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._owned |= {one.partition for one in assigned}

    def _on_revoke(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._owned -= {one.partition for one in revoked}

    def _deliver(self, batch: Sequence[Message]) -> bool:
        """Send records until each has its fate; tells whether they have, and no stop came first."""
        answer = self._ask(batch)
        if answer is None:
            return False
        if answer.fate is Fate.ACCEPTED:
            self._accepted(batch, answer)
            return True
        if len(batch) == 1:
            self._put_away(batch[0], answer.words)
            return True
        middle = len(batch) // 2  # the others are not to suffer for one
        return self._deliver(batch[:middle]) and self._deliver(batch[middle:])

    def _ask(self, batch: Sequence[Message]) -> Answer | None:
        """Send a request until it is accepted or refused; None: told to stop first."""
        request = b"".join(message.value() or b"" for message in batch)
        attempt = 0
        while True:
            answer = self._send(request)
            self._figures.answered(answer.fate)
            if answer.fate is Fate.STOP:
                raise FailStopError(
                    f"{self._forward.endpoint} takes nothing from us: {answer.words}. Check "
                    "forward.endpoint, forward.protocol and forward.headers."
                )
            if answer.fate is not Fate.AGAIN:
                return answer
            wait_ms = delay_ms(
                attempt,
                random.random(),  # noqa: S311 - nothing secret hangs on it
                self._forward.retry_ms,
                self._forward.most_retry_ms,
                answer.wait_ms,
            )
            _log.warning("endpoint_waits", reason=answer.words, attempt=attempt, wait_ms=wait_ms)
            attempt += 1
            if not self._wait(wait_ms):
                return None

    def _wait(self, wait_ms: int) -> bool:
        """Stay in the group for so long, taking nothing in; tells whether no stop came first."""
        until = time.monotonic() + wait_ms / 1_000
        assigned = self._consumer.assignment()
        self._consumer.pause(assigned)
        while not self._stop() and (left := until - time.monotonic()) > 0:
            # What is assigned meanwhile is not paused yet.
            self._came_meanwhile += self._consumer.consume(1, min(left, POLL_SECONDS))
            self._consumer.pause(self._consumer.assignment())
        self._consumer.resume(self._consumer.assignment())
        return not self._stop()

    def _accepted(self, batch: Sequence[Message], answer: Answer) -> None:
        self._figures.records.inc(len(batch))
        self._figures.bytes.inc(sum(len(message.value() or b"") for message in batch))
        if answer.rejected:
            self._figures.rejected.inc(answer.rejected)
            _log.warning("spans_rejected", spans=answer.rejected, reason=answer.words)

    def _put_away(self, message: Message, words: str) -> None:
        """Write a record that is refused for good to the dead letters."""
        letter = dead_letter(message, REASON, words, self._settings.worker_id)
        failed: list[KafkaError] = []
        self._producer.produce(
            self._settings.topics.dead_letters,
            key=letter.key,
            value=letter.value,
            headers=letter.headers,  # type: ignore[arg-type]  # they may be without a value
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        if self._producer.flush(FLUSH_SECONDS) or failed:
            reason = failed[0].str() if failed else "no broker took it in time"
            raise FailStopError(
                f"{message.topic()}/{message.partition()}: the record at offset "
                f"{message.offset()} was refused by the endpoint ({words}), and could not be "
                f"written to {self._settings.topics.dead_letters}: {reason}."
            )
        self._figures.dead_letters.inc()
        _log.warning(
            "record_refused",
            partition=message.partition(),
            offset=message.offset(),
            reason=words,
        )

    def _commit(self, batch: Sequence[Message]) -> None:
        """Commit what has been answered, of partitions that are still ours."""
        behind = {message.partition() or 0: (message.offset() or 0) + 1 for message in batch}
        topic = self._settings.topics.output
        offsets = [
            TopicPartition(topic, partition, offset)
            for partition, offset in behind.items()
            if partition in self._owned
        ]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # The next commit covers it; a crash before that sends again what was sent.
            _log.warning("commit_refused", reason=error.args[0].str())


def batches(messages: Sequence[Message], most_bytes: int) -> Iterator[list[Message]]:
    """Cut records into requests.

    Args:
        messages: Records, in the order in which they are sent.
        most_bytes: Of a request; a record that is larger goes alone.

    Yields:
        The records of one request after the other.
    """
    batch: list[Message] = []
    size = 0
    for message in messages:
        more = len(message.value() or b"")
        if batch and size + more > most_bytes:
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += more
    if batch:
        yield batch


def _is_record(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    # The library's own error codes begin with an underscore; they are public all the same.
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
        return False
    if error.retriable() or error.code() == KafkaError._TRANSPORT:  # noqa: SLF001
        _log.warning("kafka_trouble", reason=error.str())
        return False
    raise FailStopError(f"{message.topic()} cannot be read: {error.str()}.")


def sender_of(settings: Forward) -> Send:
    """Make what sends requests.

    Args:
        settings: Where, and how.

    Returns:
        Takes a serialized request; tells what became of it.

    Raises:
        ConfigError: There is no endpoint, or a file of certificates cannot be read.
    """
    if not settings.endpoint:
        raise ConfigError(
            "forward.endpoint is not set; expected where kept traces go, such as "
            "http://localhost:4318."
        )
    for name in ("ca_file", "cert_file", "key_file"):
        file = getattr(settings.tls, name)
        if file is not None and not file.is_file():
            raise ConfigError(f"forward.tls.{name} is {file}: there is no such file.")
    return grpc_sender(settings) if settings.protocol == "grpc" else http_sender(settings)


def run_forwarder(settings: Settings, stop: Callable[[], bool]) -> None:
    """Send what is kept to the endpoint, until told to stop.

    Args:
        settings: The settings.
        stop: Asked every 100 ms or so.

    Raises:
        ConfigError: A setting cannot be used.
        FailStopError: No broker answered, the topic is missing, or the endpoint takes nothing.
    """
    send, figures = sender_of(settings.forward), Figures()
    topic = settings.topics.output
    if topic not in topic_partitions(settings, make_admin(settings)):
        raise FailStopError(f"the topic {topic} does not exist; `streamsampler topics create`.")
    with (
        _metrics(settings, figures),
        closing(make_forwarder(settings)) as consumer,
        closing(make_producer(settings)) as producer,
    ):
        _log.info("forwarding", topic=topic, endpoint=settings.forward.endpoint)
        try:
            Forwarder(settings, consumer, producer, send, stop, figures).run()
        except KafkaException as error:
            raise FailStopError(f"the Kafka client failed: {error.args[0].str()}.") from error
    _log.info("forwarder_stopped")


@contextmanager
def _metrics(settings: Settings, figures: Figures) -> Iterator[None]:
    if settings.http.address is None:
        yield
        return
    host, port = split_address(settings.http.address)
    try:
        server, thread = start_http_server(port, host, figures.registry)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.http.address}: {error.strerror}; set http.address to "
            "another."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
