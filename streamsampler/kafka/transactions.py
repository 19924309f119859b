"""One Kafka transaction after the other: begun by the first record, then committed or aborted.

What librdkafka says of an error decides what follows: *retriable*, the same call again; *requires
an abort*, the transaction is undone and its work done again; *fatal*, the producer is of no use any
more. What fences a worker that the group has thrown out is the group metadata that goes with the
offsets (KIP-447), so it is asked for at each commit. The broker does not check who owns a
partition: that a revoked one is in no commit again is the loop's duty.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from streamsampler.kafka.errors import FailStopError, RestartError, RollBackError
from streamsampler.kafka.fatal import fatal_error
from streamsampler.kafka.rights import missing_right

CALL_SECONDS: Final = 5.0
"""How long one call may take before it is asked whether to go on waiting."""
GIVE_UP_SECONDS: Final = 60.0
"""How long brokers that answer nothing are waited for; well within max.poll.interval.ms."""
FIRST_SECONDS: Final = 120.0
"""Likewise at the start, when a coordinator may have to load its log."""

_log = structlog.get_logger("streamsampler.transactions")


def _never() -> bool:
    return False


class Transactions:
    """The transactions of one producer.

    Args:
        producer: With a transactional id; stays its opener's.
        overdue: Asked while a broker does not answer; true: wait no longer.
    """

    def __init__(self, producer: Producer, overdue: Callable[[], bool] = _never) -> None:
        self._producer = producer
        self._overdue = overdue
        self._open = False

    @property
    def open(self) -> bool:
        """Whether one has begun and neither been committed nor aborted."""
        return self._open

    def start(self) -> None:
        """Register with the coordinator, which ends what an earlier process of our id left open.

        Raises:
            RestartError: The producer is of no use.
            FailStopError: It waited too long, or the user lacks a right.
        """
        self._insist("init", lambda: self._producer.init_transactions(CALL_SECONDS), FIRST_SECONDS)

    def begin(self) -> None:
        """Begin one, unless one is open.

        Raises:
            RestartError: The producer is of no use.
        """
        if not self._open:
            self._insist("begin", self._producer.begin_transaction)
            self._open = True

    def commit(self, consumer: Consumer, offsets: Sequence[TopicPartition]) -> None:
        """Commit what was written since the last commit, together with offsets.

        Args:
            consumer: The member of the group; its metadata says of which generation.
            offsets: One for each partition, with metadata.

        Raises:
            RollBackError: It was refused and must be aborted: a record was not written, or the
                group has moved on without this member.
            RestartError: The producer is of no use; whether this was committed, the broker knows.
            FailStopError: It waited too long.
        """
        self.begin()
        if offsets:
            self._insist(
                "send offsets",
                lambda: self._producer.send_offsets_to_transaction(
                    list(offsets), consumer.consumer_group_metadata(), CALL_SECONDS
                ),
            )
        self._insist("commit", lambda: self._producer.commit_transaction(CALL_SECONDS))
        self._open = False

    def abort(self) -> None:
        """Undo what was written since the last commit; nothing where none is open.

        Raises:
            RestartError: The producer is of no use.
            FailStopError: It waited too long.
        """
        if not self._open:
            return
        try:
            self._insist("abort", lambda: self._producer.abort_transaction(CALL_SECONDS))
        except RollBackError as error:
            raise RestartError(f"an abort was refused: {error}") from error
        self._open = False

    def _insist(
        self, what: str, call: Callable[[], None], seconds: float = GIVE_UP_SECONDS
    ) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                call()
            except (KafkaException, SystemError) as failure:
                error = fatal_error(failure)
                if error is None:
                    raise
                words = f"transaction, {what}: {error.str()} ({error.name()})"
                if end := _end_of(error, words):
                    raise end from failure
                if self._overdue():
                    raise FailStopError(
                        f"{words}. Nothing is committed past the last commit; what was done since "
                        "is done again after the next start."
                    ) from failure
                if time.monotonic() > deadline:
                    raise RestartError(words) from failure
                _log.warning("transaction_retried", what=what, code=error.name(), text=error.str())
            else:
                return


def _end_of(error: KafkaError, words: str) -> Exception | None:
    """What an error comes to that no other try mends; None where one may."""
    if right := missing_right(error):
        return FailStopError(f"{words}: {right}.")
    if error.fatal():
        return RestartError(words)
    if error.txn_requires_abort():
        return RollBackError(words)
    return None if error.retriable() else RestartError(words)
