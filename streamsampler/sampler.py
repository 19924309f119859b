"""The engine: a batch of records in; blocks stored, verdicts and emissions out.

It is pure but for the block store it is given: no Kafka, no wall clock, no randomness. The same
records, cut into whatever batches, give the same verdicts. `Sampler.submit` is the life of a
batch, its six stages in order:

1. *Records to a buffer* (`spans.records`), done by whoever makes the batch.
2. *Scan* (`spans.scan`): protobuf to columns.
3. *Predicates* (`policies.matching`): what each span matches.
4. *Fold* (`traces.fold`): each span meets its trace; its record goes into a block.
5. *Due* (`traces.due`): which traces are to be decided, and the verdicts, by vector.
6. *Emit* (`engine.emission`): the records of what is kept.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from streamsampler.engine.health import HealthQuestions
from streamsampler.engine.in_force import InForce
from streamsampler.engine.intake import SIGNAL_HEADER, count_records, other_signals, partition_runs
from streamsampler.engine.judging import Past
from streamsampler.engine.limits import Limits
from streamsampler.engine.partition import BatchColumns, Partition
from streamsampler.engine.reopening import begin_again, take_over
from streamsampler.engine.shedding import buffered, surplus
from streamsampler.engine.sums import Sums, Untold
from streamsampler.estimates.summaries import INTERVAL_MS, Summary
from streamsampler.estimates.tables import Table
from streamsampler.outcome import (
    Checkpoint,
    Counts,
    DeadLetter,
    Decision,
    Emission,
    GroupKnowledge,
    Outcome,
    PolicyCounts,
)
from streamsampler.policies import PolicySet
from streamsampler.policies.sets import PolicySets, sets_of
from streamsampler.spans.keys import check_keys
from streamsampler.spans.records import RecordBatch
from streamsampler.store import BlockStore, StoreFigures
from streamsampler.traces.decided import PastDecision, buffered_though_decided
from streamsampler.traces.due import all_rows, due_rows
from streamsampler.traces.fold import CLOSED, LATE
from streamsampler.traces.table import NOW

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
    "PolicyCounts",
    "Sampler",
]

_NOTHING_YET = Checkpoint(0, 0, -1)


class Sampler:
    """The engine over any number of partitions."""

    def __init__(
        self,
        policies: PolicySet | PolicySets,
        store: BlockStore,
        limits: Limits | None = None,
        topic_partitions: int = 1,
        *,
        sampling_attributes: bool = False,
        health: HealthQuestions | None = None,
    ) -> None:
        """Begin without partitions.

        Args:
            policies: The set in force, or the default with the tenants' own.
            store: Where blocks go; it stays its opener's.
            limits: How large things may get.
            topic_partitions: How many partitions the input topic has, held here or not: each has
                a share of what the policies allow the group.
            sampling_attributes: Whether kept spans say in attributes by which policy they were
                kept and how many they stand for.
            health: What is asked of services, for `summaries`; None: nothing.

        Raises:
            PolicyError: The policies cannot be compiled.
        """
        self._store = store
        self._limits = limits or Limits()
        self._in_force = InForce(
            sets_of(policies), self._limits, topic_partitions,
            attributes=sampling_attributes, health=health,
        )  # fmt: skip
        self._partitions: dict[int, Partition] = {}
        self._untold: dict[int, Untold] = {}  # of partitions that are not held now

    @property
    def policies(self) -> PolicySets:
        """The policies in force."""
        return self._in_force.sets

    @property
    def replacing(self) -> bool:
        """Whether other policies are to come into force, and buffered spans are read for them."""
        return self._in_force.replacing

    def policy_counts(self) -> Mapping[tuple[str, str], PolicyCounts]:
        """Tell what the policies in force did, by the names of set and policy.

        Returns:
            The counts, since the engine began or the policy came into force.
        """
        return self._in_force.counts

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that the engine holds."""
        return tuple(self._partitions)

    def assign(
        self,
        partition: int,
        resume: Checkpoint | None = None,
        decided: Sequence[PastDecision] = (),
        part: int = 0,
    ) -> int:
        """Take a partition over, with what the store holds of it.

        The caller then submits its records from the offset told up to the resumed position, calls
        `recall`, and goes on behind it. Until then nothing is decided: what was undecided at that
        position is so still.

        Args:
            partition: One that the engine does not hold.
            resume: Where its last owner left it; None: it starts from nothing.
            decided: Decisions made since the low watermark, in the order they were made. Their
                spans before the position are passed over, as they have been dealt with.
            part: Tells what is summed up by this owner of the partition from what others tell of
                the same interval: no two may have the same.

        Returns:
            The offset from which its records are to come, from the low watermark to the position;
            those between the low watermark and it were in the store.

        Raises:
            StoreError: The store cannot be written.
        """
        sums = Sums(partition, part)
        if partition in self._untold:
            sums.take_back(self._untold.pop(partition))
        held = take_over(
            partition, resume or _NOTHING_YET, decided, self._store, self._in_force.default,
            self._limits, self._in_force.read, sums,
        )  # fmt: skip
        self._partitions[partition] = held
        return held.position

    def recall(self, partition: int, older: Sequence[PastDecision]) -> None:
        """Remember the decisions made before those that came with `assign`; then it is live.

        Where one shows that a buffered trace was dealt with long ago, all that was taken in since
        `assign` is folded again.

        Args:
            partition: One that the engine holds, read up to the resumed position and not beyond.
            older: In the order they were made.

        Raises:
            StoreError: The store cannot be read or written.
        """
        held, policies = self._partitions[partition], self._in_force.default
        if older:
            held.decided.restore_before(older)
            held.out.restore_before(older)
            if buffered_though_decided(held.table, held.decided, policies.decision_ttl_ms):
                begin_again(held, policies.decision_wait_ms, self._in_force.read)
        held.recalled = True
        held.position = max(held.position, held.resumed_at)
        held.shelf.reached(held.position, held.table.now_ms)

    def not_reopened(self, partition: int) -> str:
        """Tell why what the store held of a partition was of no use, for a log.

        Args:
            partition: One that the engine holds.

        Returns:
            A sentence without its beginning and end; empty where nothing was wrong.
        """
        return self._partitions[partition].not_reopened

    def skip(self, partition: int, offsets: int) -> None:
        """Count offsets whose records were gone before they could be read.

        Args:
            partition: One that the engine holds.
            offsets: How many.
        """
        self._partitions[partition].counts.offsets_skipped += offsets

    def revoke(self, partition: int, *, keep: bool = False) -> int:
        """Forget a partition; nothing is decided.

        Args:
            partition: One that the engine holds.
            keep: Whether to put all that is buffered into the store, so that it need not be read
                again where the partition comes back. All that was taken in must be committed.

        Returns:
            Bytes of its blocks that stay in the store.

        Raises:
            ValueError: Something is to be kept that is not committed; the partition is still held.
            StoreError: The store cannot be written; the partition is forgotten all the same.
        """
        held = self._partitions[partition]
        if keep and held.position != held.shelf.until:
            raise ValueError(
                f"partition {partition} stands at {held.position}, and {held.shelf.until} is "
                "committed"
            )
        del self._partitions[partition]
        self._untold[partition] = held.sums.untold()
        self._in_force.forget(partition)
        if keep and held.table.live:
            held.shelf.put_open()
        elif keep:
            held.shelf.clear()
        return held.shelf.size

    def discard(self, partition: int) -> None:
        """Delete what the store holds of a partition.

        Args:
            partition: One that the engine does not hold.

        Raises:
            ValueError: The engine holds it.
            StoreError: The store cannot be written.
        """
        if partition in self._partitions:
            raise ValueError(f"partition {partition} is held")
        self._store.clear(partition)

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
        columns = self._in_force.read(batch, passed)
        records = columns.scan.records
        keys = np.empty(len(batch), np.uint8)
        check_keys(batch.keys, batch.key_bounds, records, columns.scan.spans, keys)
        outcome = Outcome([], [], [])
        for run in partition_runs(batch):
            partition = self._partitions[int(batch.partitions[run.start])]
            outcome.dead_letters.extend(count_records(partition, batch, records, keys, passed, run))
            start = run.start
            while start < run.stop:
                start = self._take(partition, columns, slice(start, run.stop), outcome)
        held, limits = self._partitions.values(), self._limits
        for partition, rows in surplus(held, limits.buffered_spans, limits.buffered_bytes):
            self._in_force.judge.decide(partition, rows, "limit", outcome)
        return outcome

    def _take(
        self, partition: Partition, columns: BatchColumns, run: slice, outcome: Outcome
    ) -> int:
        """Fold records of one partition and decide what is due; tell the record to go on with."""
        replaying = partition.replaying
        folded, spans = partition.fold(columns, run)
        fates, targets, found = columns.fates[spans], columns.targets[spans], columns.scan.spans
        partition.count_spans(fates)
        if replaying:
            partition.remember_replayed(columns, spans)
        late = np.flatnonzero(fates == LATE)
        past = partition.decided.rows[targets[late]]
        known = Past(past["verdict"], past["second"].astype(np.int64), past["threshold"])
        judge = self._in_force.judge
        judge.follow(partition, columns, found[spans.start + late], known, outcome)
        if partition.replaying:
            return int(folded.stop)
        judged = judge.decide(partition, due_rows(partition.table), "", outcome)
        closed = found[spans.start + np.flatnonzero(fates == CLOSED)]
        if len(closed) and judged:
            judge.follow(partition, columns, closed, judged.of_spans(closed), outcome)
        return int(folded.stop)

    def advance(self, partition: int, stream_time_ms: int) -> Outcome:
        """Move an idle partition's time on, and decide what has become due.

        Args:
            partition: One that the engine holds.
            stream_time_ms: Ms; what lies behind its stream time changes nothing, nor does any
                before the partition is live.

        Returns:
            What came of it.

        Raises:
            StoreError: The store cannot be read.
        """
        outcome = Outcome([], [], [])
        held = self._partitions[partition]
        if held.replaying:
            return outcome
        held.table.registers[NOW] = max(held.table.now_ms, stream_time_ms)
        self._in_force.judge.decide(held, due_rows(held.table), "", outcome)
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
            self._in_force.judge.decide(partition, due_rows(partition.table), "", outcome)
            self._in_force.judge.decide(partition, all_rows(partition.table), "shutdown", outcome)
        return outcome

    def use(self, policies: PolicySet | PolicySets) -> bool:
        """Let other policies come into force, for all traces decided from then on.

        If they ask of spans what nobody has asked yet, the buffered ones must be read again: by
        `go_on`, between batches, and the policies in force decide until it is done. Deadlines that
        are set stay; traces that begin or grow afterwards follow the new waits.

        Args:
            policies: The set, or the default with the tenants' own.

        Returns:
            Whether they are in force already.

        Raises:
            PolicyError: They cannot be compiled; those in force stay.
            StoreError: The store cannot be read.
        """
        return self._in_force.use(sets_of(policies), self._partitions)

    def go_on(self) -> None:
        """Read one more block for policies that are to come into force; then they may be.

        Raises:
            StoreError: The store cannot be read.
        """
        self._in_force.go_on(self._partitions)

    def ask_of_services(self, health: HealthQuestions | None) -> None:
        """Ask something else of services, for what is decided from then on.

        Args:
            health: The questions; None: nothing.
        """
        self._in_force.ask_of_services(health)

    def learn(self, key: bytes, table: Table) -> None:
        """Learn what the control plane tells of the whole group, for what is decided from then on.

        Args:
            key: Of the record on the tables topic.
            table: What it says.
        """
        self._in_force.learn(key, table)

    def knowledge(self) -> GroupKnowledge:
        """Tell what the engine knows of the whole group, and how often it went by it.

        Returns:
            Counts since the engine began.
        """
        return self._in_force.knowledge()

    def summaries(self, partition: int, *, leaving: bool = False) -> list[Summary]:
        """Tell what decided traces come to, of intervals that are over; each is told once.

        Args:
            partition: One that the engine holds.
            leaving: Whether the interval that is not over is to be told too.

        Returns:
            The summaries, for the commit that makes their decisions last.
        """
        held = self._partitions[partition]
        now = None if leaving else held.table.now_ms // INTERVAL_MS
        self._in_force.judge.settle(held, now)
        return [
            *held.sums.tell(),
            *self._in_force.summaries(partition, now, held.sums.part),
        ]

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
            held.sums.committed()
            held.shelf.reached(held.position, held.table.now_ms)
            held.shelf.dispose(held.shelf.disposable(), checkpoint.low_watermark)

    def buffered_bytes(self, partition: int) -> int:
        """Tell how many bytes of spans a partition has buffered.

        Args:
            partition: One that the engine holds.

        Returns:
            Bytes of the spans of its undecided traces.
        """
        return buffered([self._partitions[partition]])[1]

    def block_bytes(self, partition: int) -> int:
        """Tell how much of a partition the store holds.

        Args:
            partition: One that the engine holds.

        Returns:
            Bytes of its blocks, from the first one that is not deleted.
        """
        return self._partitions[partition].shelf.size

    def store_figures(self) -> StoreFigures:
        """Tell what the store has written; half a millisecond.

        Returns:
            The figures, since the store was made.

        Raises:
            StoreError: It is not open, as it failed.
        """
        return self._store.figures()

    def buffered(self) -> tuple[int, int]:
        """Tell how much is buffered.

        Returns:
            Spans of undecided traces of all partitions, and their bytes.
        """
        return buffered(self._partitions.values())

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
