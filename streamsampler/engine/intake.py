"""The records' side of a batch: whose they are, which are passed over, which cannot be read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from streamsampler.engine.partition import Partition
from streamsampler.outcome import DeadLetter, added
from streamsampler.spans.columns import Bytes, Rows
from streamsampler.spans.keys import KEYLESS, MISMATCH
from streamsampler.spans.malformed import EMPTY, FAULTS, REASONS
from streamsampler.spans.records import Headers, RecordBatch

SIGNAL_HEADER: Final = "otelcol.signal"


def partition_runs(batch: RecordBatch) -> Iterator[slice]:
    """Find the batch's partitions.

    Args:
        batch: The batch.

    Yields:
        Which records are one partition's, one partition after the other.
    """
    if len(batch):
        cuts = np.flatnonzero(np.diff(batch.partitions)) + 1
        edges = [0, *cuts.tolist(), len(batch)]
        yield from map(slice, edges[:-1], edges[1:])


def is_traces(headers: Headers | None) -> bool:
    """Tell whether a record's headers let it carry traces.

    Args:
        headers: The record's.

    Returns:
        False where `SIGNAL_HEADER` names another signal.
    """
    return all(value == b"traces" for name, value in headers or () if name == SIGNAL_HEADER)


def other_signals(headers: Sequence[Headers | None]) -> Bytes:
    """Find records that say in a header that they are logs or metrics.

    Args:
        headers: Of each record.

    Returns:
        uint8[records], 1 for these.
    """
    passed = np.zeros(len(headers), np.uint8)
    if any(headers):
        passed[[record for record, pairs in enumerate(headers) if not is_traces(pairs)]] = 1
    return passed


def count_records(
    partition: Partition, batch: RecordBatch, records: Rows, keys: Bytes, passed: Bytes, run: slice
) -> list[DeadLetter]:
    """Count a partition's records, and find those that cannot be read.

    Records that an earlier owner took in were counted and sent to the dead letters then.

    Args:
        partition: The partition; its counts are moved on.
        batch: The batch.
        records: `RECORD` rows of the batch.
        keys: uint8[records], what their keys are (`spans.keys`).
        passed: uint8[records], 1 for those of another signal.
        run: Which records are the partition's.

    Returns:
        The dead letters.
    """
    new = batch.offsets[run] >= partition.resumed_at
    fault = records["fault"][run]
    sizes = np.diff(batch.bounds[run.start : run.stop + 1])
    skipped = passed[run] != 0
    empty = (sizes == 0) & ~skipped
    bare = (records["spans"][run] == 0) & (fault == 0) & ~empty & ~skipped
    dead = run.start + np.flatnonzero(((fault != 0) | empty) & new)
    counts = partition.counts
    counts.records += int(new.sum())
    counts.records_keyless += int((new & (keys[run] == KEYLESS)).sum())
    counts.records_key_mismatch += int((new & (keys[run] == MISMATCH)).sum())
    counts.records_other_signal += int((new & skipped).sum())
    counts.records_without_spans += int((new & bare).sum())
    counts.dead_lettered += len(dead)
    counts.spans_in += len(dead)
    letters = [_dead_letter(batch, records, record) for record in dead.tolist()]
    if letters:
        by_reason = Counter(letter.reason for letter in letters)
        counts.dead = added(counts.dead, [by_reason[reason] for reason in REASONS])
    return letters


def _dead_letter(batch: RecordBatch, records: Rows, record: int) -> DeadLetter:
    malformed = batch.malformed.get(record)
    if malformed is not None:
        return DeadLetter(record, malformed.reason, malformed.detail)
    fault, at = int(records["fault"][record]), int(records["fault_at"][record])
    if fault == 0:
        return DeadLetter(record, EMPTY, "the record has no value")
    reason = FAULTS[fault]
    return DeadLetter(record, reason, f"{reason.replace('_', ' ')} before byte {at} of the value")
