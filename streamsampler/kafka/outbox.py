"""What a worker writes, in the order that at-least-once rests on."""

from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamsampler.config import Topics
from streamsampler.kafka.dead_letters import dead_letter
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.records import Reading
from streamsampler.sampler import Decision, Outcome

WAIT_SECONDS: Final = 0.1


class Outbox:
    """Writes kept traces and dead letters at once, and holds decisions until those are safe.

    A decision on its topic says that its trace has been dealt with: whoever takes the partition
    over after a crash passes the trace's spans over. So it must not be there before the broker
    has acknowledged the kept trace.

    Args:
        producer: Stays its opener's.
        topics: Where to write.
        worker_id: For dead letters.
    """

    def __init__(self, producer: Producer, topics: Topics, worker_id: str) -> None:
        self._producer = producer
        self._topics = topics
        self._worker_id = worker_id
        self._decisions: list[Decision] = []
        self._failure = ""

    def add(self, outcome: Outcome, reading: Reading | None = None) -> None:
        """Write what came of a batch.

        Args:
            outcome: What came of it.
            reading: The batch; None where there was none, and so no dead letters.

        Raises:
            FailStopError: Something written earlier, or this, was refused.
        """
        for emission in outcome.emissions:
            self._produce(
                self._topics.output,
                key=emission.trace_id.hex().encode(),
                value=emission.value,
                headers=list(emission.headers),
            )
        self._decisions += outcome.decisions
        for letter in outcome.dead_letters:
            assert reading is not None
            cause = reading.malformed.get(letter.record, letter)
            record = dead_letter(
                reading.messages[letter.record], cause.reason, cause.detail, self._worker_id
            )
            self._produce(
                self._topics.dead_letters,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
        self._producer.poll(0)
        self._raise_failure()

    def settle(self, overdue: Callable[[], bool]) -> None:
        """Wait until the broker has acknowledged everything, decisions last.

        Args:
            overdue: Asked while waiting; true: wait no longer. Without it, too, this ends: each
                record is acknowledged or given up within message.timeout.ms.

        Raises:
            FailStopError: Something was refused or took too long; nothing may be committed.
        """
        self._flush(overdue)
        decisions, self._decisions = self._decisions, []
        for decision in decisions:
            self._produce(
                self._topics.decisions,
                partition=decision.partition,
                key=decision.trace_id,
                value=decision.pack(),
                # Stream time, so that those since a checkpoint can be found by its time.
                timestamp=max(decision.decided_at_ms, 0),
            )
        if decisions:
            self._flush(overdue)

    def _produce(self, topic: str, **record: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, on_delivery=self._delivered, **record)
            except BufferError:
                # The queue is full: the broker's pace is ours.
                self._producer.poll(WAIT_SECONDS)
                self._raise_failure()
            except KafkaException as error:
                raise FailStopError(_refusal(topic, error.args[0])) from error
            else:
                return

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and not self._failure:
            self._failure = _refusal(message.topic() or "", error)

    def _flush(self, overdue: Callable[[], bool]) -> None:
        while waiting := self._producer.flush(WAIT_SECONDS):
            self._raise_failure()
            if overdue():
                raise FailStopError(
                    f"{waiting} records were not acknowledged in time. Nothing is committed past "
                    "them; they are written again after the next start."
                )
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure:
            raise FailStopError(self._failure)


def _refusal(topic: str, error: KafkaError) -> str:
    mend = ""
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        mend = " Raise the topic's max.message.bytes (and kafka.message.max.bytes)."
    return (
        f"a record for {topic} was not written: {error.str()}. Nothing is committed past it.{mend}"
    )
