"""The blocks of one partition: filling one, finding records again, knowing which are done with.

Records get numbers that rise by one. A block is known by its first record's number, so that a
trace needs four bytes to name a record. A block counts the buffered spans in it; when the last of
them is decided it is *disposable*, and the shelf's owner says when it may be deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from streamsampler.spans.columns import Bytes, Int32s, Int64s
from streamsampler.spans.compiled import kernel
from streamsampler.spans.records import Headers
from streamsampler.store.blocks import Block, encode_block
from streamsampler.store.rocks import BlockStore

_NOTHING: Bytes = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Found:
    """n records read back.

    Attributes:
        body: uint8, their values one after the other, in the order asked for.
        bounds: int64[n + 1], in the body.
        whole: uint8[n], 1 where all of the record is one trace's, without duplicates.
        spans: int32[n], buffered spans in the record.
        headers: Of the records that have some, by index.
    """

    body: Bytes
    bounds: Int64s
    whole: Bytes
    spans: Int32s
    headers: Mapping[int, Headers]


@dataclass(slots=True)
class _Open:
    """The block being filled: parts of batches, joined when it is written or read."""

    first: int
    size: int = 0
    parts: list[Bytes] = field(default_factory=list)
    offsets: list[Int64s] = field(default_factory=list)
    times: list[Int64s] = field(default_factory=list)
    sizes: list[Int64s] = field(default_factory=list)
    whole: list[Bytes] = field(default_factory=list)
    spans: list[Int32s] = field(default_factory=list)
    headers: dict[int, Headers] = field(default_factory=dict)
    count: int = 0

    def block(self, partition: int, number: int, body: Bytes) -> Block:
        """What is in it so far, as a block with this body."""
        bounds = np.zeros(self.count + 1, np.int64)
        if self.count:
            np.cumsum(np.concatenate(self.sizes), out=bounds[1:])
        nothing = np.empty(0, np.int64)
        return Block(
            partition=partition,
            number=number,
            first=self.first,
            offsets=np.concatenate([nothing, *self.offsets]),
            times_ms=np.concatenate([nothing, *self.times]),
            bounds=bounds,
            whole=np.concatenate([_NOTHING, *self.whole]),
            spans=np.concatenate([np.empty(0, np.int32), *self.spans]),
            headers=self.headers,
            body=body,
        )


class Shelf:
    """Fills blocks, puts them into the store, and reads records back."""

    def __init__(self, store: BlockStore, partition: int, block_bytes: int) -> None:
        """Begin with an empty shelf; what the store holds of the partition is deleted.

        Args:
            store: Where full blocks go.
            partition: Whose records these are.
            block_bytes: A block is full when it holds so many bytes of records.

        Raises:
            StoreError: The store cannot be written.
        """
        self._store = store
        self._partition = partition
        self._block_bytes = block_bytes
        self._number = store.clear(partition)
        # Of each full block that is not disposable, oldest first: its number, the number of its
        # first record, and how many buffered spans it holds.
        self._numbers: Int64s = np.empty(0, np.int64)
        self._firsts: Int64s = np.empty(0, np.int64)
        self._live: Int64s = np.empty(0, np.int64)
        self._open = _Open(0)
        self._open_live = 0
        self._disposable: list[int] = []

    @property
    def blocks(self) -> int:
        """How many full blocks are held."""
        return len(self._numbers)

    def append(  # noqa: PLR0913 - the columns of one table
        self, buffer: Bytes, bounds: Int64s, chosen: Int64s, offsets: Int64s, times_ms: Int64s,
        whole: Bytes, spans: Int32s, headers: Mapping[int, Headers],
    ) -> None:  # fmt: skip
        """Add records; full blocks go to the store.

        Args:
            buffer: uint8, a batch's values.
            bounds: int64, where each value of the batch begins and ends.
            chosen: int64[n], which records of the batch; they get the next n numbers.
            offsets: int64[n], of the chosen.
            times_ms: int64[n], of the chosen.
            whole: uint8[n], 1 where all of the record is one trace's, without duplicates.
            spans: int32[n], buffered spans in the record.
            headers: Of the chosen that have some, by index.

        Raises:
            StoreError: A block could not be written.
        """
        sizes = bounds[chosen + 1] - bounds[chosen]
        ends = np.cumsum(sizes)
        done = 0
        while done < len(chosen):
            before = int(ends[done - 1]) if done else 0
            room = max(self._block_bytes - self._open.size, 1)
            stop = max(int(np.searchsorted(ends, before + room, "left")) + 1, done + 1)
            part = slice(done, min(stop, len(chosen)))
            block = self._open
            block.parts.append(_cut_out(buffer, bounds, chosen[part], sizes[part]))
            block.size += len(block.parts[-1])
            for index in range(part.start, part.stop) if headers else ():
                if index in headers:
                    block.headers[block.count + index - part.start] = headers[index]
            block.offsets.append(offsets[part])
            block.times.append(times_ms[part])
            block.sizes.append(sizes[part])
            block.whole.append(whole[part])
            block.spans.append(spans[part])
            block.count += part.stop - part.start
            self._open_live += int(spans[part].sum())
            done = part.stop
            if block.size >= self._block_bytes:
                self._close_block()

    def _close_block(self) -> None:
        block = self._open
        if self._open_live:
            self._store.put(
                self._partition,
                self._number,
                encode_block(block.block(self._partition, self._number, _NOTHING), block.parts),
            )
            self._numbers = np.append(self._numbers, self._number)
            self._firsts = np.append(self._firsts, block.first)
            self._live = np.append(self._live, self._open_live)
            self._number += 1
        # Where every trace of it has been decided already, it never meets the disk.
        self._open = _Open(block.first + block.count)
        self._open_live = 0

    def release(self, records: Int64s) -> None:
        """Note that spans are decided; a block without undecided ones becomes disposable.

        Args:
            records: int64[spans], the number of the record that each came in.
        """
        if not len(records):
            return
        in_open = records >= self._open.first
        self._open_live -= int(in_open.sum())
        full = records[~in_open]
        if not len(full):
            return
        places = np.searchsorted(self._firsts, full, "right") - 1
        self._live -= np.bincount(places, minlength=len(self._live))
        done = self._live == 0
        if done.any():
            for number in self._numbers[done].tolist():
                self._disposable.append(number)
            self._numbers = self._numbers[~done]
            self._firsts = self._firsts[~done]
            self._live = self._live[~done]

    def disposable(self) -> list[int]:
        """Tell which blocks no undecided trace needs.

        Returns:
            Their numbers, since the last `dispose`.
        """
        return list(self._disposable)

    def dispose(self, numbers: list[int]) -> None:
        """Delete blocks whose traces' decisions are committed.

        Args:
            numbers: Of disposable blocks.

        Raises:
            StoreError: The store cannot be written.
        """
        self._store.delete(self._partition, numbers)
        gone = set(numbers)
        self._disposable = [number for number in self._disposable if number not in gone]

    def find(self, records: Int64s) -> Found:
        """Read records back.

        Args:
            records: int64[n], numbers of records that undecided traces have in this shelf.

        Returns:
            The records in the order asked for.

        Raises:
            StoreError: A block cannot be read.
        """
        places = np.searchsorted(self._firsts, records, "right") - 1
        places[records >= self._open.first] = len(self._firsts)
        blocks = {place: self._block(place) for place in np.unique(places).tolist()}
        indexes = np.empty(len(records), np.int64)
        sizes = np.empty(len(records), np.int64)
        whole = np.empty(len(records), np.uint8)
        spans = np.empty(len(records), np.int32)
        headers: dict[int, Headers] = {}
        order = np.argsort(places, kind="stable")
        cuts = np.flatnonzero(np.diff(places[order])) + 1
        members = dict(zip(blocks, np.split(order, cuts), strict=True))
        for place, block in blocks.items():
            mine = members[place]
            index = records[mine] - block.first
            indexes[mine] = index
            sizes[mine] = block.bounds[index + 1] - block.bounds[index]
            whole[mine] = block.whole[index]
            spans[mine] = block.spans[index]
            if block.headers:
                for here, there in zip(mine.tolist(), index.tolist(), strict=True):
                    if there in block.headers:
                        headers[here] = block.headers[there]
        bounds = np.zeros(len(records) + 1, np.int64)
        np.cumsum(sizes, out=bounds[1:])
        body = np.empty(bounds[-1], np.uint8)
        for place, block in blocks.items():
            mine = members[place]
            copy_records(block.body, block.bounds, indexes[mine], body, bounds[mine])
        return Found(body, bounds, whole, spans, headers)

    def live_blocks(self) -> list[Block]:
        """Read everything that undecided traces may need, oldest first.

        Returns:
            The full blocks, then what is in the one being filled.

        Raises:
            StoreError: A block cannot be read.
        """
        return [self._block(place) for place in range(len(self._numbers) + 1)]

    def _block(self, place: int) -> Block:
        if place == len(self._numbers):
            body = np.concatenate([_NOTHING, *self._open.parts])
            body.setflags(write=False)  # as a block from the store, so that kernels see one type
            return self._open.block(self._partition, self._number, body)
        return self._store.block(self._partition, int(self._numbers[place]))


def _cut_out(buffer: Bytes, bounds: Int64s, chosen: Int64s, sizes: Int64s) -> Bytes:
    """Some records of a buffer, joined; not copied where they stand side by side."""
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
