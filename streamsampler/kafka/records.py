"""Stage 1 at Kafka's door: consumed messages to one batch, in the one format behind it.

Hot: about a microsecond a record, most of it inside confluent-kafka. No object is made for a
record beyond librdkafka's own message.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from types import MappingProxyType
from typing import Final, cast

import numpy as np
import structlog
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, Message

from streamsampler.engine.intake import is_traces
from streamsampler.kafka.read_errors import check_passing
from streamsampler.spans.columns import Booleans, Int32s, Int64s
from streamsampler.spans.formats import MalformedRecord, Translate
from streamsampler.spans.records import NO_TIME, Headers, RecordBatch, join

UNREADABLE: Final = b"\xff"
"""Stands in the batch for a record that could not be translated: no reader takes it for a span,
so the engine counts it as dead, and its offset is not missing."""

NOTHING: Final[Mapping[tuple[int, int], MalformedRecord]] = MappingProxyType({})

_log = structlog.get_logger("streamsampler.records")


@dataclass(frozen=True, slots=True)
class Reading:
    """A batch, and what it was made of.

    Attributes:
        batch: The records.
        messages: The messages they came from, in the batch's order.
    """

    batch: RecordBatch
    messages: Sequence[Message]

    @property
    def partitions(self) -> list[int]:
        """The partitions that the batch has records of."""
        numbers: list[int] = np.unique(self.batch.partitions).tolist()
        return numbers


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a call of `consume` brought.

    Attributes:
        records: Messages with records.
        ended: Partitions that were read to their end, with nothing after it, and that offset.
        gone: Partitions whose next records were deleted before they were read, and the client's
            words on it.
    """

    records: Sequence[Message]
    ended: Mapping[int, int]
    gone: Mapping[int, str] = field(default_factory=dict)


def sift(messages: Sequence[Message], live: Collection[int]) -> Arrived:
    """Part records from events and errors.

    Args:
        messages: As `consume` gave them.
        live: The partitions whose records are read; the client may still hold some of others.

    Returns:
        What there is of these.

    Raises:
        FailStopError: An error that does not pass by itself.
    """
    mine = frozenset(live)
    records = [m for m in messages if m.error() is None and m.partition() in mine]
    if len(records) == len(messages):
        return Arrived(records, {})
    ends: dict[int, int] = {}
    gone: dict[int, str] = {}
    for message in messages:
        error, partition = message.error(), message.partition()
        if error is None or partition is None:
            continue
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
            ends[partition] = message.offset() or 0
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - likewise
            gone[partition] = error.str()
        else:
            _judge(error, message.topic() or "", partition)
    last = {message.partition(): message.offset() or 0 for message in records}
    ended = {p: at for p, at in ends.items() if p in mine and last.get(p, -1) < at}
    return Arrived(records, ended, {p: words for p, words in gone.items() if p in mine})


def _judge(error: KafkaError, topic: str, partition: int) -> None:
    """Let pass what mends itself, stop at the rest."""
    check_passing(error, f"{topic}/{partition}" if topic else "the input")
    _log.warning("consumer_trouble", partition=partition, code=error.name(), text=error.str())


def read_messages(
    messages: Sequence[Message],
    latest_ms: int,
    translate: Translate | None = None,
    condemned: Mapping[tuple[int, int], MalformedRecord] = NOTHING,
    position: Callable[[int], int] = lambda _partition: 0,
) -> Reading:
    """Turn messages into a batch, without records that have been taken in already.

    The client may begin to fetch a partition anew from where it was assigned and give again what it
    gave, where pausing, resuming and a rebalance meet (librdkafka's issues 2593, 4637 and 4686).

    Args:
        messages: Without errors, in the order of their offsets within each partition.
        latest_ms: Wall clock plus allowed skew, ms since the epoch; a record's time is at most
            this.
        translate: From the wire format to OTLP protobuf; None where they are one.
        condemned: By partition and offset, records that are not to be read, and why.
        position: Tells the offset behind the last record of a partition that was taken in.

    Returns:
        The batch, grouped by partition.
    """
    partitions = np.array([message.partition() for message in messages], np.int32)
    offsets = np.array([message.offset() for message in messages], np.int64)
    if np.any(partitions[1:] < partitions[:-1]):
        order = np.argsort(partitions, kind="stable")
        partitions, offsets = partitions[order], offsets[order]
        messages = [messages[index] for index in order.tolist()]
    new = _new(partitions, offsets, position)
    if not new.all():
        again = np.unique(partitions[~new]).tolist()
        _log.warning("records_came_again", records=int((~new).sum()), partitions=again)
        partitions, offsets = partitions[new], offsets[new]
        messages = [messages[index] for index in np.flatnonzero(new).tolist()]
    # confluent-kafka's types say what may be produced; what is consumed is narrower.
    headers = cast("list[Headers | None]", [message.headers() for message in messages])
    values = [message.value() for message in messages]
    malformed = {} if translate is None else _translate(values, headers, translate)
    if condemned:
        for index, message in enumerate(messages):
            why = condemned.get((message.partition() or 0, message.offset() or 0))
            if why is not None:
                values[index] = UNREADABLE
                malformed[index] = why
    batch = join(
        partitions,
        offsets,
        _times_ms(messages, latest_ms),
        [message.key() for message in messages],
        values,
        headers,
    )
    return Reading(replace(batch, malformed=malformed), messages)


def _new(partitions: Int32s, offsets: Int64s, position: Callable[[int], int]) -> Booleans:
    """Which records lie behind all that came before them; bool[n], by partition."""
    new = np.ones(len(offsets), np.bool_)
    begins = np.flatnonzero(np.diff(partitions, prepend=-1)).tolist()
    for begin, end in pairwise([*begins, len(offsets)]):
        own = offsets[begin:end]
        reached = np.concatenate(([position(int(partitions[begin])) - 1], own[:-1]))
        new[begin:end] = own > np.maximum.accumulate(reached)
    return new


def _times_ms(messages: Sequence[Message], latest_ms: int) -> Int64s:
    pairs = chain.from_iterable([message.timestamp() for message in messages])
    stamps = np.fromiter(pairs, np.int64, 2 * len(messages)).reshape(-1, 2)
    known = stamps[:, 0] != TIMESTAMP_NOT_AVAILABLE
    return np.where(known, np.minimum(stamps[:, 1], latest_ms), NO_TIME)


def _translate(
    values: list[bytes | None], headers: Sequence[Headers | None], translate: Translate
) -> dict[int, MalformedRecord]:
    """Translate the values in place; those of other signals are left for the engine to count."""
    malformed = {}
    for index, value in enumerate(values):
        if not is_traces(headers[index]):
            continue
        try:
            values[index] = translate(value or b"")
        except MalformedRecord as error:
            values[index] = UNREADABLE
            malformed[index] = error
    return malformed
