"""What has been decided: a narrow, bounded memory of past verdicts, for late spans."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from streamsampler.estimates import NO_THRESHOLD, decode
from streamsampler.outcome import VERDICTS
from streamsampler.spans.columns import Bytes, Int64s, Rows, UInt32s, UInt64s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.traces.index import find
from streamsampler.traces.remembered import REMEMBERED, Remembered
from streamsampler.traces.table import OLDEST, TraceTable

NOT_SAMPLED, SAMPLED, DROPPED = 0, 1, 2

_MS_PER_SECOND: Final = 1000


class PastDecision(NamedTuple):
    """A decision made earlier, as the decisions topic has it.

    Attributes:
        trace_id: 16 bytes.
        decision: "sampled", "not_sampled" or "dropped".
        policy: The policy that sampled or dropped, or None.
        decided_at_ms: Stream time of the decision, ms.
        spans_out: The words of the spans that it let out (`traces.spans_out`).
        threshold: T of a sampled trace as th digits; None where no probability is known.
    """

    trace_id: bytes
    decision: str
    policy: str | None
    decided_at_ms: int
    spans_out: bytes = b""
    threshold: str | None = None


DECIDED: Final = np.dtype([*REMEMBERED.descr[:4], ("threshold", np.uint64)], align=True)


class DecidedTraces(Remembered):
    """The decisions of the last while, of one partition, by trace id."""

    dtype = DECIDED

    def decide(
        self, id_hi: UInt64s, id_lo: UInt64s, second: Int64s, verdict: Bytes, threshold: UInt64s
    ) -> None:
        """Remember decisions; of a trace that is known already, the last counts.

        Args:
            id_hi: uint64[n], first halves of the ids.
            id_lo: uint64[n], second halves.
            second: int64[n], seconds of stream time.
            verdict: uint8[n], NOT_SAMPLED, SAMPLED or DROPPED.
            threshold: uint64[n], T of the sampled, `NO_THRESHOLD` where there is none.
        """
        self.remember(id_hi, id_lo, second, verdict)
        self._note(id_hi, id_lo, threshold)

    def _note(self, id_hi: UInt64s, id_lo: UInt64s, threshold: UInt64s) -> None:
        found = self.look_up(id_hi, id_lo)
        self.rows["threshold"][found[found >= 0]] = threshold[found >= 0]

    def restore(self, decisions: Sequence[PastDecision]) -> None:
        """Remember decisions read back from the decisions topic.

        Args:
            decisions: In the order they were made; of two on one trace the last counts, as the
                first had been forgotten when it was made.

        Raises:
            ValueError: A decision has a verdict that is none.
        """
        self.decide(*_columns(decisions), _thresholds(decisions))

    def restore_before(self, decisions: Sequence[PastDecision]) -> None:
        """Remember decisions that were made before all those that are known.

        Args:
            decisions: As for `restore`; on a trace that is known they do not count.

        Raises:
            ValueError: A decision has a verdict that is none.
        """
        columns, held = _columns(decisions), self._in_order()
        self.remember_before(*columns)
        self._note(*columns[:2], _thresholds(decisions))
        ids = (np.ascontiguousarray(held["id_hi"]), np.ascontiguousarray(held["id_lo"]))
        self._note(*ids, np.ascontiguousarray(held["threshold"]))


def _latest(decisions: Sequence[PastDecision]) -> dict[bytes, PastDecision]:
    latest: dict[bytes, PastDecision] = {}
    for one in decisions:
        latest.pop(one.trace_id, None)
        latest[one.trace_id] = one
    return latest


def _thresholds(decisions: Sequence[PastDecision]) -> UInt64s:
    stated = (one.threshold for one in _latest(decisions).values())
    return np.array([NO_THRESHOLD if th is None else decode(th) for th in stated], np.uint64)


def _columns(decisions: Sequence[PastDecision]) -> tuple[UInt64s, UInt64s, Int64s, Bytes]:
    latest = _latest(decisions)
    past = latest.values()
    words = np.frombuffer(b"".join(latest), ">u8")
    return (
        words[0::2].astype(np.uint64),
        words[1::2].astype(np.uint64),
        np.array([one.decided_at_ms // _MS_PER_SECOND for one in past], np.int64),
        np.array([verdict_of(one) for one in past], np.uint8),
    )


def verdict_of(past: PastDecision) -> int:
    """Read a past decision's verdict.

    Args:
        past: The decision.

    Returns:
        NOT_SAMPLED, SAMPLED or DROPPED.

    Raises:
        ValueError: It is none of these.
    """
    if past.decision not in VERDICTS:
        raise ValueError(
            f"the decision on trace {past.trace_id.hex()} is {past.decision!r}, which is none of"
            f" {', '.join(VERDICTS)}"
        )
    return VERDICTS.index(past.decision)


def buffered_though_decided(table: TraceTable, decided: DecidedTraces, ttl_ms: int) -> int:
    """Count undecided traces whose first span came under a decision that is known by now.

    Args:
        table: The partition's traces.
        decided: Its past decisions.
        ttl_ms: For how long a decision is remembered, in stream time.

    Returns:
        How many traces have spans that were dealt with long ago.
    """
    return int(
        count_decided(
            table.rows, table.registers, decided.rows, decided.slots, ttl_ms,
        )
    )  # fmt: skip


@kernel
def count_decided(
    rows: Rows, registers: Int64s, decided: Rows, decided_slots: UInt32s, ttl_ms: Word
) -> Word:
    """Count live rows whose trace has a decision that was not too old when the row was made.

    Args:
        rows: The trace table's rows.
        registers: The table's registers.
        decided: Past decisions.
        decided_slots: Their index.
        ttl_ms: For how long a decision is remembered.

    Returns:
        How many.
    """
    count = 0
    row = registers[OLDEST] - 1
    while row >= 0:
        past = find(decided_slots, decided, rows[row]["id_hi"], rows[row]["id_lo"])
        since = (rows[row]["first_ms"] - ttl_ms) // _MS_PER_SECOND
        if past >= 0 and np.int64(decided[past]["second"]) >= since:
            count += 1
        row = np.int64(rows[row]["arrived_next"]) - 1
    return count
