"""Dead letters: a record that cannot be used, untouched, with headers for why and from where."""

from dataclasses import dataclass
from typing import Final, cast

from confluent_kafka import Message

PREFIX: Final = "streamsampler."
RawHeaders = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """A record for the dead-letter topic.

    Attributes:
        key: The record's own.
        value: The record's own.
        headers: The record's own, then ours, whose names begin with `PREFIX`.
    """

    key: bytes | None
    value: bytes | None
    headers: RawHeaders


def dead_letter(message: Message, reason: str, detail: str, worker_id: str) -> DeadLetterRecord:
    """Make the dead letter of a record.

    Args:
        message: The record as it was read.
        reason: A word for metrics, such as "bad_json".
        detail: A sentence that says what and where.
        worker_id: Who could not read it.

    Returns:
        The record to write.
    """
    _, timestamp_ms = message.timestamp()
    ours = {
        "reason": reason,
        "detail": detail,
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": timestamp_ms,
        "worker": worker_id,
    }
    # confluent-kafka's types say what may be produced; what is consumed is narrower.
    headers = list(cast("RawHeaders", message.headers() or []))
    headers += [(PREFIX + name, str(value).encode()) for name, value in ours.items()]
    return DeadLetterRecord(message.key(), message.value(), headers)
