"""Reading partitions up to where they ended at a moment."""

import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import (
    OFFSET_INVALID,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked so
    AdminClient,
    OffsetSpec,
)

from streamsampler.kafka.errors import FailStopError, NotYetError

RETRY_SECONDS: Final = 0.1
LEADERS_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 1.0
_LEADERLESS: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        # The library's own error codes begin with an underscore; they are public all the same.
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._NOENT,  # noqa: SLF001 - "no leaders found"
    }
)
_SPECS = (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The offsets that a partition has.

    Attributes:
        beginning: Of the first record.
        end: Behind the last record, of open and aborted transactions too.
    """

    beginning: int
    end: int


def read_watermarks(
    admin: AdminClient, topic: str, partitions: Collection[int], timeout_ms: int
) -> dict[int, Watermarks]:
    """Ask for the true offsets of partitions.

    Args:
        admin: Whom to ask.
        topic: The topic.
        partitions: Which.
        timeout_ms: How long a broker may take.

    Returns:
        The offsets of each.

    Raises:
        NotYetError: A leader is being chosen, or a broker did not answer in time.
        FailStopError: It will never tell.
    """
    if not partitions:
        return {}
    sought = [TopicPartition(topic, partition) for partition in partitions]
    try:
        beginnings, ends = (
            _list_offsets(admin, sought, spec, timeout_ms / 1000) for spec in _SPECS
        )
    except KafkaException as error:
        reason = error.args[0]
        words = f"{topic}: no broker told its offsets: {reason.str()}."
        if not _passes(reason):
            raise FailStopError(words) from error
        # The client would go on asking the leader that it knows.
        _ask_for_leaders(admin)
        raise NotYetError(words) from error
    return {p: Watermarks(beginnings[p], ends[p]) for p in partitions}


def insist_on_watermarks(
    admin: AdminClient, topic: str, partitions: Collection[int], timeout_ms: int
) -> dict[int, Watermarks]:
    """Ask for the true offsets of partitions until a broker tells: at a start, where nobody waits.

    Args:
        admin: Whom to ask.
        topic: The topic.
        partitions: Which.
        timeout_ms: How long brokers may take, all in all.

    Returns:
        The offsets of each.

    Raises:
        FailStopError: A broker did not tell.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            return read_watermarks(admin, topic, partitions, timeout_ms)
        except NotYetError as error:
            if time.monotonic() > deadline:
                raise FailStopError(str(error)) from error
            time.sleep(RETRY_SECONDS)


def first_offsets_since(
    admin: AdminClient, topic: str, times_ms: Mapping[int, int], timeout_ms: int
) -> dict[int, int]:
    """Find where partitions have reached points in time, behind open transactions too.

    A consumer of committed records would not find what an open transaction hides at the moment.

    Args:
        admin: Whom to ask.
        topic: The topic.
        times_ms: By partition, a timestamp in ms.
        timeout_ms: How long a broker may take.

    Returns:
        By partition, the first offset whose record's timestamp is not before it; -1 where there is
        none, or where the broker cannot tell.

    Raises:
        NotYetError: A leader is being chosen, or a broker did not answer in time.
    """
    sought = {
        TopicPartition(topic, partition): OffsetSpec.for_timestamp(ms)
        for partition, ms in times_ms.items()
    }
    try:
        return _answered(admin, sought, timeout_ms / 1000)
    except KafkaException as error:
        _ask_for_leaders(admin)
        raise NotYetError(
            f"{topic}: no broker found offsets by time: {error.args[0].str()}."
        ) from error


def _list_offsets(
    admin: AdminClient, sought: list[TopicPartition], spec: OffsetSpec, seconds: float
) -> dict[int, int]:
    return _answered(admin, dict.fromkeys(sought, spec), seconds)


def _answered(
    admin: AdminClient, sought: Mapping[TopicPartition, OffsetSpec], seconds: float
) -> dict[int, int]:
    pending = admin.list_offsets(
        dict(sought),
        # Read committed, the end would be where the oldest open transaction began.
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=seconds,
    )
    try:
        offsets = {
            place.partition: done.result(seconds + GRACE_SECONDS).offset
            for place, done in pending.items()
        }
    except TimeoutError as error:  # the client lost the answer, as it may when brokers come and go
        raise NotYetError("no broker told its offsets in time.") from error
    untold = sorted(partition for partition, told in offsets.items() if told == OFFSET_INVALID)
    if untold:
        # The client names no error here; taken for an offset, it would make them empty.
        _ask_for_leaders(admin)
        raise NotYetError(f"no broker told the offsets of partitions {untold}.")
    return offsets


def _ask_for_leaders(admin: AdminClient) -> None:
    # It need not succeed: the next try says what is wrong.
    with contextlib.suppress(KafkaException):
        admin.list_topics(timeout=LEADERS_SECONDS)


def _passes(error: KafkaError) -> bool:
    """Whether a leader is being chosen, or has just been: of a new topic, or of a lost broker."""
    return error.retriable() or error.code() in _LEADERLESS


class CatchUp:
    """Which partitions have been read up to where they ended when asked."""

    def __init__(self, watermarks: Mapping[int, Watermarks]) -> None:
        self._ends = {
            p: found.end for p, found in watermarks.items() if found.beginning < found.end
        }

    def reached(self, partition: int, offset: int) -> bool:
        """Note how far a partition has been read.

        Args:
            partition: Its number.
            offset: The next one to read: behind a record, or where an end-of-partition event
                stood. (Before an open transaction, that is no end.)

        Returns:
            Whether it has reached its end now, with this.
        """
        if partition not in self._ends or offset < self._ends[partition]:
            return False
        del self._ends[partition]
        return True

    def add(self, partition: int, end: int) -> None:
        """Wait for a partition to be read to an offset.

        Args:
            partition: Its number.
            end: The offset behind the last record that is waited for.
        """
        self._ends[partition] = end

    def forget(self, partition: int) -> None:
        """No longer wait for a partition."""
        self._ends.pop(partition, None)

    @property
    def behind(self) -> frozenset[int]:
        """The partitions that are not there yet."""
        return frozenset(self._ends)
