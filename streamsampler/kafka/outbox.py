"""What a worker writes, and how it is made to last: in transactions, or in a certain order."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from streamsampler.config import Topics
from streamsampler.estimates.summaries import Summary
from streamsampler.kafka.commits import commit_offsets
from streamsampler.kafka.dead_letters import dead_letter
from streamsampler.kafka.errors import FailStopError, RestartError, RollBackError
from streamsampler.kafka.fatal import fatal_error
from streamsampler.kafka.records import Reading
from streamsampler.kafka.sketches import sketch_records
from streamsampler.kafka.transactions import Transactions
from streamsampler.outcome import Decision, Outcome

WAIT_SECONDS: Final = 0.1
REFUSED_FOR_GOOD: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        # The library's own error codes begin with an underscore; they are public all the same.
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    }
)
"""A record refused so would be refused again, however often it is written."""


class Outbox(ABC):
    """Writes kept traces, decisions and dead letters, and makes them last."""

    @property
    @abstractmethod
    def written_bytes(self) -> int:
        """Of the values written since the last commit."""

    @abstractmethod
    def add(self, outcome: Outcome, reading: Reading | None = None) -> None:
        """Write what came of a batch.

        Args:
            outcome: What came of it.
            reading: The batch; None where there was none, and so no dead letters.

        Raises:
            FailStopError: Something written earlier, or this, was refused for good.
            RollBackError: Something written earlier was not taken, and may be another time.
            RestartError: The producer is of no use.
        """

    @abstractmethod
    def add_summaries(self, summaries: Iterable[Summary], shards: int) -> None:
        """Write what decided traces come to, to last with their decisions.

        Args:
            summaries: Of partitions that are committed next.
            shards: How many partitions the sketches topic has.

        Raises:
            FailStopError: Something written earlier, or this, was refused for good.
            RollBackError: Something written earlier was not taken, and may be another time.
            RestartError: The producer is of no use.
        """

    @abstractmethod
    def commit(
        self, consumer: Consumer, offsets: Sequence[TopicPartition], overdue: Callable[[], bool]
    ) -> str | None:
        """Make what was written since the last commit last, and the offsets with it.

        Args:
            consumer: The member of the group that owns the partitions.
            offsets: One for each partition that moved, with metadata.
            overdue: Asked while waiting; true: wait no longer.

        Returns:
            None where it is done; else why the offsets were refused for now, with no harm done.

        Raises:
            FailStopError: Something was refused for good or took too long.
            RollBackError: It must all be undone and done again.
            RestartError: The producer is of no use.
        """

    @abstractmethod
    def abort(self) -> bool:
        """Undo what was written since the last commit, as far as the guarantee goes.

        Returns:
            Whether there was a transaction to abort.

        Raises:
            RestartError: The producer is of no use.
            FailStopError: It waited too long.
        """


class _Producing(Outbox):
    """Writes with a producer.

    Args:
        producer: Stays its opener's.
        topics: Where to write.
        worker_id: For dead letters.
    """

    def __init__(self, producer: Producer, topics: Topics, worker_id: str) -> None:
        self._producer = producer
        self._topics = topics
        self._worker_id = worker_id
        self._failure: KafkaError | None = None
        self._failed_topic = ""
        self._written_bytes = 0

    @property
    def written_bytes(self) -> int:
        """See `Outbox`."""
        return self._written_bytes

    def add_summaries(self, summaries: Iterable[Summary], shards: int) -> None:
        """See `Outbox`."""
        for record in sketch_records(summaries, shards):
            self._produce(
                self._topics.sketches, partition=record.shard, key=record.key, value=record.value
            )

    def _write_emissions(self, outcome: Outcome) -> None:
        for emission in outcome.emissions:
            self._produce(
                self._topics.output,
                key=emission.trace_id.hex().encode(),
                value=emission.value,
                headers=list(emission.headers),
            )

    def _write_decisions(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self._produce(
                self._topics.decisions,
                partition=decision.partition,
                key=decision.trace_id,
                value=decision.pack(),
                # Stream time, so that those since a checkpoint can be found by its time.
                timestamp=max(decision.decided_at_ms, 0),
            )

    def _write_dead_letters(self, outcome: Outcome, reading: Reading | None) -> None:
        for letter in outcome.dead_letters:
            assert reading is not None
            record = dead_letter(
                reading.messages[letter.record], letter.reason, letter.detail, self._worker_id
            )
            self._produce(
                self._topics.dead_letters,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )

    def _produce(self, topic: str, **record: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, on_delivery=self._delivered, **record)
            except BufferError:
                # The queue is full: the broker's pace is ours.
                self._serve(WAIT_SECONDS)
                self._raise_failure()
            except KafkaException as refused:
                self._fail(topic, refused.args[0])
                self._raise_failure()
            else:
                self._written_bytes += len(record["value"] or b"")
                return

    def _serve(self, seconds: float) -> None:
        """Let the client report what became of records."""
        try:
            self._producer.poll(seconds)
        except (KafkaException, SystemError) as raised:
            error = fatal_error(raised)
            if error is None:
                raise
            raise RestartError(f"the producer failed: {error.str()}") from raised

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._fail(message.topic() or "", error)

    def _fail(self, topic: str, error: KafkaError) -> None:
        if self._failure is None:
            self._failure, self._failed_topic = error, topic

    def _raise_failure(self) -> None:
        error, topic = self._failure, self._failed_topic
        if error is None:
            return
        words = f"a record for {topic} was not written: {error.str()}"
        if error.code() in REFUSED_FOR_GOOD:
            mend = ""
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                mend = " Raise the topic's max.message.bytes (and kafka.message.max.bytes)."
            raise FailStopError(f"{words}. Nothing is committed past it.{mend}")
        raise RollBackError(words)


class TransactionalOutbox(_Producing):
    """Exactly once: everything in the transaction that commits the offsets.

    Args:
        producer: With a transactional id; stays its opener's.
        transactions: Its transactions, started.
        topics: Where to write.
        worker_id: For dead letters.
    """

    def __init__(
        self, producer: Producer, transactions: Transactions, topics: Topics, worker_id: str
    ) -> None:
        super().__init__(producer, topics, worker_id)
        self._transactions = transactions

    def add_summaries(self, summaries: Iterable[Summary], shards: int) -> None:
        """See `Outbox`."""
        self._transactions.begin()
        super().add_summaries(summaries, shards)

    def add(self, outcome: Outcome, reading: Reading | None = None) -> None:
        """See `Outbox`."""
        if outcome.emissions or outcome.decisions or outcome.dead_letters:
            self._transactions.begin()
            self._write_emissions(outcome)
            self._write_decisions(outcome.decisions)
            self._write_dead_letters(outcome, reading)
        self._serve(0)
        self._raise_failure()

    def commit(
        self,
        consumer: Consumer,
        offsets: Sequence[TopicPartition],
        overdue: Callable[[], bool],  # noqa: ARG002 - the transactions were given theirs
    ) -> str | None:
        """See `Outbox`; nothing is refused without harm."""
        if offsets or self._transactions.open:
            try:
                self._transactions.commit(consumer, offsets)
            except RollBackError:
                self._serve(0)
                self._raise_failure()  # the record that was refused says more, and may be final
                raise
        self._written_bytes = 0
        return None

    def abort(self) -> bool:
        """See `Outbox`; readers of committed records never see what was written."""
        was_open = self._transactions.open
        self._transactions.abort()
        self._serve(0)  # what is reported of the records that went with it
        self._failure = None
        self._written_bytes = 0
        return was_open


class OrderedOutbox(_Producing):
    """At least once: a decision only after its trace is safe, offsets only after the decisions.

    A decision on its topic says that its trace has been dealt with: whoever takes the partition
    over after a crash passes the trace's spans over. So it must not be there before the broker
    has acknowledged the kept trace.

    Args:
        producer: Stays its opener's.
        topics: Where to write.
        worker_id: For dead letters.
    """

    def __init__(self, producer: Producer, topics: Topics, worker_id: str) -> None:
        super().__init__(producer, topics, worker_id)
        self._decisions: list[Decision] = []

    def add(self, outcome: Outcome, reading: Reading | None = None) -> None:
        """See `Outbox`; decisions are held until the commit."""
        self._write_emissions(outcome)
        self._decisions += outcome.decisions
        self._write_dead_letters(outcome, reading)
        self._serve(0)
        self._raise_failure()

    def commit(
        self, consumer: Consumer, offsets: Sequence[TopicPartition], overdue: Callable[[], bool]
    ) -> str | None:
        """See `Outbox`."""
        self._flush(overdue)
        decisions, self._decisions = self._decisions, []
        if decisions:
            self._write_decisions(decisions)
            self._flush(overdue)
        self._written_bytes = 0
        return commit_offsets(consumer, offsets) if offsets else None

    def abort(self) -> bool:
        """See `Outbox`; kept traces that were written come out again."""
        self._decisions = []
        self._failure = None
        self._written_bytes = 0
        return False

    def _flush(self, overdue: Callable[[], bool]) -> None:
        while waiting := self._producer.flush(WAIT_SECONDS):
            self._raise_failure()
            if overdue():
                raise FailStopError(
                    f"{waiting} records were not acknowledged in time. Nothing is committed past "
                    "them; they are written again after the next start."
                )
        self._raise_failure()
