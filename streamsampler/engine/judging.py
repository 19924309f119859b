"""Verdicts of the set in force: on traces that are due, and on spans that come too late for one.

Hot: NumPy over all traces that are due at one time; late spans are few.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamsampler.engine.deciding import (
    after_head,
    decisions_on,
    due_traces,
    triggers_of,
    words_on,
)
from streamsampler.engine.due_spans import DueSpans
from streamsampler.engine.emission import (
    Stamps,
    attributes_of,
    kept_traces,
    late_spans,
    repeated_in_record,
)
from streamsampler.engine.health import Health
from streamsampler.engine.partition import BatchColumns, Partition
from streamsampler.engine.trees import TreeReader
from streamsampler.estimates import adjusted_counts
from streamsampler.estimates.summaries import INTERVAL_MS
from streamsampler.outcome import TRIGGERS, Outcome, PolicyCounts, added
from streamsampler.policies import TenantNumbers, Verdicts
from streamsampler.policies.compiled import SAMPLED
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.percentiles import Percentiles
from streamsampler.policies.together import CompiledSets
from streamsampler.spans.columns import Booleans, Bytes, Int64s, Rows, UInt64s
from streamsampler.traces.due import forget, records_of
from streamsampler.traces.spans_out import words_of


class Past(NamedTuple):
    """The verdicts on the traces of n late spans.

    Attributes:
        verdicts: uint8[n], NOT_SAMPLED, SAMPLED or DROPPED.
        seconds: int64[n], stream time of each.
        thresholds: uint64[n], T of the sampled, `NO_THRESHOLD` where there is none.
    """

    verdicts: Bytes
    seconds: Int64s
    thresholds: UInt64s


class Judged(NamedTuple):
    """n traces that were decided at one time.

    Attributes:
        traces: `TRACE` rows [n].
        verdicts: uint8[n], NOT_SAMPLED, SAMPLED or DROPPED.
        seconds: int64[n], stream time of each decision.
        thresholds: uint64[n], T of the sampled, `NO_THRESHOLD` where there is none.
    """

    traces: Rows
    verdicts: Bytes
    seconds: Int64s
    thresholds: UInt64s

    def of_spans(self, spans: Rows) -> Past:
        """Find the verdicts on the traces that some spans belong to.

        Args:
            spans: `SPAN` rows [m] of these traces.

        Returns:
            Verdict, second and threshold of each.
        """
        ids = zip(self.traces["id_hi"].tolist(), self.traces["id_lo"].tolist(), strict=True)
        places = {trace_id: place for place, trace_id in enumerate(ids)}
        traces = zip(spans["trace_hi"].tolist(), spans["trace_lo"].tolist(), strict=True)
        chosen = [places[trace_id] for trace_id in traces]
        return Past(self.verdicts[chosen], self.seconds[chosen], self.thresholds[chosen])


class OutputForm(NamedTuple):
    """How what is kept is written.

    Attributes:
        most_bytes: The largest value of an emission.
        attributes: Whether kept spans say in attributes by what they were kept.
    """

    most_bytes: int
    attributes: bool


class Judge:
    """Decides traces by one policy set, and lets what is kept out.

    Attributes:
        health: Told of decided traces; None: nobody asks how services do.
    """

    def __init__(
        self,
        compiled: CompiledSets,
        tenants: TenantNumbers,
        groups: GroupNumbers,
        percentiles: Percentiles,
        health: Health | None,
        form: OutputForm,
        counts: Sequence[PolicyCounts],
    ) -> None:
        """Take policies.

        Args:
            compiled: The policies.
            tenants: Numbers the tenants.
            groups: Numbers the groups of traces.
            percentiles: Told what the traces of each group take.
            health: Told of decided traces; None: nobody asks how services do.
            form: How what is kept is written.
            counts: What each policy did, in the order of all policies; added to.
        """
        self._compiled = compiled
        self._policies = compiled.sets.default
        self._words = words_on(compiled)
        self._tenants = tenants
        self._groups = groups
        self._percentiles = percentiles
        self.health = health
        self._names: list[str | None] = [None]
        self._form = form
        self._trees = TreeReader()
        self._counts = counts

    def decide(
        self, partition: Partition, rows: Int64s, trigger: str, outcome: Outcome
    ) -> Judged | None:
        """Decide traces, emit the kept ones and forget them all.

        Args:
            partition: Whose they are.
            rows: int64[n], of its table.
            trigger: What made them due, where it was the same for all; else empty.
            outcome: Added to.

        Returns:
            The verdicts; None where there is nothing to decide.

        Raises:
            StoreError: The store cannot be read.
        """
        if not len(rows):
            return None
        if trigger:
            return self._decide(partition, rows, trigger, outcome)
        # What is decided in an interval may rest on what was measured in those before it.
        intervals = partition.table.rows["due_ms"][rows] // INTERVAL_MS
        parts = np.split(rows, np.flatnonzero(np.diff(intervals)) + 1)
        judged = [self._decide(partition, part, trigger, outcome) for part in parts]
        return judged[0] if len(judged) == 1 else _joined(judged)

    def _decide(self, partition: Partition, rows: Int64s, trigger: str, outcome: Outcome) -> Judged:
        table, now_ms = partition.table, partition.table.now_ms
        traces = table.rows[rows]
        records = records_of(table, rows)
        spans = DueSpans(partition.shelf, traces, records)
        due = due_traces(
            partition.number, traces, self._groups.of(traces["tenant"], traces["root"]),
            trigger, now_ms,
            self._trees.due(spans).shapes,
        )  # fmt: skip
        self.settle(partition, int(due.decided_ms[0]) // INTERVAL_MS)
        verdicts, deciders = self._compiled.decide(due)
        verdicts = after_head(verdicts, due.incoming)
        triggers = triggers_of(traces, trigger, self._words.wait_ms)
        self._count(verdicts, triggers)
        kept = verdicts.decision == SAMPLED
        words = words_of(table, rows[kept])
        outcome.emissions.extend(
            kept_traces(
                partition.shelf, partition.number, traces[kept],
                records[np.repeat(kept, traces["spans"])], self._stamps(verdicts, kept),
            )
        )  # fmt: skip
        outcome.decisions.extend(
            decisions_on(
                partition.number, traces, verdicts, deciders, self._words, self._tenant_names(),
                triggers, due.decided_ms, words,
            )
        )  # fmt: skip
        partition.count_verdicts(traces, verdicts, triggers, due.decided_ms)
        partition.sums.add(due, traces, verdicts)
        if self.health:
            self.health.add(partition.number, traces, spans, due.decided_ms)
        seconds = due.decided_ms // 1000
        partition.forget_decided(now_ms - self._policies.decision_ttl_ms)
        partition.decided.decide(
            due.id_hi, due.id_lo, seconds, verdicts.decision, verdicts.threshold
        )
        partition.out.remember_words(traces[kept], words, seconds[kept])
        partition.shelf.release(records)
        forget(table, rows)
        return Judged(traces, verdicts.decision, seconds, verdicts.threshold)

    def follow(
        self, partition: Partition, columns: BatchColumns, late: Rows, past: Past, outcome: Outcome
    ) -> None:
        """Let late spans follow their traces' verdicts; those that are out already stay in.

        Args:
            partition: Whose they are.
            columns: The batch.
            late: `SPAN` rows [n] of it.
            past: The verdicts on their traces.
            outcome: Added to.
        """
        if not len(late):
            return
        repeated, verdicts, seconds = repeated_in_record(late), past.verdicts, past.seconds
        sampled = np.flatnonzero((verdicts == SAMPLED) & ~repeated)
        known = partition.let_out(columns, late[sampled], seconds[sampled])
        repeated[sampled[known]] = True
        partition.counts.duplicates += int(repeated.sum())
        partition.count_late(verdicts[~repeated], late["status"][~repeated])
        kept = late[sampled[~known]]
        if len(kept):
            out = late[sampled[known]]
            stamps = self._late_stamps(past.thresholds[sampled[~known]])
            outcome.emissions.extend(
                late_spans(columns.batch, columns.scan.records, kept, out, stamps)
            )

    def _late_stamps(self, thresholds: UInt64s) -> Stamps:
        if not self._form.attributes:
            return Stamps(thresholds, self._form.most_bytes)
        counts = adjusted_counts(thresholds).tolist()
        attributes = [attributes_of(None, count) for count in counts]
        return Stamps(thresholds, self._form.most_bytes, attributes)

    def _stamps(self, verdicts: Verdicts, kept: Booleans) -> Stamps:
        thresholds = verdicts.threshold[kept]
        if not self._form.attributes:
            return Stamps(thresholds, self._form.most_bytes)
        names = map(self._words.names.__getitem__, verdicts.policy[kept].tolist())
        counts = verdicts.adjusted[kept].tolist()
        attributes = list(map(attributes_of, names, counts))
        return Stamps(thresholds, self._form.most_bytes, attributes)

    def settle(self, partition: Partition, before: int | None) -> None:
        """Work out what the partition's intervals come to that are over.

        Args:
            partition: The partition.
            before: Number of the interval that is not over yet; None: all are.
        """
        settled = partition.sums.settle(before, self._groups)
        self._percentiles.add(partition.number, settled)

    def _count(self, verdicts: Verdicts, triggers: Int64s) -> None:
        policies, kinds = len(self._counts), len(TRIGGERS)
        name = verdicts.policy >= 0
        places = verdicts.policy[name] * kinds + triggers[name]
        named_by = np.bincount(places, minlength=policies * kinds).reshape(policies, kinds)
        dry = np.bincount(verdicts.dry[verdicts.dry >= 0], minlength=policies)
        columns = np.column_stack((named_by, verdicts.votes, verdicts.failures, dry))
        for policy in np.flatnonzero(columns.any(axis=1)).tolist():
            counts = self._counts[policy]
            *named, votes, failures, changed = columns[policy].tolist()
            counts.named_by = added(counts.named_by, named)
            counts.votes += votes
            counts.failures += failures
            counts.dry += changed

    def _tenant_names(self) -> list[str | None]:
        """The tenants by number; None for none."""
        for number in range(len(self._names), self._tenants.count):
            self._names.append(self._tenants.name(number).decode(errors="replace"))
        return self._names


def _joined(judged: Sequence[Judged]) -> Judged:
    return Judged(
        np.concatenate([one.traces for one in judged]),
        np.concatenate([one.verdicts for one in judged]),
        np.concatenate([one.seconds for one in judged]),
        np.concatenate([one.thresholds for one in judged]),
    )
