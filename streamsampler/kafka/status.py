"""The status topic: what each worker runs and how it stands, for commands that ask for it.

A worker writes how it stands when it starts, when something changes and every now and then; when
it leaves in order, it takes its record away. So who has not written for a while is gone or stuck.
Nothing here may hold a worker up or stop it: what cannot be written is counted and said once.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from streamsampler.config import Settings
from streamsampler.kafka.clients import (
    make_admin,
    make_reader,
    make_status_producer,
    topic_partitions,
)
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.policy_in_force import Refusal
from streamsampler.kafka.watermarks import CatchUp, insist_on_watermarks
from streamsampler.kafka.worker_status import (
    READY,
    STOPPED,
    WorkerStatus,
    fold_statuses,
    pack_status,
    status_key,
)
from streamsampler.observe import WorkerStanding

__all__ = ["READY", "STOPPED", "StatusWriter", "WorkerStatus", "open_status", "read_status"]

CHANGES_MS: Final = 1_000
"""Changes are written at most this often: a worker that catches up changes all the time."""

LEAVE_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.05

_log = structlog.get_logger("streamsampler.status")


class StatusWriter:
    """Writes how one worker stands; never waits, never raises.

    Args:
        settings: The settings.
        producer: The caller's; None: there is nowhere to write.
        clock: The time.

    Attributes:
        failures: How many records did not get through.
    """

    def __init__(self, settings: Settings, producer: Producer | None, clock: Clock) -> None:
        self._topic = settings.topics.status
        self._interval_ms = settings.status_interval_ms
        self._key = status_key(settings.group_id, settings.worker_id)
        self._producer = producer
        self._wall_ms = clock.wall_ms
        started_ms = clock.wall_ms()
        self._status = WorkerStatus(
            settings.group_id, settings.worker_id, started_ms, started_ms, state="starting"
        )
        self._written: WorkerStatus | None = None
        self._written_at_ms = 0
        self._trouble = ""
        self.failures = 0

    def tell(self, now_ms: int, standing: WorkerStanding, refused: Sequence[Refusal]) -> None:
        """Write how the worker stands, if it is time; called often.

        Args:
            now_ms: The monotonic clock.
            standing: How it stands.
            refused: The policy sets that it was given and refused.
        """
        self._status = replace(
            self._status,
            policy_version=standing.policy_version,
            policy_versions=standing.policy_versions,
            partitions=tuple(one.partition for one in standing.partitions),
            state="; ".join(standing.reasons) or READY,
            refused=tuple(refused),
        )
        since_ms = now_ms - self._written_at_ms
        changed = self._status != self._written
        if (
            self._written is None
            or since_ms >= self._interval_ms
            or (changed and since_ms >= min(CHANGES_MS, self._interval_ms))
        ):
            self._written, self._written_at_ms = self._status, now_ms
            self._write(pack_status(replace(self._status, at_ms=self._wall_ms())))
        self._poll()

    def fail(self, error: str) -> None:
        """Write what ended the worker, as its last word.

        Args:
            error: A sentence.
        """
        last = replace(self._status, at_ms=self._wall_ms(), state=STOPPED, error=error)
        self._write(pack_status(last))
        self._flush()

    def leave(self) -> None:
        """Take the worker's record away, as it stops in order."""
        self._write(None)
        self._flush()

    def _write(self, value: bytes | None) -> None:
        if self._producer is None:
            return
        try:
            self._producer.produce(self._topic, value, self._key, on_delivery=self._delivered)
        except (BufferError, KafkaException) as error:
            self._note(str(error))

    def _poll(self) -> None:
        if self._producer is not None:
            self._producer.poll(0)

    def _flush(self) -> None:
        if self._producer is not None and self._producer.flush(LEAVE_SECONDS):
            self._producer.purge()
            self._producer.flush(0)

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._note(error.str())
        elif self._trouble:
            _log.info("status_written_again", after=self._trouble)
            self._trouble = ""

    def _note(self, trouble: str) -> None:
        """Count what did not get through; say it once, until something does."""
        self.failures += 1
        if not self._trouble:
            _log.warning("status_not_written", topic=self._topic, reason=trouble)
        self._trouble = trouble


@contextmanager
def open_status(
    settings: Settings, existing: Mapping[str, int], clock: Clock
) -> Iterator[StatusWriter]:
    """Open a worker's writer, and write its last word when it ends.

    Args:
        settings: The settings.
        existing: The topics that there are; without the status topic nothing is written.
        clock: The time.

    Yields:
        The writer.
    """
    if settings.topics.status not in existing:
        _log.warning(
            "status_topic_missing",
            topic=settings.topics.status,
            mend="`streamsampler topics create` makes it; until then commands cannot see which "
            "policies the workers run",
        )
        yield StatusWriter(settings, None, clock)
        return
    producer = make_status_producer(settings)
    writer = StatusWriter(settings, producer, clock)
    try:
        yield writer
    except FailStopError as error:
        writer.fail(str(error))
        raise
    else:
        writer.leave()
    finally:
        # What is left in the queue is of no use to anyone.
        with suppress(KafkaException):
            producer.purge()
            producer.close()


def read_status(settings: Settings, seconds: float) -> dict[str, WorkerStatus]:
    """Read how the workers of the group stand.

    Args:
        settings: Brokers, topic and group.
        seconds: How long it may take.

    Returns:
        The last word of each worker by its name, those that are long gone among them:
        `WorkerStatus.live` tells. Empty where the topic is not there.

    Raises:
        FailStopError: No broker answered, or the topic could not be read to its end in time.
    """
    deadline = time.monotonic() + seconds
    topic, admin = settings.topics.status, make_admin(settings)
    partitions = range(topic_partitions(settings, admin).get(topic, 0))
    if not partitions:
        return {}
    ends = insist_on_watermarks(admin, topic, partitions, int(seconds * 1_000))
    catch_up = CatchUp(ends)
    records: list[tuple[bytes | None, bytes | None]] = []
    with closing(make_reader(settings)) as consumer:
        consumer.assign([TopicPartition(topic, p, ends[p].beginning) for p in partitions])
        while catch_up.behind:
            if time.monotonic() > deadline:
                raise FailStopError(f"{topic}: not read to its end within {seconds:g} s.")
            records += _records(consumer, catch_up)
    return fold_statuses(settings.group_id, records)


def _records(consumer: Consumer, catch_up: CatchUp) -> Iterator[tuple[bytes | None, bytes | None]]:
    """What comes next, as keys and values; which is noted."""
    messages: list[Message] = consumer.consume(1_000, LOOK_SECONDS)
    for message in messages:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if partition is None or offset is None:
            continue
        if error is None:
            yield message.key(), message.value()
            catch_up.reached(partition, offset + 1)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
            catch_up.reached(partition, offset)
