"""Checkpoints as committed offsets, and where reading begins after one.

The offset committed is the low watermark; the commit's metadata carries the rest::

    v1 position=<offset> stream_time_ms=<ms>
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from confluent_kafka import TopicPartition

from streamsampler.kafka.errors import FailStopError
from streamsampler.sampler import Checkpoint

NO_STREAM_TIME: Final = -1
_METADATA = re.compile(r"v1 position=(\d{1,18}) stream_time_ms=(-1|\d{1,18})", re.ASCII)


def to_commit(topic: str, partition: int, checkpoint: Checkpoint) -> TopicPartition:
    """Write a checkpoint as an offset to commit.

    Args:
        topic: The input topic.
        partition: The partition.
        checkpoint: Where it stands.

    Returns:
        The low watermark as offset, the rest as metadata.
    """
    metadata = f"v1 position={checkpoint.position} stream_time_ms={checkpoint.stream_time_ms}"
    return TopicPartition(topic, partition, checkpoint.low_watermark, metadata)


def from_committed(committed: TopicPartition) -> Checkpoint | None:
    """Read a committed offset as a checkpoint.

    Args:
        committed: As the group coordinator gave it.

    Returns:
        The checkpoint; None where nothing is committed. Metadata that is missing, foreign or
        older than its offset counts as none: then nothing past the offset has been dealt with.
    """
    if committed.offset < 0:
        return None
    found = _METADATA.fullmatch(committed.metadata or "")
    if found is None or int(found[1]) < committed.offset:
        return Checkpoint(committed.offset, committed.offset, NO_STREAM_TIME)
    return Checkpoint(committed.offset, int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition is taken up.

    Attributes:
        checkpoint: What the engine resumes from.
        beginning: The first offset that the topic still has; where records are needed that lie
            before it, they are gone.
    """

    checkpoint: Checkpoint
    beginning: int


def resolve_start(
    name: str,
    committed: Checkpoint | None,
    beginning: int,
    end: int,
    *,
    start: Literal["earliest", "latest"],
    out_of_range: Literal["stop", "earliest"],
) -> Start:
    """Decide where a partition is taken up.

    Args:
        name: The partition as sentences call it.
        committed: The group's checkpoint, if it has one.
        beginning: The first offset that the topic still has.
        end: The offset behind the last record.
        start: Where to begin without a checkpoint.
        out_of_range: What to do where the checkpoint's offset is not in the topic any more.

    Returns:
        The checkpoint to resume from, which may lie before the topic's beginning: the local store
        may have what the topic has not.

    Raises:
        FailStopError: The offset is not there, and the setting says to stop.
    """
    if committed is None:
        return Start(_fresh(beginning if start == "earliest" else end), beginning)
    if beginning <= committed.low_watermark and committed.position <= end:
        return Start(committed, beginning)
    if out_of_range == "stop":
        raise FailStopError(
            f"{name}: the group stands at offsets {committed.low_watermark} to "
            f"{committed.position} and the topic has {beginning} to {end}: records were deleted "
            "before they were decided on, or the topic was made anew. Set "
            "input.out_of_range: earliest to go on with what is left."
        )
    if committed.position > end:
        # Its records are others than those dealt with.
        return Start(_fresh(beginning), beginning)
    return Start(committed, beginning)


def _fresh(offset: int) -> Checkpoint:
    return Checkpoint(offset, offset, NO_STREAM_TIME)
