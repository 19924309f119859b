"""Which metrics there are: names, meanings and where the values come from, as data.

Names and units follow the Prometheus conventions; `observe.metrics` says the values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from streamsampler.observe.standing import PartitionStanding, StoreStanding
from streamsampler.observe.totals import Totals
from streamsampler.outcome import TRIGGERS, VERDICTS, PolicyCounts
from streamsampler.spans.malformed import REASONS

PREFIX: Final = "streamsampler_"
_MS_PER_SECOND: Final = 1_000


@dataclass(frozen=True, slots=True)
class Total:
    """A counter over the worker's life, as of its last commit.

    Attributes:
        name: Without prefix and `_total`.
        meaning: A sentence.
        read: Its value.
    """

    name: str
    meaning: str
    read: Callable[[Totals], int]


@dataclass(frozen=True, slots=True)
class PolicyTotal:
    """A counter of each policy.

    Attributes:
        name: Without prefix and `_total`.
        meaning: A sentence.
        parts: Its value; where it is split by trigger, the value of each.
    """

    name: str
    meaning: str
    parts: Callable[[PolicyCounts], int] | Mapping[str, Callable[[PolicyCounts], int]]


@dataclass(frozen=True, slots=True)
class SplitTotal:
    """A counter that is split by labels.

    Attributes:
        name: Without prefix and `_total`.
        meaning: A sentence.
        labels: Their names.
        parts: Their values, and what each counts.
    """

    name: str
    meaning: str
    labels: tuple[str, ...]
    parts: Mapping[tuple[str, ...], Callable[[Totals], int]]


@dataclass(frozen=True, slots=True)
class StoreTotal:
    """A counter of the block store.

    Attributes:
        name: Without prefix and `_total`.
        meaning: A sentence.
        read: Its value.
    """

    name: str
    meaning: str
    read: Callable[[StoreStanding], int]


@dataclass(frozen=True, slots=True)
class PartitionGauge:
    """A gauge of every partition that the worker owns.

    Attributes:
        name: Without prefix.
        meaning: A sentence.
        read: Its value; None where it is not known, and then not shown.
    """

    name: str
    meaning: str
    read: Callable[[PartitionStanding], float | None]


_DECIDED: Final = tuple(product(VERDICTS, TRIGGERS))


def _decided(verdict: str, trigger: str) -> Callable[[Totals], int]:
    return lambda totals: totals.counts.decided(verdict, trigger)


def _dead(place: int) -> Callable[[Totals], int]:
    return lambda totals: totals.counts.dead[place]


def _named_by(place: int) -> Callable[[PolicyCounts], int]:
    return lambda counts: counts.named_by[place]


SPLIT_TOTALS: Final = (
    SplitTotal(
        "spans",
        "Spans whose fate is settled and committed.",
        ("fate",),
        {
            ("kept",): lambda t: t.counts.kept,
            ("not_sampled",): lambda t: t.counts.not_sampled,
            ("dropped",): lambda t: t.counts.dropped,
            ("duplicate",): lambda t: t.counts.duplicates,
            ("dead_lettered",): lambda t: t.counts.dead_lettered,
        },
    ),
    SplitTotal(
        "traces",
        "Traces decided, by verdict and by what brought it about; limit: of the trace or of the "
        "buffer, before the trace was complete or timed out.",
        ("decision", "trigger"),
        {(verdict, trigger): _decided(verdict, trigger) for verdict, trigger in _DECIDED},
    ),
    SplitTotal(
        "dead_letters",
        "Records sent to the dead-letter topic, by what was wrong with them.",
        ("reason",),
        {(reason,): _dead(place) for place, reason in enumerate(REASONS)},
    ),
    SplitTotal(
        "late_spans",
        "Spans that came after their trace's verdict and followed it; not_sampled has those of "
        "dropped traces too.",
        ("verdict",),
        {
            ("sampled",): lambda t: t.counts.late_sampled,
            ("not_sampled",): lambda t: t.counts.late_not_sampled,
        },
    ),
)

TOTALS: Final = (
    Total(
        "spans_in",
        "Spans read; a record that cannot be read counts as one. Always the sum of all fates, of "
        "spans handed over and of those buffered at the last commit.",
        lambda t: t.counts.spans_in,
    ),
    Total(
        "spans_handed_over",
        "Spans undecided when their partition left or was taken back to its last commit; whoever "
        "takes it up counts them in again.",
        lambda t: t.handed_over,
    ),
    Total(
        "late_error_spans",
        "Late spans of traces that were not kept whose status is ERROR.",
        lambda t: t.counts.late_errors,
    ),
    Total("records", "Records read.", lambda t: t.counts.records),
    Total("records_keyless", "Records without a key.", lambda t: t.counts.records_keyless),
    Total(
        "records_key_mismatch",
        "Records whose key is not their payload's trace id.",
        lambda t: t.counts.records_key_mismatch,
    ),
    Total(
        "records_other_signal",
        "Records passed over, as their header says that they are no traces.",
        lambda t: t.counts.records_other_signal,
    ),
    Total(
        "records_without_spans",
        "Sound records with nothing in them.",
        lambda t: t.counts.records_without_spans,
    ),
    Total(
        "decisions_forgotten",
        "Past decisions forgotten before their time, for want of room.",
        lambda t: t.counts.decisions_forgotten,
    ),
    Total(
        "spans_out_forgotten",
        "Spans that are out and were forgotten before their time, for want of room: a copy that "
        "comes late comes out again.",
        lambda t: t.counts.spans_out_forgotten,
    ),
    Total(
        "offsets_skipped",
        "Offsets whose records were gone before they could be read.",
        lambda t: t.counts.offsets_skipped,
    ),
)

PARTITION_GAUGES: Final = (
    PartitionGauge("buffered_spans", "Spans of undecided traces.", lambda p: p.counts.buffered),
    PartitionGauge("buffered_traces", "Undecided traces.", lambda p: p.counts.traces_buffered),
    PartitionGauge("buffered_bytes", "What undecided traces take.", lambda p: p.buffered_bytes),
    PartitionGauge(
        "store_block_bytes",
        "Blocks in the store that undecided traces may need, before RocksDB compresses them.",
        lambda p: p.block_bytes,
    ),
    PartitionGauge(
        "lag_records",
        "Records yet to be taken in: what to scale by. The group's committed lag is larger by what "
        "is buffered.",
        lambda p: p.lag,
    ),
    PartitionGauge(
        "position_offset", "The offset behind the last record taken in.", lambda p: p.position
    ),
    PartitionGauge(
        "low_watermark_offset",
        "The first offset that an undecided trace still needs.",
        lambda p: p.low_watermark,
    ),
    PartitionGauge(
        "stream_time_timestamp_seconds",
        "The partition's clock, as its records carry it.",
        lambda p: p.stream_time_ms / _MS_PER_SECOND if p.stream_time_ms >= 0 else None,
    ),
    PartitionGauge(
        "stream_time_delay_seconds",
        "How far the partition's clock is behind the wall clock: by what is yet to be taken in, or "
        "by the clocks of whoever writes records.",
        lambda p: None if p.stream_delay_ms is None else p.stream_delay_ms / _MS_PER_SECOND,
    ),
    PartitionGauge(
        "replay_records_done",
        "Records read again since the partition was taken up.",
        lambda p: p.replayed,
    ),
    PartitionGauge(
        "replay_records_expected",
        "Records that have to be read again before it is live.",
        lambda p: p.replay_total,
    ),
    PartitionGauge(
        "replay_expected_seconds",
        "How long until it is live, at the present pace.",
        lambda p: p.expected_seconds,
    ),
    PartitionGauge(
        "partition_stopped",
        "1 where it stands still because something fails; /status says what.",
        lambda p: bool(p.stopped),
    ),
    PartitionGauge(
        "spans_unaccounted",
        "Spans that are in none of the fates: anything but 0 is a bug in streamsampler.",
        lambda p: p.unaccounted,
    ),
)

POLICY_TOTALS: Final = (
    PolicyTotal(
        "policy_decisions",
        "Traces whose verdict names the policy: it sampled or dropped them; by what brought the "
        "verdict about.",
        {trigger: _named_by(place) for place, trigger in enumerate(TRIGGERS)},
    ),
    PolicyTotal(
        "policy_votes",
        "Traces that the policy would have sampled or dropped by itself; of those that it was "
        "asked about.",
        lambda counts: counts.votes,
    ),
    PolicyTotal(
        "policy_failures",
        "Traces that the policy could not evaluate, and was skipped for.",
        lambda counts: counts.failures,
    ),
    PolicyTotal(
        "policy_dry_run_changes",
        "Verdicts that the policy would have made others, were it not in dry run.",
        lambda counts: counts.dry,
    ),
)
"""Of each policy, by the names of its set and its own. They are counted when decided, not when
committed: what an aborted transaction undoes is counted twice."""

STORE_TOTALS: Final = (
    StoreTotal(
        "store_put_bytes", "Bytes of blocks put into the store.", lambda store: store.put_bytes
    ),
    StoreTotal(
        "store_written_bytes",
        "Bytes of tables that RocksDB wrote to disk, flushed and compacted; by the bytes put, that "
        "is the write amplification.",
        lambda store: store.written_bytes,
    ),
)

SET_KINDS: Final = ("default", "tenant")
"""Whose a policy set may be; tenants are not told apart, as there may be many."""
