"""The engine: a batch of records in; blocks stored, verdicts and emissions out.

It is pure but for the block store it is given: no Kafka, no wall clock, no randomness. The same
records, cut into whatever batches, give the same verdicts. `Sampler.submit` is the life of a
batch, its six stages in order:

1. *Records to a buffer* (`spans.records`), done by whoever makes the batch.
2. *Scan* (`spans.scan`): protobuf to columns.
3. *Predicates* (`policies.matching`): what each span matches.
4. *Fold* (`traces.fold`): each span meets its trace; its record goes into a block.
5. *Due* (`traces.due`): which traces are to be decided, and the verdicts, by vector.
6. *Emit* (`emission`): the records of what is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamsampler.deciding import decided_ms, decisions_on, due_traces
from streamsampler.emission import kept_traces, late_spans, repeated_in_record
from streamsampler.intake import SIGNAL_HEADER, count_records, other_signals, partition_runs
from streamsampler.outcome import Checkpoint, Counts, DeadLetter, Decision, Emission, Outcome
from streamsampler.partition import BatchColumns, Partition, batch_columns
from streamsampler.policies import PolicySet, TenantNumbers, Verdicts, compile_policies
from streamsampler.policies.compiled import SAMPLED
from streamsampler.policies.matching import Matcher
from streamsampler.spans.columns import Bytes, Int64s, Rows
from streamsampler.spans.keys import check_keys
from streamsampler.spans.records import RecordBatch
from streamsampler.spans.scan import Scanner
from streamsampler.store import BlockStore, Shelf
from streamsampler.traces.decided import DecidedTraces, PastDecision
from streamsampler.traces.due import all_rows, due_rows, forget, records_of
from streamsampler.traces.fold import CLOSED, LATE, refold_spans
from streamsampler.traces.table import NOW, lengthen, trace_table

__all__ = [
    "SIGNAL_HEADER",
    "Checkpoint",
    "Counts",
    "DeadLetter",
    "Decision",
    "Emission",
    "Limits",
    "Outcome",
    "PastDecision",
    "Sampler",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may get.

    Attributes:
        spans_per_trace: A trace with so many spans is decided at once, trigger "limit".
        bytes_per_trace: Likewise for so many bytes.
        block_bytes: A block is full when it holds so many bytes of records.
        max_record_bytes: The largest value of an emission; a larger trace comes in several.
        decisions: How many past decisions a partition remembers. While there are more within
            the time they are remembered for, which one a late span still finds depends on where
            batches end; those that had to make room are counted.
    """

    spans_per_trace: int = 50_000
    bytes_per_trace: int = 64 << 20
    block_bytes: int = 256 << 10
    max_record_bytes: int = 950_000
    decisions: int = 1_000_000


class Sampler:
    """The engine over any number of partitions."""

    def __init__(
        self, policies: PolicySet, store: BlockStore, limits: Limits | None = None
    ) -> None:
        """Begin without partitions.

        Args:
            policies: The set in force.
            store: Where blocks go; it stays its opener's.
            limits: How large things may get.

        Raises:
            PolicyError: The set cannot be compiled.
        """
        self._store = store
        self._limits = limits or Limits()
        self._tenants = TenantNumbers()
        self._names: list[str | None] = [None]
        self._partitions: dict[int, Partition] = {}
        self._compile(policies)

    def _compile(self, policies: PolicySet) -> None:
        self._compiled = compile_policies(policies, self._tenants)
        self._policies = policies
        self._matcher = Matcher(self._compiled, self._tenants)
        self._scanner = Scanner(self._compiled.wanted)

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that the engine holds."""
        return tuple(self._partitions)

    def assign(
        self,
        partition: int,
        resume: Checkpoint | None = None,
        decided: Sequence[PastDecision] = (),
    ) -> None:
        """Take a partition over; its records are to come from the low watermark on.

        Args:
            partition: One that the engine does not hold.
            resume: Where its last owner left it; None: it starts from nothing.
            decided: Decisions made since the low watermark, in the order they were made. Their
                spans before the position are passed over, as they have been dealt with.

        Raises:
            StoreError: The store cannot be written.
        """
        now = resume.stream_time_ms if resume else -1
        position = resume.position if resume else 0
        past = DecidedTraces(self._limits.decisions)
        past.restore(decided)
        self._partitions[partition] = Partition(
            number=partition,
            table=trace_table(self._policies.decision_wait_ms, now),
            decided=past,
            shelf=Shelf(self._store, partition, self._limits.block_bytes),
            settings=self._settings(position),
            position=resume.low_watermark if resume else 0,
            resumed_at=position,
        )

    def _settings(self, resumed_at: int) -> Int64s:
        policies, limits = self._policies, self._limits
        return np.array(
            [
                policies.decision_wait_ms,
                policies.completion_grace_ms,
                limits.spans_per_trace,
                limits.bytes_per_trace,
                resumed_at,
                policies.decision_ttl_ms,
            ],
            np.int64,
        )

    def revoke(self, partition: int) -> None:
        """Forget a partition; nothing is decided.

        Args:
            partition: One that the engine holds.
        """
        del self._partitions[partition]

    def submit(self, batch: RecordBatch) -> Outcome:
        """Take a batch in, and decide what has become due.

        Args:
            batch: Records of partitions that the engine holds. Their times are the caller's to
                clamp: one clock that runs ahead would make everything due.

        Returns:
            What came of it.

        Raises:
            StoreError: The store cannot be written or read. What the batch has done to the
                engine stays half done: its partitions must be revoked and assigned again.
        """
        passed = other_signals(batch.headers)
        scan = self._scanner.scan(batch.buffer, batch.bounds, passed)
        matches = self._matcher.match(batch.buffer, scan, batch.headers)
        columns = batch_columns(batch, scan, matches, self._matcher.ranks())
        keys = np.empty(len(batch), np.uint8)
        check_keys(batch.keys, batch.key_bounds, scan.records, scan.spans, keys)
        outcome = Outcome([], [], [])
        for run in partition_runs(batch):
            partition = self._partitions[int(batch.partitions[run.start])]
            outcome.dead_letters.extend(
                count_records(partition, batch, scan.records, keys, passed, run)
            )
            start = run.start
            while start < run.stop:
                start = self._take(partition, columns, slice(start, run.stop), outcome)
        return outcome

    def _take(
        self, partition: Partition, columns: BatchColumns, run: slice, outcome: Outcome
    ) -> int:
        """Fold records of one partition and decide what is due; tell the record to go on with."""
        folded, spans = partition.fold(columns, run)
        fates, targets, found = columns.fates[spans], columns.targets[spans], columns.scan.spans
        partition.count_spans(fates)
        late = np.flatnonzero(fates == LATE)
        verdicts = partition.decided.rows["verdict"][targets[late]]
        self._follow(partition, columns, found[spans.start + late], verdicts, outcome)
        due = due_rows(partition.table)
        traces = partition.table.rows[due]
        decided = self._decide(partition, due, "", outcome)
        closed = found[spans.start + np.flatnonzero(fates == CLOSED)]
        verdicts = _verdicts_of(traces, decided, closed)
        self._follow(partition, columns, closed, verdicts, outcome)
        return int(folded.stop)

    def advance(self, partition: int, stream_time_ms: int) -> Outcome:
        """Move an idle partition's time on, and decide what has become due.

        Args:
            partition: One that the engine holds.
            stream_time_ms: Ms; what lies behind its stream time changes nothing.

        Returns:
            What came of it.

        Raises:
            StoreError: The store cannot be read.
        """
        outcome = Outcome([], [], [])
        held = self._partitions[partition]
        held.table.registers[NOW] = max(held.table.now_ms, stream_time_ms)
        self._decide(held, due_rows(held.table), "", outcome)
        return outcome

    def finish(self) -> Outcome:
        """Decide everything that is buffered, at the end of a replay.

        Returns:
            What came of it; what is not due has the trigger "shutdown".

        Raises:
            StoreError: The store cannot be read.
        """
        outcome = Outcome([], [], [])
        for partition in self._partitions.values():
            self._decide(partition, due_rows(partition.table), "", outcome)
            self._decide(partition, all_rows(partition.table), "shutdown", outcome)
        return outcome

    def use(self, policies: PolicySet) -> None:
        """Put another policy set into force, for all traces decided from now on.

        What is buffered is scanned again for what the new set reads. Deadlines that are set
        stay; traces that begin or grow from now on follow the new waits.

        Args:
            policies: The set.

        Raises:
            PolicyError: It cannot be compiled; the old set stays in force.
            StoreError: The store cannot be read.
        """
        self._compile(policies)
        for partition in self._partitions.values():
            lengthen(partition.table, policies.decision_wait_ms)
            partition.settings = self._settings(partition.resumed_at)
            self._match_again(partition)

    def _match_again(self, partition: Partition) -> None:
        """Ask the predicates anew of every buffered span."""
        table = partition.table
        table.rows["matched"] = 0
        table.rows["tenant"] = 0
        seen = np.zeros(len(table.entries), np.uint8)
        for block in partition.shelf.live_blocks():
            scan = self._scanner.scan(block.body, block.bounds)
            headers = [block.headers.get(record) for record in range(len(block))]
            matches = self._matcher.match(block.body, scan, headers)
            refold_spans(
                scan.spans, block.first, matches.matched, matches.tenants, self._matcher.ranks(),
                table.rows, table.slots, table.entries, table.entry_slots, seen,
            )  # fmt: skip

    def checkpoint(self, partition: int) -> Checkpoint:
        """Tell where a partition stands, for a commit.

        Args:
            partition: One that the engine holds.

        Returns:
            Its low watermark, position and stream time.
        """
        return self._partitions[partition].checkpoint()

    def committed(self, partition: int, checkpoint: Checkpoint) -> None:
        """Learn that a checkpoint is committed: what it made disposable may go.

        Args:
            partition: One that the engine holds.
            checkpoint: As `checkpoint` gave it, and nothing has been submitted since.

        Raises:
            StoreError: The store cannot be written.
        """
        held = self._partitions[partition]
        if checkpoint.position == held.position:
            held.shelf.dispose(held.shelf.disposable())

    def stream_time_ms(self, partition: int) -> int:
        """Tell a partition's stream time.

        Args:
            partition: One that the engine holds.

        Returns:
            Ms; -1 before its first record.
        """
        return self._partitions[partition].table.now_ms

    def counts(self, partition: int) -> Counts:
        """Tell what became of all that a partition brought.

        Args:
            partition: One that the engine holds.

        Returns:
            The counts since it was assigned.
        """
        return self._partitions[partition].counted()

    def memory_bytes(self, partition: int) -> int:
        """Tell how much memory the buffered traces of a partition take, room to grow included.

        Args:
            partition: One that the engine holds.

        Returns:
            Bytes of its arrays; what RocksDB holds is not among them.
        """
        return self._partitions[partition].table.memory_bytes

    def _decide(
        self, partition: Partition, rows: Int64s, trigger: str, outcome: Outcome
    ) -> Verdicts | None:
        """Decide traces, emit the kept ones and forget them all."""
        if not len(rows):
            return None
        table = partition.table
        traces = table.rows[rows]
        due = due_traces(partition.number, traces)
        verdicts = self._compiled.decide(due)
        records = records_of(table, rows)
        kept = verdicts.decision == SAMPLED
        outcome.emissions.extend(
            kept_traces(
                partition.shelf, partition.number, traces[kept],
                records[np.repeat(kept, traces["spans"])], self._limits.max_record_bytes,
            )
        )  # fmt: skip
        outcome.decisions.extend(
            decisions_on(
                partition.number, traces, verdicts, self._policies, self._tenant_names(), trigger,
                table.now_ms,
            )
        )  # fmt: skip
        partition.count_verdicts(traces, verdicts)
        partition.decided.forget(table.now_ms - self._policies.decision_ttl_ms)
        partition.decided.remember(
            due.id_hi, due.id_lo, decided_ms(traces, trigger, table.now_ms) // 1000,
            verdicts.decision,
        )  # fmt: skip
        partition.shelf.release(records)
        forget(table, rows)
        return verdicts

    def _follow(
        self, partition: Partition, columns: BatchColumns, late: Rows, verdicts: Bytes,
        outcome: Outcome,
    ) -> None:  # fmt: skip
        """Let late spans follow their traces' verdicts."""
        if not len(late):
            return
        repeated = repeated_in_record(late)
        late, verdicts = late[~repeated], verdicts[~repeated]
        partition.counts.duplicates += int(repeated.sum())
        partition.count_late(verdicts, late["status"])
        kept = late[verdicts == SAMPLED]
        if len(kept):
            outcome.emissions.extend(late_spans(columns.batch, columns.scan.records, kept))

    def _tenant_names(self) -> list[str | None]:
        """The tenants by number; None for none."""
        for number in range(len(self._names), self._tenants.count):
            self._names.append(self._tenants.name(number).decode(errors="replace"))
        return self._names


def _verdicts_of(traces: Rows, verdicts: Verdicts | None, spans: Rows) -> Bytes:
    """The verdicts on the traces that some spans belong to; all of them have just been decided."""
    if verdicts is None:
        return np.empty(0, np.uint8)
    decided = {
        (hi, lo): verdict
        for hi, lo, verdict in zip(
            traces["id_hi"].tolist(),
            traces["id_lo"].tolist(),
            verdicts.decision.tolist(),
            strict=True,
        )
    } if len(spans) else {}  # fmt: skip
    ids = zip(spans["trace_hi"].tolist(), spans["trace_lo"].tolist(), strict=True)
    return np.array([decided[one] for one in ids], np.uint8)
