"""Stage 1, records to a buffer: a batch's values joined, with the bounds of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streamsampler.spans.columns import Bytes, Int32s, Int64s
from streamsampler.spans.malformed import MalformedRecord

Headers = Sequence[tuple[str, bytes]]
NO_TIME = -1


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """n records, grouped by partition, in the order of their offsets within each.

    Attributes:
        partitions: int32[n].
        offsets: int64[n].
        times_ms: int64[n], record timestamps in ms since the epoch; `NO_TIME` where the record
            has none, as in a file: then the largest span end in it counts.
        buffer: uint8, the values one after the other.
        bounds: int64[n + 1]; record i is ``buffer[bounds[i]:bounds[i + 1]]``.
        keys: uint8, the keys one after the other.
        key_bounds: int64[n + 1], like `bounds`; an absent key is an empty one.
        headers: The records' headers; None where a record has none.
        malformed: By index, why a record could not be translated. Its value is one that no reader
            takes for a span.
    """

    partitions: Int32s
    offsets: Int64s
    times_ms: Int64s
    buffer: Bytes
    bounds: Int64s
    keys: Bytes
    key_bounds: Int64s
    headers: Sequence[Headers | None]
    malformed: Mapping[int, MalformedRecord] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets)

    def value(self, record: int) -> bytes:
        """Copy one record's value out of the buffer.

        Args:
            record: Its index in the batch.

        Returns:
            The value's bytes; empty for an absent one.
        """
        return self.buffer[self.bounds[record] : self.bounds[record + 1]].tobytes()

    def key(self, record: int) -> bytes:
        """Copy one record's key.

        Args:
            record: Its index in the batch.

        Returns:
            The key's bytes; empty for an absent one.
        """
        return self.keys[self.key_bounds[record] : self.key_bounds[record + 1]].tobytes()


def join(
    partitions: Sequence[int] | npt.NDArray[np.integer],
    offsets: Sequence[int] | npt.NDArray[np.integer],
    times_ms: Sequence[int] | npt.NDArray[np.integer],
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers | None],
) -> RecordBatch:
    """Join the fields of n records into one batch.

    Args:
        partitions: Of each record; equal ones stand together.
        offsets: Rising within a partition.
        times_ms: Record timestamps in ms since the epoch, or `NO_TIME`.
        keys: None for an absent key.
        values: None for an absent value, which reads as an empty one.
        headers: None for no headers.

    Returns:
        The batch. The values are copied once.
    """
    buffer, bounds = _joined(values)
    key_buffer, key_bounds = _joined(keys)
    return RecordBatch(
        partitions=np.asarray(partitions, np.int32),
        offsets=np.asarray(offsets, np.int64),
        times_ms=np.asarray(times_ms, np.int64),
        buffer=buffer,
        bounds=bounds,
        keys=key_buffer,
        key_bounds=key_bounds,
        headers=headers,
    )


def _joined(parts: Sequence[bytes | None]) -> tuple[Bytes, Int64s]:
    present = [part or b"" for part in parts]
    bounds = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, present), np.int64, len(present)), out=bounds[1:])
    return np.frombuffer(b"".join(present), np.uint8), bounds
