"""What becomes a block: its parts, what its header will say of the partition, its late spans."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int32s, Int64s, Rows
from streamsampler.spans.compiled import kernel
from streamsampler.spans.records import Headers
from streamsampler.store.blocks import LATE_SPAN, Block

NOTHING: Final[Bytes] = np.empty(0, np.uint8)
NOT_TOLD: Final = -1


@dataclass(slots=True)
class Reach:
    """What the store tells of a partition, for the headers of blocks to come.

    Attributes:
        began: The first offset that it covers.
        since: The first offset that counts in the block being filled.
        until: The offset up to which all that was taken in is committed.
        until_ms: Stream time there.
    """

    began: int
    since: int
    until: int
    until_ms: int


@dataclass(slots=True)
class OpenBlock:
    """The block being filled: parts of batches, joined when it is written or read.

    Attributes:
        first: Number of its first record.
        size: Bytes of its records.
        parts: Their values.
        offsets: Of its records, and so on to `spans`: part by part.
        stream_ms: Stream time when each was taken in.
        sizes: Bytes of each.
        whole: 1 where all of the record is one trace's, without duplicates.
        spans: Buffered spans in each.
        headers: Of the records that have some, by index.
        count: How many records.
        live: How many undecided spans.
    """

    first: int
    size: int = 0
    parts: list[Bytes] = field(default_factory=list)
    offsets: list[Int64s] = field(default_factory=list)
    stream_ms: list[Int64s] = field(default_factory=list)
    sizes: list[Int64s] = field(default_factory=list)
    whole: list[Bytes] = field(default_factory=list)
    spans: list[Int32s] = field(default_factory=list)
    headers: dict[int, Headers] = field(default_factory=dict)
    count: int = 0
    live: int = 0

    def block(self, partition: int, number: int, reach: Reach, late: Rows, body: Bytes) -> Block:
        """Tell what is in it so far.

        Args:
            partition: Whose it is.
            number: The block's.
            reach: For its header.
            late: For its header.
            body: The values; empty where they are not wanted.

        Returns:
            The block.
        """
        bounds = np.zeros(self.count + 1, np.int64)
        if self.count:
            np.cumsum(np.concatenate(self.sizes), out=bounds[1:])
        nothing = np.empty(0, np.int64)
        return Block(
            partition=partition,
            number=number,
            began=reach.began,
            since=reach.since,
            until=reach.until,
            until_ms=reach.until_ms,
            offsets=np.concatenate([nothing, *self.offsets]),
            stream_ms=np.concatenate([nothing, *self.stream_ms]),
            bounds=bounds,
            whole=np.concatenate([NOTHING, *self.whole]),
            spans=np.concatenate([np.empty(0, np.int32), *self.spans]),
            late=late,
            headers=self.headers,
            body=body,
        )


class LateSpans:
    """The late spans let out since the low watermark, and which block tells of each."""

    def __init__(self) -> None:
        self._rows: Rows = np.empty(0, LATE_SPAN)
        self._blocks: Int64s = np.empty(0, np.int64)

    def add(self, late: Rows, block: int) -> None:
        """Add late spans.

        Args:
            late: `LATE_SPAN` rows.
            block: Which block tells of them; `NOT_TOLD` for none yet.
        """
        if len(late):
            self._rows = np.concatenate([self._rows, late])
            self._blocks = np.append(self._blocks, np.full(len(late), block))

    def tell(self, block: int, until: int) -> Rows:
        """Find those that a block is to tell of now.

        Args:
            block: Its number.
            until: The offset up to which all is committed; what lies behind waits.

        Returns:
            `LATE_SPAN` rows of which no block tells yet.
        """
        now = (self._blocks == NOT_TOLD) & (self._rows["offset"] < until)
        self._blocks[now] = block
        told: Rows = self._rows[now]
        return told

    def forget(self, low_watermark: int) -> None:
        """Drop those that no one would ask for who takes over from there.

        Args:
            low_watermark: The first offset that an undecided trace still needs.
        """
        if len(self._rows):
            kept = self._rows["offset"] >= low_watermark
            self._rows, self._blocks = self._rows[kept], self._blocks[kept]

    def deleted(self, blocks: list[int]) -> None:
        """Learn that blocks are gone: what they told is to be told again.

        Args:
            blocks: Their numbers.
        """
        if len(self._rows):
            self._blocks[np.isin(self._blocks, blocks)] = NOT_TOLD


def cut_out(buffer: Bytes, bounds: Int64s, chosen: Int64s, sizes: Int64s) -> Bytes:
    """Cut records out of a buffer; they are not copied where they stand side by side.

    Args:
        buffer: uint8.
        bounds: int64, where each record begins and ends.
        chosen: int64[n], which records, rising; one at least.
        sizes: int64[n], bytes of these.

    Returns:
        Their bytes, joined.
    """
    if chosen[-1] - chosen[0] == len(chosen) - 1:
        return buffer[bounds[chosen[0]] : bounds[chosen[-1] + 1]]
    ends = np.cumsum(sizes)
    joined = np.empty(ends[-1], np.uint8)
    copy_records(buffer, bounds, chosen, joined, ends - sizes)
    return joined


@kernel
def copy_records(
    source: Bytes, bounds: Int64s, chosen: Int64s, target: Bytes, starts: Int64s
) -> None:
    """Copy records from one buffer to places in another.

    Args:
        source: uint8.
        bounds: int64, where each record of the source begins and ends.
        chosen: int64[n], which records.
        target: uint8, written.
        starts: int64[n], where in the target each goes.
    """
    # Unsigned positions, so that no test for a negative index keeps the loop from vectors.
    for place in range(len(chosen)):
        begin = np.uint64(bounds[chosen[place]])
        size = np.uint64(bounds[chosen[place] + 1]) - begin
        start = np.uint64(starts[place])
        for index in range(size):
            target[start + index] = source[begin + index]
