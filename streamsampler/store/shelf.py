"""The blocks of one partition: filling one, finding records again, knowing which are done with.

Records get numbers that rise by one. A block is known by its first record's number, so that a
trace needs four bytes to name a record. A block counts the buffered spans in it; when the last of
them is decided it is *disposable*, and the shelf's owner says when it may be deleted.

A full block is always put, also when it is disposable by then: a number that is missing in the
store means a block that was deleted after a commit, and nothing else.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int32s, Int64s, Rows
from streamsampler.spans.records import Headers
from streamsampler.store.blocks import LATE_SPAN, Block, encode_block
from streamsampler.store.filling import (
    NOT_TOLD,
    NOTHING,
    LateSpans,
    OpenBlock,
    Reach,
    copy_records,
    cut_out,
)
from streamsampler.store.found import Found, Held
from streamsampler.store.rocks import BlockStore

_TO_THE_END: Final = int(np.iinfo(np.int64).max)


class Shelf:
    """Fills blocks, puts them into the store, and reads records back."""

    def __init__(self, store: BlockStore, partition: int, block_bytes: int, began: int = 0) -> None:
        """Begin with an empty shelf; what the store holds of the partition is not touched.

        Args:
            store: Where full blocks go.
            partition: Whose records these are.
            block_bytes: A block is full when it holds so many bytes of records.
            began: The first offset that the blocks to come tell of.
        """
        self._store = store
        self._partition = partition
        self._block_bytes = block_bytes
        self._number = 0
        # Of each full block that is not disposable, oldest first: its number, the number of its
        # first record, and how many buffered spans it holds.
        self._numbers: Int64s = np.empty(0, np.int64)
        self._firsts: Int64s = np.empty(0, np.int64)
        self._live: Int64s = np.empty(0, np.int64)
        self._open = OpenBlock(0)
        self._reach = Reach(began, began, began, -1)
        self._late = LateSpans()
        self._disposable: list[int] = []
        # By number: bytes of each block that was not deleted; of adopted ones, where their records
        # cease to count, and which are whole where their headers say otherwise.
        self._sizes: dict[int, int] = {}
        self._behind: dict[int, int] = {}
        self._whole: dict[int, Bytes] = {}

    @property
    def blocks(self) -> int:
        """How many full blocks are held."""
        return len(self._numbers)

    @property
    def size(self) -> int:
        """Bytes that the store holds of the partition."""
        return sum(self._sizes.values())

    @property
    def until(self) -> int:
        """The offset up to which all that was taken in is committed."""
        return self._reach.until

    @property
    def next_record(self) -> int:
        """The number that the next record gets."""
        return self._open.first + self._open.count

    def clear(self) -> None:
        """Delete what the store holds of the partition; nothing is on the shelf afterwards.

        Raises:
            StoreError: The store cannot be written.
        """
        self._number = max(self._number, self._store.clear(self._partition))
        self._numbers = self._firsts = self._live = np.empty(0, np.int64)
        self._open = OpenBlock(self.next_record)
        for held in (self._disposable, self._sizes, self._behind, self._whole):
            held.clear()

    def adopt(
        self, block: Block, whole: Bytes | None, live: int, late: Rows, behind: int, size: int
    ) -> None:
        """Take over a block that the store holds; its records get the next numbers.

        Args:
            block: Newer than those that were adopted before.
            whole: uint8[n], 1 where all of the record is one trace's, without duplicates; None
                where it is as the header says.
            live: Buffered spans in it. Without any it is deleted, as what was decided on it is
                committed.
            late: `LATE_SPAN` rows that it tells of, those that still matter.
            behind: The offset from which on its records do not count.
            size: Its bytes.

        Raises:
            StoreError: The store cannot be written.
        """
        self._number = block.number + 1
        self._reach = Reach(block.began, block.until, block.until, block.until_ms)
        self._late.add(late, block.number)
        first = self._open.first
        self._open = OpenBlock(first + len(block))
        if not live:
            self._delete([block.number])
            return
        self._numbers = np.append(self._numbers, block.number)
        self._firsts = np.append(self._firsts, first)
        self._live = np.append(self._live, live)
        self._sizes[block.number] = size
        self._behind[block.number] = behind
        if whole is not None:
            self._whole[block.number] = whole

    def recount(self, found: Mapping[int, tuple[int, Bytes | None]]) -> None:
        """Learn anew what of the full blocks is buffered; those without anything are deleted.

        Args:
            found: By number, what `adopt` is told as `live` and `whole`.

        Raises:
            StoreError: The store cannot be written.
        """
        before = len(self._disposable)
        for place, number in enumerate(self._numbers.tolist()):
            self._live[place], whole = found[number]
            self._whole.pop(number, None)
            if whole is not None:
                self._whole[number] = whole
        self._set_aside()
        gone = self._disposable[before:]
        del self._disposable[before:]
        self._delete(gone)

    def reached(self, until: int, until_ms: int) -> None:
        """Learn up to where all that was taken in is committed, and all decisions on it known.

        Args:
            until: The offset behind the last such record.
            until_ms: Stream time there.
        """
        self._reach.until, self._reach.until_ms = until, until_ms

    def append(  # noqa: PLR0913 - the columns of one table
        self, buffer: Bytes, bounds: Int64s, chosen: Int64s, offsets: Int64s, stream_ms: Int64s,
        whole: Bytes, spans: Int32s, headers: Mapping[int, Headers],
    ) -> None:  # fmt: skip
        """Add records; full blocks go to the store.

        Args:
            buffer: uint8, a batch's values.
            bounds: int64, where each value of the batch begins and ends.
            chosen: int64[n], which records of the batch; they get the next n numbers.
            offsets: int64[n], of the chosen.
            stream_ms: int64[n], stream time when each of the chosen was taken in.
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
            block.parts.append(cut_out(buffer, bounds, chosen[part], sizes[part]))
            block.size += len(block.parts[-1])
            for index in range(part.start, part.stop) if headers else ():
                if index in headers:
                    block.headers[block.count + index - part.start] = headers[index]
            block.offsets.append(offsets[part])
            block.stream_ms.append(stream_ms[part])
            block.sizes.append(sizes[part])
            block.whole.append(whole[part])
            block.spans.append(spans[part])
            block.count += part.stop - part.start
            block.live += int(spans[part].sum())
            done = part.stop
            if block.size >= self._block_bytes:
                self._put()

    def put_open(self) -> None:
        """Put the block being filled, empty or not, so that the store tells of all it can.

        Raises:
            StoreError: It could not be written.
        """
        self._put()

    def _put(self) -> None:
        block, reach, number = self._open, self._reach, self._number
        late = self._late.tell(number, reach.until)
        header = block.block(self._partition, number, reach, late, NOTHING)
        value = encode_block(header, block.parts)
        self._store.put(self._partition, number, value)
        self._sizes[number] = len(value)
        if block.live:
            self._numbers = np.append(self._numbers, number)
            self._firsts = np.append(self._firsts, block.first)
            self._live = np.append(self._live, block.live)
        else:
            self._disposable.append(number)
        self._number += 1
        self._open = OpenBlock(self.next_record)
        if block.count:
            self._reach.since = int(header.offsets[-1]) + 1

    def note_late(self, late: Rows) -> None:
        """Note late spans that were let out; blocks tell of them once they are committed.

        Args:
            late: `LATE_SPAN` rows.
        """
        self._late.add(late, NOT_TOLD)

    def release(self, records: Int64s) -> None:
        """Note that spans are decided; a block without undecided ones becomes disposable.

        Args:
            records: int64[spans], the number of the record that each came in.
        """
        if not len(records):
            return
        in_open = records >= self._open.first
        self._open.live -= int(in_open.sum())
        full = records[~in_open]
        if not len(full):
            return
        places = np.searchsorted(self._firsts, full, "right") - 1
        self._live -= np.bincount(places, minlength=len(self._live))
        self._set_aside()

    def _set_aside(self) -> None:
        """Find the full blocks that have become disposable."""
        done = self._live == 0
        if not done.any():
            return
        self._disposable += self._numbers[done].tolist()
        self._numbers = self._numbers[~done]
        self._firsts = self._firsts[~done]
        self._live = self._live[~done]

    def disposable(self) -> list[int]:
        """Tell which blocks no undecided trace needs.

        Returns:
            Their numbers, since the last `dispose`.
        """
        return list(self._disposable)

    def dispose(self, numbers: list[int], low_watermark: int) -> None:
        """Delete blocks whose traces' decisions are committed.

        Args:
            numbers: Of disposable blocks.
            low_watermark: The first offset that an undecided trace still needs.

        Raises:
            StoreError: The store cannot be written.
        """
        self._late.forget(low_watermark)
        gone = set(numbers)
        self._disposable = [number for number in self._disposable if number not in gone]
        self._delete(numbers)

    def _delete(self, numbers: list[int]) -> None:
        self._store.delete(self._partition, numbers)
        self._late.deleted(numbers)
        for number in numbers:
            for held in (self._sizes, self._behind, self._whole):
                held.pop(number, None)

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
        held = {place: self._held(place) for place in np.unique(places).tolist()}
        indexes = np.empty(len(records), np.int64)
        sizes = np.empty(len(records), np.int64)
        whole = np.empty(len(records), np.uint8)
        spans = np.empty(len(records), np.int32)
        headers: dict[int, Headers] = {}
        order = np.argsort(places, kind="stable")
        cuts = np.flatnonzero(np.diff(places[order])) + 1
        members = dict(zip(held, np.split(order, cuts), strict=True))
        for place, one in held.items():
            mine, block = members[place], one.block
            index = records[mine] - one.first
            indexes[mine] = index
            sizes[mine] = block.bounds[index + 1] - block.bounds[index]
            whole[mine] = self._whole.get(block.number, block.whole)[index]
            spans[mine] = block.spans[index]
            if block.headers:
                for here, there in zip(mine.tolist(), index.tolist(), strict=True):
                    if there in block.headers:
                        headers[here] = block.headers[there]
        bounds = np.zeros(len(records) + 1, np.int64)
        np.cumsum(sizes, out=bounds[1:])
        body = np.empty(bounds[-1], np.uint8)
        for place, one in held.items():
            mine, block = members[place], one.block
            copy_records(block.body, block.bounds, indexes[mine], body, bounds[mine])
        return Found(body, bounds, whole, spans, headers)

    def live_blocks(self) -> Iterator[Held]:
        """Read everything that undecided traces may need, block by block, oldest first.

        Yields:
            The full blocks, then what is in the one being filled.

        Raises:
            StoreError: A block cannot be read.
        """
        for place in range(len(self._numbers) + 1):
            yield self._held(place)

    def held_from(self, record: int) -> Held | None:
        """Read the first block that undecided traces may need and whose records begin there.

        Args:
            record: The number of the first record, or a smaller one.

        Returns:
            The block, a full one or that being filled; None where there is none.

        Raises:
            StoreError: The block cannot be read.
        """
        place = int(np.searchsorted(self._firsts, record, "left"))
        if place == len(self._numbers) and (record > self._open.first or not self._open.count):
            return None
        return self._held(place)

    def _held(self, place: int) -> Held:
        if place == len(self._numbers):
            body = np.concatenate([NOTHING, *self._open.parts])
            body.setflags(write=False)  # as a block from the store, so that kernels see one type
            late = np.empty(0, LATE_SPAN)
            block = self._open.block(self._partition, self._number, self._reach, late, body)
            return Held(self._number, self._open.first, _TO_THE_END, block)
        number = int(self._numbers[place])
        return Held(
            number=number,
            first=int(self._firsts[place]),
            behind=self._behind.get(number, _TO_THE_END),
            block=self._store.block(self._partition, number),
        )
