"""One partition inside the engine: its traces, its past decisions, its blocks, its counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamsampler.outcome import Checkpoint, Counts
from streamsampler.policies import Verdicts
from streamsampler.policies.compiled import DROPPED, NOT_SAMPLED, SAMPLED
from streamsampler.policies.matching import Matches
from streamsampler.spans.columns import Bytes, Int32s, Int64s, Rows, UInt64s
from streamsampler.spans.randomness import read_randomness
from streamsampler.spans.records import Headers, RecordBatch
from streamsampler.spans.scan import Scan
from streamsampler.store.shelf import Shelf
from streamsampler.traces.decided import DecidedTraces
from streamsampler.traces.fold import BUFFERED, CLOSED, LATE, REPEATED, fold_records
from streamsampler.traces.table import TraceTable, reserve

_ERROR_STATUS = 2


@dataclass(frozen=True, slots=True)
class BatchColumns:
    """What is known of a batch by the time it is folded, and what the fold finds.

    Attributes:
        batch: The batch.
        scan: Its columns.
        matches: What the predicates say of its spans.
        ranks: int32[tenants], the tenants' order by name.
        randomness: uint64[spans], R where a tracestate states it.
        fates: uint8[spans], one of fold.BUFFERED to fold.REPLAYED.
        targets: int64[spans], the row that the fate speaks of.
        stored: int64[records], the number of each record to store, or -1.
        buffered: int32[records], buffered spans of each.
    """

    batch: RecordBatch
    scan: Scan
    matches: Matches
    ranks: Int32s
    randomness: UInt64s
    fates: Bytes
    targets: Int64s
    stored: Int64s
    buffered: Int32s


def batch_columns(batch: RecordBatch, scan: Scan, matches: Matches, ranks: Int32s) -> BatchColumns:
    """Put together what is known of a batch, with room for what the fold finds.

    Args:
        batch: The batch.
        scan: Its columns.
        matches: What the predicates say of its spans.
        ranks: int32[tenants], the tenants' order by name.

    Returns:
        The columns, nothing folded yet.
    """
    spans, records = len(scan.spans), len(batch)
    randomness = np.empty(spans, np.uint64)
    read_randomness(batch.buffer, scan.spans, randomness)
    return BatchColumns(
        batch=batch,
        scan=scan,
        matches=matches,
        ranks=ranks,
        randomness=randomness,
        fates=np.empty(spans, np.uint8),
        targets=np.empty(spans, np.int64),
        stored=np.empty(records, np.int64),
        buffered=np.empty(records, np.int32),
    )


@dataclass(slots=True)
class Partition:
    """What the engine keeps of one partition.

    Attributes:
        number: The input partition.
        table: Its undecided traces.
        decided: Its past decisions.
        shelf: Its blocks.
        settings: int64[6] for the fold.
        position: The offset behind the last record taken in.
        resumed_at: Records before it were taken in by an earlier owner.
        counts: What became of what it brought.
    """

    number: int
    table: TraceTable
    decided: DecidedTraces
    shelf: Shelf
    settings: Int64s
    position: int = 0
    resumed_at: int = 0
    counts: Counts = field(default_factory=Counts)

    def fold(self, columns: BatchColumns, run: slice) -> tuple[slice, slice]:
        """Fold records of the partition and shelve those that must be stored.

        Args:
            columns: The batch.
            run: Which of its records are the partition's and not folded yet.

        Returns:
            Which records were folded, from the run's first on, and which spans of the batch are
            theirs. Where not all were, what is due must be decided before the rest.

        Raises:
            StoreError: A block could not be written.
        """
        scan, batch, table, decided = columns.scan, columns.batch, self.table, self.decided
        reserve(table, int(scan.records["spans"][run].sum()))
        stop = fold_records(
            scan.spans, scan.records, batch.offsets, batch.times_ms, run.start, run.stop,
            columns.matches.matched, columns.matches.tenants, columns.ranks, columns.randomness,
            table.rows, table.slots, table.entries, table.entry_slots, table.buckets,
            table.registers, decided.rows, decided.slots, self.settings,
            columns.fates, columns.targets, columns.stored, columns.buffered,
        )  # fmt: skip
        folded = slice(run.start, int(stop))
        if folded.stop > folded.start:
            self._shelve(columns, folded)
            self.position = int(batch.offsets[folded.stop - 1]) + 1
        return folded, _spans_of(scan.records[folded])

    def _shelve(self, columns: BatchColumns, run: slice) -> None:
        chosen = run.start + np.flatnonzero(columns.stored[run] >= 0)
        if not len(chosen):
            return
        batch, buffered, records = columns.batch, columns.buffered[chosen], columns.scan.records
        whole = (buffered == records["spans"][chosen]) & ~records["mixed"][chosen]
        self.shelf.append(
            batch.buffer, batch.bounds, chosen, batch.offsets[chosen], batch.times_ms[chosen],
            whole.astype(np.uint8), buffered, _present(batch.headers, chosen),
        )  # fmt: skip

    def count_spans(self, fates: Bytes) -> None:
        """Count spans whose fate the fold alone decides.

        Args:
            fates: uint8[n].
        """
        by_fate = np.bincount(fates, minlength=CLOSED + 2)
        self.counts.duplicates += int(by_fate[REPEATED])
        self.counts.spans_in += int(by_fate[[BUFFERED, REPEATED, LATE, CLOSED]].sum())

    def count_late(self, verdicts: Bytes, status: Int32s) -> None:
        """Count late spans, which follow their trace's verdict.

        Args:
            verdicts: uint8[n], of each span's trace.
            status: int32[n], of each span.
        """
        kept = int((verdicts == SAMPLED).sum())
        dropped = int((verdicts == DROPPED).sum())
        counts = self.counts
        counts.kept += kept
        counts.dropped += dropped
        counts.not_sampled += len(verdicts) - kept - dropped
        counts.late_sampled += kept
        counts.late_not_sampled += len(verdicts) - kept
        counts.late_errors += int(((verdicts != SAMPLED) & (status == _ERROR_STATUS)).sum())

    def count_verdicts(self, traces: Rows, verdicts: Verdicts) -> None:
        """Count decided traces and their spans.

        Args:
            traces: `TRACE` rows [n].
            verdicts: On these.
        """
        traces_by = np.bincount(verdicts.decision, minlength=3)
        spans_by = np.bincount(verdicts.decision, weights=traces["spans"], minlength=3)
        counts = self.counts
        counts.traces_not_sampled += int(traces_by[NOT_SAMPLED])
        counts.traces_sampled += int(traces_by[SAMPLED])
        counts.traces_dropped += int(traces_by[DROPPED])
        counts.not_sampled += int(spans_by[NOT_SAMPLED])
        counts.kept += int(spans_by[SAMPLED])
        counts.dropped += int(spans_by[DROPPED])

    def counted(self) -> Counts:
        """Tell what became of everything up to now.

        Returns:
            A copy, with what is buffered at this moment.
        """
        counts = self.counts + Counts()
        counts.buffered = self.table.spans
        counts.traces_buffered = self.table.live
        counts.decisions_forgotten = self.decided.forgotten_early
        return counts

    def checkpoint(self) -> Checkpoint:
        """Tell where the partition stands.

        Returns:
            The low watermark is the position where nothing is buffered.
        """
        if self.table.live == 0:
            return Checkpoint(self.position, self.position, self.table.now_ms)
        return Checkpoint(self.table.low_watermark, self.position, self.table.oldest("first_ms"))


def _spans_of(records: Rows) -> slice:
    """Which spans of a batch belong to records that stand side by side."""
    held = records[records["spans"] > 0]
    first = int(held[0]["first_span"]) if len(held) else 0
    return slice(first, first + int(held["spans"].sum()))


def _present(headers: Sequence[Headers | None], chosen: Int64s) -> dict[int, Headers]:
    """The headers of the chosen records that have some, by index among the chosen."""
    if not any(headers):
        return {}
    found = ((place, headers[record]) for place, record in enumerate(chosen.tolist()))
    return {place: pairs for place, pairs in found if pairs}
