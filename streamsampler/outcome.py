"""What the engine gives back: emissions, decisions, dead letters, counts, checkpoints."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import add
from typing import Any, Final, NamedTuple, Self

import msgpack

from streamsampler.spans.malformed import REASONS
from streamsampler.spans.records import Headers

VERDICTS: Final = ("not_sampled", "sampled", "dropped")
"""By their numbers in columns."""
TRIGGERS: Final = ("complete", "timeout", "limit", "shutdown")
"""What may bring a verdict about, likewise."""
DELAYS_MS: Final = (
    100, 500, 1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000,
    90_000, 120_000, 300_000, 600_000,
)  # fmt: skip
"""The bounds by which decision delays are counted, each the largest of its own; those between the
defaults of `completion_grace` and `decision_wait` are close."""
_DECISION_VERSION: Final = 3
_FIELDS_OF: Final = {2: 14, 3: 16}
"""Of each version that is read, how many fields follow it; later ones were added behind."""
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a partition stands: what a commit says of it.

    Attributes:
        low_watermark: The first offset that an undecided trace still needs; what is committed.
        position: The offset behind the last record that was taken in.
        stream_time_ms: Stream time when the record at the low watermark was taken in, so that a
            replay from there finds the clock as it was; -1: none yet.
    """

    low_watermark: int
    position: int
    stream_time_ms: int


@dataclass(frozen=True, slots=True)
class Emission:
    """A record for the output topic: a kept trace, a part of one, or late spans of one.

    Attributes:
        partition: The input partition it came from.
        trace_id: 16 bytes.
        value: OTLP protobuf `TracesData`.
        headers: Those of the records it is made of, each pair once.
        spans: How many are in it.
        late: Whether they came after the verdict.
    """

    partition: int
    trace_id: bytes
    value: bytes
    headers: Headers
    spans: int
    late: bool


class Decision(NamedTuple):
    """The verdict on one trace, and what it rests on; a tuple, as there is one for every trace.

    Attributes:
        partition: The input partition.
        trace_id: 16 bytes.
        decision: "sampled", "not_sampled" or "dropped".
        policy: The policy that sampled or dropped it, or None.
        trigger: One of `TRIGGERS`.
        threshold: T as th digits; None where no probability is known.
        adjusted_count: How many traces it stands for; None where that is not known.
        spans: Buffered spans, without duplicates.
        size_bytes: Of them, with their shares of the records around them.
        duration_ns: Largest end minus smallest start.
        tenant: The trace's tenant, or None.
        error: Whether some span's status is ERROR.
        decided_at_ms: Stream time.
        first_offset: Of the record that its first span came in.
        policy_version: Of the policy set.
        spans_out: Of a sampled trace, a word of 8 bytes for each span that came out, by which a
            copy is known that comes later (`traces.spans_out`); else empty.
        grounds: What the trace had that made the policy sample or drop it, in a few words.
        dry_run: The policy in dry run that would have made the verdict another one, or None.
    """

    partition: int
    trace_id: bytes
    decision: str
    policy: str | None
    trigger: str
    threshold: str | None
    adjusted_count: float | None
    spans: int
    size_bytes: int
    duration_ns: int
    tenant: str | None
    error: bool
    decided_at_ms: int
    first_offset: int
    policy_version: str
    spans_out: bytes = b""
    grounds: str | None = None
    dry_run: str | None = None

    def line(self) -> dict[str, object]:
        """Say it as a JSON line of ``replay --decisions``.

        Returns:
            The fields of the design's part 6, and more; durations in ms.
        """
        return {
            "trace_id": self.trace_id.hex(),
            "decision": self.decision,
            "policy": self.policy,
            "trigger": self.trigger,
            "threshold": self.threshold,
            "adjusted_count": self.adjusted_count,
            "spans": self.spans,
            "bytes": self.size_bytes,
            "duration_ms": self.duration_ns / _NS_PER_MS,
            "tenant": self.tenant,
            "error": self.error,
            "decided_at_ms": self.decided_at_ms,
            "policy_version": self.policy_version,
            "grounds": self.grounds,
            "dry_run": self.dry_run,
        }

    def pack(self) -> bytes:
        """Say it as the value of a record on the decisions topic; the key is the trace id.

        Returns:
            A msgpack array: a version, then the fields from `decision` on.
        """
        packed: bytes = msgpack.packb(
            (
                _DECISION_VERSION, self.decision, self.policy, self.trigger, self.threshold,
                self.adjusted_count, self.spans, self.size_bytes, self.duration_ns, self.tenant,
                self.error, self.decided_at_ms, self.first_offset, self.policy_version,
                self.spans_out, self.grounds, self.dry_run,
            )
        )  # fmt: skip
        return packed

    @classmethod
    def unpack(cls, partition: int, key: bytes, value: bytes) -> Self:
        """Read a record of the decisions topic.

        Args:
            partition: Of the record, which is the input's too.
            key: The trace id, 16 bytes.
            value: What `pack` made.

        Returns:
            The decision.

        Raises:
            ValueError: The value is no decision of this version.
        """
        try:
            version, *values = msgpack.unpackb(value)
            if version not in _FIELDS_OF:
                raise ValueError(f"decision of version {version}, {_DECISION_VERSION} expected")
            if len(values) != _FIELDS_OF[version]:
                raise ValueError(f"no decision: {len(values)} fields")
            return cls(partition, key, *values)
        except (TypeError, msgpack.UnpackException) as error:
            raise ValueError(f"no decision: {error}") from error


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be read.

    Attributes:
        record: Its index in the batch.
        reason: One of `malformed.REASONS`.
        detail: A sentence that says what and where.
    """

    record: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a batch.

    Attributes:
        emissions: For the output topic, in the order of the verdicts.
        decisions: For the decisions topic.
        dead_letters: For the dead-letter topic.
    """

    emissions: list[Emission]
    decisions: list[Decision]
    dead_letters: list[DeadLetter]


@dataclass(slots=True)
class PolicyCounts:
    """What one policy did, traces all of them.

    Attributes:
        named_by: Verdicts that name it, as it sampled or dropped the trace, by `TRIGGERS`.
        votes: Traces that it would have sampled or dropped by itself.
        failures: Traces that it could not evaluate, and was skipped for.
        dry: Verdicts that it would have made others, were it not in dry run.
    """

    named_by: tuple[int, ...] = (0,) * len(TRIGGERS)
    votes: int = 0
    failures: int = 0
    dry: int = 0

    @property
    def named(self) -> int:
        """Verdicts that name it, whatever brought them about."""
        return sum(self.named_by)


class GroupKnowledge(NamedTuple):
    """What the engine knows of the whole group, and how often it went by it.

    Attributes:
        thresholds_ms: Stream time up to which durations are known, of the shard that is furthest
            behind; None where nobody has told.
        rates_ms: Likewise of rates, of the goal that is furthest behind.
        thresholds: Traces held against a percentile, by where it came from: "table", "own" (the
            partition's sketches), "unknown" (`fallback_ms` counted).
        rates: Traces that went by the rate of a goal, by where it came from: "table", "own".
        regressed: How many groups have become slower, as the control plane tells.
    """

    thresholds_ms: int | None
    rates_ms: int | None
    thresholds: dict[str, int]
    rates: dict[str, int]
    regressed: int


@dataclass(slots=True)
class Counts:
    """What became of everything that a partition brought; spans, unless the name says otherwise.

    Attributes:
        records: Records read.
        spans_in: Spans read; a record that cannot be read counts as one.
        kept: Spans of sampled traces, late ones too.
        not_sampled: Spans of traces that nothing sampled.
        dropped: Spans of traces that a drop policy took.
        duplicates: Spans that their trace had already.
        dead_lettered: Records that could not be read.
        buffered: Spans of undecided traces.
        late_sampled: Of `kept`, those that came after the verdict.
        late_not_sampled: Of `not_sampled` and `dropped`, likewise.
        late_errors: Of `late_not_sampled`, those whose status is ERROR.
        traces: Traces decided, by `TRIGGERS` and, within each, `VERDICTS`.
        delays: Of these, how many waited so long from their first span to their verdict, in
            stream time: up to each of `DELAYS_MS` and more than the one before; the last, longer.
        delay_ms: How long they waited together.
        traces_buffered: Undecided traces.
        records_keyless: Records without a key.
        records_key_mismatch: Records whose key is not their payload's trace id.
        records_other_signal: Records whose header says that they are no traces; passed over.
        records_without_spans: Sound records with nothing in them.
        dead: Records sent to the dead letters, by `malformed.REASONS`.
        decisions_forgotten: Decisions forgotten before their time, for want of room.
        spans_out_forgotten: Spans that are out and were forgotten before their time, likewise.
        offsets_skipped: Offsets whose records were gone before they could be read.
    """

    records: int = 0
    spans_in: int = 0
    kept: int = 0
    not_sampled: int = 0
    dropped: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    buffered: int = 0
    late_sampled: int = 0
    late_not_sampled: int = 0
    late_errors: int = 0
    traces: tuple[int, ...] = (0,) * (len(TRIGGERS) * len(VERDICTS))
    delays: tuple[int, ...] = (0,) * (len(DELAYS_MS) + 1)
    delay_ms: int = 0
    traces_buffered: int = 0
    records_keyless: int = 0
    records_key_mismatch: int = 0
    records_other_signal: int = 0
    records_without_spans: int = 0
    dead: tuple[int, ...] = (0,) * len(REASONS)
    decisions_forgotten: int = 0
    spans_out_forgotten: int = 0
    offsets_skipped: int = 0

    def conserved(self) -> bool:
        """Tell whether the conservation law holds: no span is in none of the fates."""
        fates = self.kept + self.not_sampled + self.dropped + self.duplicates
        return self.spans_in == fates + self.dead_lettered + self.buffered

    def decided(self, verdict: str, trigger: str) -> int:
        """Tell how many traces were decided so.

        Args:
            verdict: One of `VERDICTS`.
            trigger: One of `TRIGGERS`.

        Returns:
            Traces.
        """
        return self.traces[TRIGGERS.index(trigger) * len(VERDICTS) + VERDICTS.index(verdict)]

    @property
    def traces_sampled(self) -> int:
        """Traces that were sampled."""
        return sum(self.decided("sampled", trigger) for trigger in TRIGGERS)

    @property
    def traces_not_sampled(self) -> int:
        """Traces that nothing sampled."""
        return sum(self.decided("not_sampled", trigger) for trigger in TRIGGERS)

    @property
    def traces_dropped(self) -> int:
        """Traces that a drop policy took."""
        return sum(self.decided("dropped", trigger) for trigger in TRIGGERS)

    @property
    def records_dead(self) -> int:
        """Records sent to the dead letters."""
        return sum(self.dead)

    def told(self) -> dict[str, Any]:
        """Say it in words, for a log and for /status.

        Returns:
            Each count by its name; traces by verdict and by trigger; dead letters by those reasons
            that there were.
        """
        plain = {
            one.name: value
            for one in fields(Counts)
            if isinstance(value := getattr(self, one.name), int)
        }
        by_trigger = {
            f"traces_{trigger}": sum(self.decided(verdict, trigger) for verdict in VERDICTS)
            for trigger in TRIGGERS
        }
        return {
            **plain,
            "traces_sampled": self.traces_sampled,
            "traces_not_sampled": self.traces_not_sampled,
            "traces_dropped": self.traces_dropped,
            **by_trigger,
            "dead": {
                reason: count for reason, count in zip(REASONS, self.dead, strict=True) if count
            },
        }

    def __add__(self, other: "Counts") -> "Counts":
        sums: list[Any] = []
        for one in fields(Counts):
            ours, theirs = getattr(self, one.name), getattr(other, one.name)
            sums.append(added(ours, theirs) if isinstance(ours, tuple) else ours + theirs)
        return Counts(*sums)


def added(counts: tuple[int, ...], more: Iterable[int]) -> tuple[int, ...]:
    """Add counts place by place.

    Args:
        counts: n of them.
        more: As many.

    Returns:
        The n sums.
    """
    return tuple(map(add, counts, more))
