"""Records that make the engine raise: found by taking them one at a time, then set aside.

When the engine raises on a batch, nobody knows which record it was. Everything since the last
commit is undone, and the records of that batch are taken one at a time. The one that raises again,
alone, is condemned: it goes to the dead letters and the others go on.

What raises may also be a verdict that a record, or the clock, has made due; then no record is to
blame, and the same place fails again and again. After a handful of failures that no record has got
past, the worker stops.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from confluent_kafka import Message

from streamsampler.kafka.errors import FailStopError
from streamsampler.spans.formats import MalformedRecord
from streamsampler.spans.records import RecordBatch

REASON: Final = "engine_error"
IN_A_ROW: Final = 20
"""So many failures, and no good record past the last of them: not the records are at fault."""


class Suspects:
    """Which records are taken alone, and which are condemned; no Kafka in it but its messages."""

    def __init__(self) -> None:
        self._until: dict[int, int] = {}
        self._condemned: dict[tuple[int, int], MalformedRecord] = {}
        self._in_a_row = 0
        self._last = (-1, -1)  # partition and offset of the last failure

    @property
    def condemned(self) -> Mapping[tuple[int, int], MalformedRecord]:
        """By partition and offset, why a record goes to the dead letters unread."""
        return self._condemned

    def parts(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Cut what arrived into what is submitted at once.

        Args:
            messages: Records in the order of their offsets within each partition.

        Yields:
            Each suspect alone, then all the others.
        """
        if not self._until:
            yield messages
            return
        others = []
        for message in messages:
            partition, offset = message.partition() or 0, message.offset() or 0
            if offset < self._until.get(partition, -1):
                yield [message]
            else:
                self._until.pop(partition, None)
                others.append(message)
        if others:
            yield others

    def accuse(self, batch: RecordBatch, error: Exception) -> str:
        """Take note that the engine raised.

        Args:
            batch: What it was given.
            error: What it raised.

        Returns:
            The error's type and place, for the log; not its text, which may quote the record.

        Raises:
            FailStopError: It raises on one record after the other: they are not to blame.
        """
        told = _kind_and_place(error)
        partition, offset = int(batch.partitions[0]), int(batch.offsets[0])
        if len(batch) == 1 and offset < self._until.get(partition, -1):
            words = traceback.format_exception_only(error)[-1].strip()
            self._condemned[partition, offset] = MalformedRecord(REASON, words)
            self._count(partition, offset, told, error)
        else:
            for number in np.unique(batch.partitions).tolist():
                last = int(batch.offsets[batch.partitions == number].max())
                self._until[number] = max(self._until.get(number, -1), last + 1)
        return told

    def accuse_nobody(self, partition: int, position: int, error: Exception) -> str:
        """Take note that the engine raised while nothing but stream time moved on.

        Args:
            partition: The input partition.
            position: The offset behind the last record taken in.
            error: What it raised.

        Returns:
            The error's type and place, as `accuse` does.

        Raises:
            FailStopError: It raises again and again.
        """
        told = _kind_and_place(error)
        self._count(partition, position - 1, told, error)
        return told

    def _count(self, partition: int, offset: int, told: str, error: Exception) -> None:
        self._in_a_row += 1
        self._last = (partition, offset)
        if self._in_a_row >= IN_A_ROW:
            raise FailStopError(
                f"the engine failed {IN_A_ROW} times in a row at partition {partition}, offset "
                f"{offset}, and before, so that the records are not at fault; the last time with: "
                f"{told}. Nothing is committed past them. This is an error of streamsampler: "
                "please report it."
            ) from error

    def acquit(self, batch: RecordBatch) -> None:
        """Take note that the engine took a batch.

        Args:
            batch: What it was given.
        """
        partition, offset = self._last
        if self._in_a_row and np.any((batch.partitions == partition) & (batch.offsets > offset)):
            self._in_a_row = 0

    def committed(self, partition: int, low_watermark: int) -> None:
        """Forget condemned records that are never read again.

        Args:
            partition: The input partition.
            low_watermark: From where it would be read again.
        """
        self._pardon(lambda number, offset: number == partition and offset < low_watermark)

    def forget(self, partition: int) -> None:
        """Forget what is known of a partition's records: it is somebody else's now."""
        self._until.pop(partition, None)
        self._pardon(lambda number, _offset: number == partition)

    def _pardon(self, meant: Callable[[int, int], bool]) -> None:
        for place in [place for place in self._condemned if meant(*place)]:
            del self._condemned[place]


def _kind_and_place(error: Exception) -> str:
    """Such as ``KeyError at fold.py:80``."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + at
