"""Reading stored blocks again: to take a partition over, to begin it again, for a new policy set.

The blocks are folded once more, by the same fold as live traffic and at the stream time that each
record had, so that the traces, their deadlines and the clock are what they were. Spans of traces
that were decided since are passed over.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from streamsampler.engine.limits import Limits, fold_settings
from streamsampler.engine.partition import BatchColumns, Partition
from streamsampler.engine.sums import Sums
from streamsampler.outcome import Checkpoint
from streamsampler.policies import PolicySet
from streamsampler.spans.columns import Bytes
from streamsampler.spans.records import RecordBatch
from streamsampler.store import Block, BlockStore, Shelf, StoreError, check_block, decode_block
from streamsampler.traces.decided import DecidedTraces, PastDecision
from streamsampler.traces.fold import refold_spans
from streamsampler.traces.spans_out import SpansOut
from streamsampler.traces.table import NEXT_RECORD, NOW, trace_table

Read = Callable[[RecordBatch], BatchColumns]
"""Scans records and asks the predicates of their spans."""

_NO_KEYS: Bytes = np.empty(0, np.uint8)


class _UselessBlocksError(Exception):
    """What the store holds of a partition is nothing to go on from.

    The message says why; it is empty where nothing is wrong with it.
    """


def take_over(  # noqa: PLR0913 - what a partition begins with
    number: int, resume: Checkpoint, decided: Sequence[PastDecision], store: BlockStore,
    policies: PolicySet, limits: Limits, read: Read, sums: Sums,
) -> Partition:  # fmt: skip
    """Begin a partition with what the store holds of it; what is of no use is deleted.

    Args:
        number: The input partition.
        resume: Where its last owner left it.
        decided: Decisions made since the low watermark, in the order they were made.
        store: Its blocks.
        policies: The set in force.
        limits: How large things may get.
        read: Makes a batch's columns.
        sums: Of what is decided on it.

    Returns:
        The partition; its records must come from its position on.

    Raises:
        StoreError: The store cannot be written.
    """
    partition = _begun(number, resume, decided, store, policies, limits, sums)
    try:
        _reopen(partition, store, read)
    except _UselessBlocksError as reason:
        partition = _begun(number, resume, decided, store, policies, limits, sums)
        partition.shelf.clear()
        partition.not_reopened = str(reason)
    return partition


def _begun(
    number: int, resume: Checkpoint, decided: Sequence[PastDecision], store: BlockStore,
    policies: PolicySet, limits: Limits, sums: Sums,
) -> Partition:  # fmt: skip
    """A partition without traces, at the low watermark."""
    past, out = DecidedTraces(limits.decisions), SpansOut(limits.spans_out)
    past.restore(decided)
    out.restore(decided)
    low, now_ms = resume.low_watermark, resume.stream_time_ms
    shelf = Shelf(store, number, limits.block_bytes, low)
    shelf.reached(low, now_ms)
    return Partition(
        number=number,
        table=trace_table(policies.decision_wait_ms, now_ms),
        decided=past,
        shelf=shelf,
        settings=fold_settings(policies, limits, resume.position),
        out=out,
        resume=resume,
        sums=sums,
        position=low,
        recalled=low == resume.position,  # nothing is undecided
    )


def _reopen(partition: Partition, store: BlockStore, read: Read) -> None:
    """Fold what the store holds of a partition, and tell it where that ends.

    Raises:
        _UselessBlocksError: There is nothing to go on from; the partition is half done.
    """
    low, position = partition.resume.low_watermark, partition.resume.position
    try:
        last = store.last(partition.number) if low < position else None
        if last is None:
            raise _UselessBlocksError
        end = decode_block(store.get(partition.number, last))
        if not end.began <= low < end.until <= position:
            raise _UselessBlocksError(
                f"they tell of offsets {end.began} to {end.until} and the group stands at {low} to"
                f" {position}"
            )
        for block, size, behind in _in_order(store, partition.number, end):
            _adopt(partition, block, size, min(behind, end.until), read)
    except (ValueError, StoreError) as error:
        raise _UselessBlocksError(str(error)) from error
    registers = partition.table.registers
    registers[NEXT_RECORD] = partition.shelf.next_record
    registers[NOW] = max(int(registers[NOW]), end.until_ms)
    partition.position = end.until


def _in_order(store: BlockStore, partition: int, end: Block) -> Iterator[tuple[Block, int, int]]:
    """Read blocks, each with its bytes and the offset from which on its records do not count.

    Raises:
        ValueError: They are not what one worker after the other wrote of this partition.
        StoreError: One cannot be read.
    """
    before: tuple[Block, int] | None = None
    for number, value in store.blocks(partition):
        block = decode_block(value)
        check_block(block)
        first = int(block.offsets[0]) if len(block) else block.since
        before_since, before_until = (
            (before[0].since, before[0].until) if before else (block.began, block.began)
        )
        if (
            (block.partition, block.number, block.began) != (partition, number, end.began)
            or not before_since <= block.since <= first
            or block.until < before_until
        ):
            raise ValueError(f"block {number} does not follow those before it")
        if before:
            yield *before, block.since
        before = block, len(value)
    if before:
        yield *before, end.until


def _adopt(partition: Partition, block: Block, size: int, behind: int, read: Read) -> None:
    late = block.late[block.late["offset"] >= partition.resume.low_watermark]
    partition.out.remember_late(
        late["id_hi"].astype(np.uint64),
        late["id_lo"].astype(np.uint64),
        late["second"].astype(np.int64),
    )
    live, whole = _fold(partition, block, partition.shelf.next_record, behind, read)
    partition.shelf.adopt(block, whole, live, late, behind, size)


def _fold(
    partition: Partition, block: Block, first: int, behind: int, read: Read
) -> tuple[int, Bytes | None]:
    """Fold what counts of a block; how many spans are buffered, and `whole` where it differs."""
    low = partition.resume.low_watermark
    start, stop = np.searchsorted(block.offsets, [low, behind]).tolist()
    if start >= stop:
        return 0, None
    columns = read(_batch(block))
    whole = partition.adopt(columns, slice(start, stop), first)
    differs = ((whole != block.whole) & (columns.buffered > 0)).any()
    return int(columns.buffered.sum()), whole if differs else None


def _batch(block: Block) -> RecordBatch:
    n = len(block)
    return RecordBatch(
        partitions=np.full(n, block.partition, np.int32),
        offsets=block.offsets,
        times_ms=block.stream_ms,
        buffer=block.body,
        bounds=block.bounds,
        keys=_NO_KEYS,
        key_bounds=np.zeros(n + 1, np.int64),
        headers=[block.headers.get(record) for record in range(n)],
    )


def begin_again(partition: Partition, wait_ms: int, read: Read) -> None:
    """Fold all that a partition has taken in once more, with the decisions that are known now.

    Args:
        partition: At the position at which its last owner left it.
        wait_ms: The longest that a trace waits for its verdict, ms of stream time.
        read: Makes a batch's columns.

    Raises:
        StoreError: The store cannot be read or written.
    """
    shelf, now_ms = partition.shelf, partition.table.now_ms
    shelf.put_open()
    partition.table = trace_table(wait_ms, partition.resume.stream_time_ms)
    partition.counts.spans_in = partition.counts.duplicates = 0
    shelf.recount(
        {
            held.number: _fold(partition, held.block, held.first, held.behind, read)
            for held in shelf.live_blocks()
        }
    )
    registers = partition.table.registers
    registers[NEXT_RECORD] = shelf.next_record
    registers[NOW] = max(int(registers[NOW]), now_ms)


def match_again(partition: Partition, record: int, read: Read) -> int | None:
    """Ask predicates of the buffered spans of one block, for policies that are new.

    Args:
        partition: Its traces are told the answers.
        record: The number of the record to begin with; 0, then what the last call returned.
        read: Makes a batch's columns.

    Returns:
        The number of the record to go on with; None where all blocks have been asked.

    Raises:
        StoreError: The store cannot be read.
    """
    held = partition.shelf.held_from(record)
    if held is None:
        return None
    table, columns = partition.table, read(_batch(held.block))
    seen = np.zeros(len(table.entries), np.uint8)
    refold_spans(
        columns.scan.spans, held.first, columns.matches.matched, columns.matches.tenants,
        columns.ranks, table.rows, table.slots, table.entries, table.entry_slots, seen,
    )  # fmt: skip
    return held.first + len(held.block)
