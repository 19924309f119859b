"""One partition inside the engine: its traces, past decisions, blocks and counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamsampler.engine.sums import Sums
from streamsampler.outcome import DELAYS_MS, TRIGGERS, VERDICTS, Checkpoint, Counts, added
from streamsampler.policies import Verdicts
from streamsampler.policies.compiled import DROPPED, NOT_SAMPLED, SAMPLED
from streamsampler.policies.matching import Matches
from streamsampler.spans.columns import Booleans, Bytes, Int32s, Int64s, Rows, UInt64s
from streamsampler.spans.randomness import read_randomness
from streamsampler.spans.records import Headers, RecordBatch
from streamsampler.spans.scan import Scan
from streamsampler.store import LATE_SPAN
from streamsampler.store.shelf import Shelf
from streamsampler.traces.decided import DecidedTraces
from streamsampler.traces.fold import (
    ADOPTING,
    BUFFERED,
    CLOSED,
    LATE,
    REPEATED,
    REPLAYED,
    fold_records,
)
from streamsampler.traces.spans_out import SpansOut
from streamsampler.traces.table import NEXT_RECORD, TraceTable, reserve

_ERROR_STATUS = 2
_KINDS = len(TRIGGERS) * len(VERDICTS)
_DELAYS_MS = np.array(DELAYS_MS, np.int64)


@dataclass(frozen=True, slots=True)
class BatchColumns:
    """What is known of a batch by the time it is folded, and what the fold finds.

    Attributes:
        batch: The batch.
        scan: Its columns.
        matches: What the predicates say of its spans.
        ranks: int32[tenants], the tenants' order by name.
        root_order: uint64[root operations], which of several counts.
        randomness: uint64[spans], R where a tracestate states it.
        incoming: uint64[spans], T that each span came with, 0 where its tracestate has none.
        fates: uint8[spans], one of fold.BUFFERED to fold.REPLAYED.
        targets: int64[spans], the row that the fate speaks of.
        stored: int64[records], the number of each record to store, or -1.
        buffered: int32[records], buffered spans of each.
        stream_ms: int64[records], stream time when each was taken in.
    """

    batch: RecordBatch
    scan: Scan
    matches: Matches
    ranks: Int32s
    root_order: UInt64s
    randomness: UInt64s
    incoming: UInt64s
    fates: Bytes
    targets: Int64s
    stored: Int64s
    buffered: Int32s
    stream_ms: Int64s


def batch_columns(
    batch: RecordBatch, scan: Scan, matches: Matches, ranks: Int32s, root_order: UInt64s
) -> BatchColumns:
    """Put together what is known of a batch, with room for what the fold finds.

    Args:
        batch: The batch.
        scan: Its columns.
        matches: What the predicates say of its spans.
        ranks: int32[tenants], the tenants' order by name.
        root_order: uint64[root operations], which of several counts.

    Returns:
        The columns, nothing folded yet.
    """
    spans, records = len(scan.spans), len(batch)
    randomness, incoming = np.empty(spans, np.uint64), np.empty(spans, np.uint64)
    read_randomness(batch.buffer, scan.spans, randomness, incoming)
    return BatchColumns(
        batch=batch,
        scan=scan,
        matches=matches,
        ranks=ranks,
        root_order=root_order,
        randomness=randomness,
        incoming=incoming,
        fates=np.empty(spans, np.uint8),
        targets=np.empty(spans, np.int64),
        stored=np.empty(records, np.int64),
        buffered=np.empty(records, np.int32),
        stream_ms=np.empty(records, np.int64),
    )


@dataclass(slots=True)
class Partition:
    """What the engine keeps of one partition.

    Attributes:
        number: The input partition.
        table: Its undecided traces.
        decided: Its past decisions.
        shelf: Its blocks.
        settings: int64[fold.SETTINGS] for the fold.
        out: The spans of sampled traces that are out.
        resume: Where its last owner left it. Records before that position were taken in by then.
        position: The offset behind the last record taken in.
        recalled: Whether all past decisions are known.
        counts: What became of what it brought.
        sums: What its decided traces come to.
        not_reopened: Why the blocks that the store held were of no use; else empty.
    """

    number: int
    table: TraceTable
    decided: DecidedTraces
    shelf: Shelf
    settings: Int64s
    out: SpansOut
    resume: Checkpoint
    sums: Sums
    position: int = 0
    recalled: bool = False
    counts: Counts = field(default_factory=Counts)
    not_reopened: str = ""

    @property
    def resumed_at(self) -> int:
        """The offset behind the last record that an earlier owner took in."""
        return self.resume.position

    @property
    def replaying(self) -> bool:
        """Whether what comes was taken in by an earlier owner, and nothing may be decided."""
        return not self.recalled and self.position <= self.resumed_at

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
        folded = self._fold(columns, run)
        if folded.stop > folded.start:
            self._shelve(columns, folded)
            self.position = int(columns.batch.offsets[folded.stop - 1]) + 1
        return folded, spans_of_records(columns.scan.records[folded])

    def _fold(self, columns: BatchColumns, run: slice) -> slice:
        scan, batch, table, decided = columns.scan, columns.batch, self.table, self.decided
        reserve(table, int(scan.records["spans"][run].sum()))
        stop = fold_records(
            scan.spans, scan.records, batch.offsets, batch.times_ms, run.start, run.stop,
            columns.matches.matched, columns.matches.tenants, columns.ranks,
            columns.matches.roots, columns.root_order, columns.randomness, columns.incoming,
            table.rows, table.slots, table.entries, table.entry_slots, table.buckets,
            table.registers, decided.rows, decided.slots, self.settings,
            columns.fates, columns.targets, columns.stored, columns.buffered, columns.stream_ms,
        )  # fmt: skip
        return slice(run.start, int(stop))

    def _shelve(self, columns: BatchColumns, run: slice) -> None:
        chosen = run.start + np.flatnonzero(columns.stored[run] >= 0)
        if len(chosen):
            batch = columns.batch
            self.shelf.append(
                batch.buffer, batch.bounds, chosen, batch.offsets[chosen],
                columns.stream_ms[chosen], _whole(columns, chosen), columns.buffered[chosen],
                _present(batch.headers, chosen),
            )  # fmt: skip

    def adopt(self, columns: BatchColumns, run: slice, first: int) -> Bytes:
        """Fold records of a block where they stand.

        Args:
            columns: The block's.
            run: Which of its records count.
            first: The number of the block's first record.

        Returns:
            uint8[records], 1 where all of the record is one trace's, without duplicates. How many
            spans of each are buffered, the columns tell.
        """
        self.table.registers[NEXT_RECORD] = first + run.start
        self.settings[ADOPTING] = 1
        start = run.start
        while start < run.stop:
            folded = self._fold(columns, slice(start, run.stop))
            spans = spans_of_records(columns.scan.records[folded])
            self.count_spans(columns.fates[spans])
            self.remember_replayed(columns, spans)
            start = folded.stop
        self.settings[ADOPTING] = 0
        self.table.registers[NEXT_RECORD] = first + len(columns.batch)
        columns.buffered[: run.start] = columns.buffered[run.stop :] = 0
        return _whole(columns, np.arange(len(columns.batch)))

    def remember_replayed(self, columns: BatchColumns, spans: slice) -> None:
        """Remember the spans that an earlier owner let out.

        Args:
            columns: The batch.
            spans: Which of its spans were folded.
        """
        again = np.flatnonzero(columns.fates[spans] == REPLAYED)
        if not len(again):
            return
        past = self.decided.rows[columns.targets[spans][again]]
        sampled = past["verdict"] == SAMPLED
        found = columns.scan.spans[spans][again[sampled]]
        self.let_out(columns, found, past["second"][sampled].astype(np.int64))

    def let_out(self, columns: BatchColumns, spans: Rows, second: Int64s) -> Booleans:
        """Remember spans of decided traces that are sampled as out.

        Args:
            columns: The batch.
            spans: `SPAN` rows [n] of it.
            second: int64[n], of their traces' decisions.

        Returns:
            bool[n], True for those that were out before.
        """
        known, id_hi, id_lo = self.out.let_out(spans, second)
        late = np.empty(len(spans), LATE_SPAN)
        late["offset"] = columns.batch.offsets[spans["record"]]
        late["id_hi"], late["id_lo"], late["second"] = id_hi, id_lo, second
        self.shelf.note_late(late[~known])
        return known

    def forget_decided(self, before_ms: int) -> None:
        """Forget decisions that are too old, and what they let out.

        Args:
            before_ms: Stream time, ms.
        """
        self.decided.forget(before_ms)
        self.out.forget(before_ms)

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

    def count_verdicts(
        self, traces: Rows, verdicts: Verdicts, triggers: Int64s, decided_ms: Int64s
    ) -> None:
        """Count decided traces and their spans.

        Args:
            traces: `TRACE` rows [n].
            verdicts: On these.
            triggers: int64[n], by number, what made each due.
            decided_ms: int64[n], stream time of each verdict.
        """
        traces_by = np.bincount(triggers * len(VERDICTS) + verdicts.decision, minlength=_KINDS)
        spans_by = np.bincount(verdicts.decision, weights=traces["spans"], minlength=3)
        waited_ms = decided_ms - traces["first_ms"]
        delays = np.searchsorted(_DELAYS_MS, waited_ms, "left")
        delays_by = np.bincount(delays, minlength=len(_DELAYS_MS) + 1)
        counts = self.counts
        counts.traces = added(counts.traces, traces_by.tolist())
        counts.delays = added(counts.delays, delays_by.tolist())
        counts.delay_ms += int(waited_ms.sum())
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
        counts.spans_out_forgotten = self.out.forgotten_early
        return counts

    def checkpoint(self) -> Checkpoint:
        """Tell where the partition stands.

        Returns:
            The low watermark is the position where nothing is buffered.
        """
        if self.table.live == 0:
            return Checkpoint(self.position, self.position, self.table.now_ms)
        return Checkpoint(self.table.low_watermark, self.position, self.table.oldest("first_ms"))


def spans_of_records(records: Rows) -> slice:
    """Tell which spans of a batch belong to records that stand side by side.

    Args:
        records: `RECORD` rows of these.

    Returns:
        Which spans.
    """
    held = records[records["spans"] > 0]
    first = int(held[0]["first_span"]) if len(held) else 0
    return slice(first, first + int(held["spans"].sum()))


def _whole(columns: BatchColumns, chosen: Int64s) -> Bytes:
    """Which of the chosen records are one trace's alone, without duplicates."""
    records = columns.scan.records
    alone = columns.buffered[chosen] == records["spans"][chosen]
    whole: Bytes = (alone & ~records["mixed"][chosen]).astype(np.uint8)
    return whole


def _present(headers: Sequence[Headers | None], chosen: Int64s) -> dict[int, Headers]:
    """The headers of the chosen records that have some, by index among the chosen."""
    if not any(headers):
        return {}
    found = ((place, headers[record]) for place, record in enumerate(chosen.tolist()))
    return {place: pairs for place, pairs in found if pairs}
