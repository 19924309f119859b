"""Committing offsets: done, refused for now, or refused for good."""

from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamsampler.kafka.errors import FailStopError

# The library's own error codes begin with an underscore; they are public all the same.
NOT_NOW: Final = frozenset(
    {
        # The group is moving on; the callbacks will say what is still ours.
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
        KafkaError._STATE,  # noqa: SLF001
        # The coordinator is moving, or a broker is away.
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
    }
)
"""After these, committing the same or a later checkpoint at the next interval is right."""


def commit_offsets(consumer: Consumer, offsets: Sequence[TopicPartition]) -> str | None:
    """Commit offsets, and wait for the answer.

    Args:
        consumer: The member of the group that owns the partitions.
        offsets: One for each partition, with metadata.

    Returns:
        None where all are committed, else why not now, in the broker's words.

    Raises:
        FailStopError: They were refused for good.
    """
    try:
        answered = consumer.commit(offsets=list(offsets), asynchronous=False)
        refusals = [one.error for one in answered or [] if one.error is not None]
    except KafkaException as error:
        refusals = [error.args[0]]
    for refusal in refusals:
        if refusal.code() not in NOT_NOW and not refusal.retriable():
            raise FailStopError(f"the group's offsets could not be committed: {refusal.str()}.")
    return refusals[0].str() if refusals else None
