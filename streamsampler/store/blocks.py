"""The form of a block: a header that tells after a crash what it holds, then the records.

Layout::

    uint32, little-endian       size of the header
    header                      a msgpack array:
        1                       version of this layout
        partition
        number                  of the block, rising within the partition
        first                   number of the first record, rising by one a record
        offsets                 int64[n], little-endian
        times                   int64[n], record timestamps, ms; -1: none
        bounds                  int64[n + 1], in the body
        whole                   uint8[n], 1: the record holds buffered spans of one trace alone
        spans                   int32[n], buffered spans in the record
        headers                 {index of the record: [[key, value], ...]}
    body                        the records' values, one after the other
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import numpy as np

from streamsampler.spans.columns import Bytes, Int32s, Int64s
from streamsampler.spans.records import Headers

_VERSION: Final = 1
_SIZE: Final = 4


@dataclass(frozen=True, slots=True)
class Block:
    """n records of one partition, as they came.

    Attributes:
        partition: The input partition.
        number: Of the block; rises within the partition.
        first: Number of its first record; the others follow by one.
        offsets: int64[n].
        times_ms: int64[n], record timestamps in ms, or -1.
        bounds: int64[n + 1]; record i is ``body[bounds[i]:bounds[i + 1]]``.
        whole: uint8[n], 1 where all of the record is one trace's, without duplicates.
        spans: int32[n], buffered spans in the record.
        headers: Of the records that have some, by index.
        body: uint8.
    """

    partition: int
    number: int
    first: int
    offsets: Int64s
    times_ms: Int64s
    bounds: Int64s
    whole: Bytes
    spans: Int32s
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
            block.first,
            block.offsets.astype("<i8").tobytes(),
            block.times_ms.astype("<i8").tobytes(),
            block.bounds.astype("<i8").tobytes(),
            block.whole.tobytes(),
            block.spans.astype("<i4").tobytes(),
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
    partition, number, first, offsets, times, bounds, whole, spans, headers = parts
    return Block(
        partition=partition,
        number=number,
        first=first,
        offsets=np.frombuffer(offsets, "<i8").astype(np.int64),
        times_ms=np.frombuffer(times, "<i8").astype(np.int64),
        bounds=np.frombuffer(bounds, "<i8").astype(np.int64),
        whole=np.frombuffer(whole, np.uint8),
        spans=np.frombuffer(spans, "<i4").astype(np.int32),
        headers={index: [(key, data) for key, data in pairs] for index, pairs in headers.items()},
        body=body,
    )
