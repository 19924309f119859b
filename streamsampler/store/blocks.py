"""The form of a block: a header that tells after a stop what it holds, then the records.

Layout::

    uint32, little-endian       size of the header
    header                      a msgpack array:
        2                       version of this layout
        partition
        number                  of the block, rising within the partition
        began                   first offset of the partition that the store covers
        since                   first offset that counts in this block and in no earlier one
        until                   offset up to which all is committed that the blocks up to this
                                one tell of
        until_ms                stream time there
        offsets                 int64[n], little-endian
        stream_ms               int64[n], stream time when each record was taken in
        bounds                  int64[n + 1], in the body
        whole                   uint8[n], 1: the record holds buffered spans of one trace alone
        spans                   int32[n], buffered spans in the record
        late                    late spans that were let out below until, `LATE_SPAN` rows
        headers                 {index of the record: [[key, value], ...]}
    body                        the records' values, one after the other

Together a partition's blocks tell all that its undecided traces have of [began, until of the last
block): where one is missing, every trace that needed it had been decided when it was deleted, and
the decision committed. What a block holds at or behind `until` may come from a transaction that
was never committed, and is read from Kafka again; a block whose `since` lies below records of the
blocks before it takes their place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import numpy as np

from streamsampler.spans.columns import Bytes, Int32s, Int64s, Rows
from streamsampler.spans.records import Headers

_VERSION: Final = 2
_SIZE: Final = 4

LATE_SPAN: Final = np.dtype(
    [
        ("offset", "<i8"),  # of its record
        ("id_hi", "<u8"),  # the span within its trace, as `traces.spans_out` remembers it
        ("id_lo", "<u8"),
        ("second", "<u4"),  # of stream time, of its trace's decision
    ]
)
"""A late span that was let out."""


@dataclass(frozen=True, slots=True)
class Block:
    """n records of one partition, as they came.

    Attributes:
        partition: The input partition.
        number: Of the block; rises within the partition.
        began: The first offset of the partition that the store covers.
        since: The first offset that counts in this block and in no earlier one.
        until: The offset up to which all is committed that the blocks up to this one tell of.
        until_ms: Stream time there.
        offsets: int64[n].
        stream_ms: int64[n], stream time when each record was taken in.
        bounds: int64[n + 1]; record i is ``body[bounds[i]:bounds[i + 1]]``.
        whole: uint8[n], 1 where all of the record is one trace's, without duplicates.
        spans: int32[n], buffered spans in the record.
        late: `LATE_SPAN` rows, below `until`.
        headers: Of the records that have some, by index.
        body: uint8.
    """

    partition: int
    number: int
    began: int
    since: int
    until: int
    until_ms: int
    offsets: Int64s
    stream_ms: Int64s
    bounds: Int64s
    whole: Bytes
    spans: Int32s
    late: Rows
    headers: Mapping[int, Headers]
    body: Bytes

    def __len__(self) -> int:
        return len(self.offsets)

    def value(self, record: int) -> bytes:
        """Copy one record's value.

        Args:
            record: Its index in the block.

        Returns:
            The bytes.
        """
        return self.body[self.bounds[record] : self.bounds[record + 1]].tobytes()


def encode_block(block: Block, body: Sequence[Bytes]) -> bytes:
    """Turn a block into bytes.

    Args:
        block: The block; its own body is not looked at.
        body: The body in parts, which are copied once, into the result.

    Returns:
        Its bytes, in the layout above.
    """
    header = msgpack.packb(
        [
            _VERSION,
            block.partition,
            block.number,
            block.began,
            block.since,
            block.until,
            block.until_ms,
            block.offsets.astype("<i8").tobytes(),
            block.stream_ms.astype("<i8").tobytes(),
            block.bounds.astype("<i8").tobytes(),
            block.whole.tobytes(),
            block.spans.astype("<i4").tobytes(),
            block.late.tobytes(),
            {index: [list(pair) for pair in pairs] for index, pairs in block.headers.items()},
        ]
    )
    parts = [part.data for part in body]
    return b"".join([len(header).to_bytes(_SIZE, "little"), header, *parts])


def decode_block(value: bytes) -> Block:
    """Read a block's bytes; the body is not copied.

    Args:
        value: What `encode_block` made.

    Returns:
        The block.

    Raises:
        ValueError: The bytes are no block of this version, or one that was cut short.
    """
    size = int.from_bytes(value[:_SIZE], "little")
    try:
        version, *parts = msgpack.unpackb(value[_SIZE : _SIZE + size], strict_map_key=False)
        _check_version(version)
        block = _block(parts, np.frombuffer(value, np.uint8, offset=_SIZE + size))
        body = int(block.bounds[-1])
    except (
        ValueError,
        TypeError,
        IndexError,
        AttributeError,
        msgpack.UnpackException,
    ) as error:  # what msgpack, NumPy and unpacking raise of parts that are others than expected
        raise ValueError(f"block header of {size} bytes cannot be read: {error}") from error
    if len(block.body) != body:
        raise ValueError(f"block body of {len(block.body)} bytes, {body} expected")
    return block


def _check_version(version: object) -> None:
    if version != _VERSION:
        raise ValueError(f"block of version {version}, where {_VERSION} was expected")


def _block(parts: list[Any], body: Bytes) -> Block:
    *numbers, offsets, times, bounds, whole, spans, late, headers = parts
    partition, number, began, since, until, until_ms = map(_whole_number, numbers)
    return Block(
        partition=partition,
        number=number,
        began=began,
        since=since,
        until=until,
        until_ms=until_ms,
        offsets=np.frombuffer(offsets, "<i8").astype(np.int64),
        stream_ms=np.frombuffer(times, "<i8").astype(np.int64),
        bounds=np.frombuffer(bounds, "<i8").astype(np.int64),
        whole=np.frombuffer(whole, np.uint8),
        spans=np.frombuffer(spans, "<i4").astype(np.int32),
        late=np.frombuffer(late, LATE_SPAN),
        headers={index: [(key, data) for key, data in pairs] for index, pairs in headers.items()},
        body=body,
    )


def _whole_number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value


def check_block(block: Block) -> None:
    """Look whether a block that somebody else may have written is whole in itself.

    Args:
        block: As it was decoded.

    Raises:
        ValueError: Its columns do not fit together.
    """
    n, sizes = len(block.offsets), np.diff(block.bounds)
    columns = (block.stream_ms, block.whole, block.spans, sizes)
    if (
        any(len(column) != n for column in columns)
        or block.bounds[0] != 0
        or (sizes < 0).any()
        or (np.diff(block.offsets) <= 0).any()
        or (np.diff(block.stream_ms) < 0).any()
        or not all(0 <= record < n for record in block.headers)
    ):
        raise ValueError(f"the columns of block {block.number} do not fit together")
