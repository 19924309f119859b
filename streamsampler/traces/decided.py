"""What has been decided: a narrow, bounded memory of past verdicts, for late spans.

24 bytes a trace and a slot in an index; a ring in the order of the decisions, so that the oldest
are forgotten first: when `decision_ttl` has passed, or when the memory is full, which is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.spans.columns import Int64s, Rows, UInt32s, UInt64s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.traces.index import empty_slots, find, insert, remove, slots_for

DECIDED: Final = np.dtype(
    [
        ("id_hi", np.uint64),  # the trace id, big-endian halves
        ("id_lo", np.uint64),
        ("second", np.uint32),  # of stream time, when it was decided
        ("verdict", np.uint8),  # NOT_SAMPLED, SAMPLED, DROPPED
    ],
    align=True,
)

NOT_SAMPLED, SAMPLED, DROPPED = 0, 1, 2
VERDICTS: Final = ("not_sampled", "sampled", "dropped")

# Registers of the ring: the oldest row, how many there are, how many had to make room.
_FIRST, _COUNT, _EARLY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision made earlier, as the decisions topic has it.

    Attributes:
        trace_id: 16 bytes.
        decision: "sampled", "not_sampled" or "dropped".
        policy: The policy that sampled or dropped, or None.
        decided_at_ms: Stream time of the decision, ms.
    """

    trace_id: bytes
    decision: str
    policy: str | None
    decided_at_ms: int


class DecidedTraces:
    """The decisions of the last while, of one partition."""

    def __init__(self, most: int) -> None:
        """Remember nothing yet.

        Args:
            most: How many decisions are remembered at most.
        """
        self._most = most
        self.rows: Rows = np.zeros(min(1024, most), DECIDED)
        self.slots: UInt32s = empty_slots(slots_for(len(self.rows)))
        self._registers: Int64s = np.zeros(3, np.int64)

    def __len__(self) -> int:
        return int(self._registers[_COUNT])

    @property
    def forgotten_early(self) -> int:
        """How many decisions were forgotten before their time, for want of room."""
        return int(self._registers[_EARLY])

    def remember(self, id_hi: UInt64s, id_lo: UInt64s, second: Int64s, verdict: Rows) -> None:
        """Remember decisions; of a trace that is known already, the first counts.

        Args:
            id_hi: uint64[n], first halves of the trace ids.
            id_lo: uint64[n], second halves.
            second: int64[n], seconds of stream time.
            verdict: uint8[n], NOT_SAMPLED, SAMPLED or DROPPED.
        """
        self._reserve(min(len(self) + len(id_hi), self._most))
        remember_decisions(self.rows, self.slots, self._registers, id_hi, id_lo, second, verdict)

    def restore(self, decisions: Sequence[PastDecision]) -> None:
        """Remember decisions read back from the decisions topic.

        Args:
            decisions: In the order they were made; of two on one trace the last counts, as the
                first had been forgotten when it was made.

        Raises:
            ValueError: A decision has a verdict that is none.
        """
        latest: dict[bytes, PastDecision] = {}
        for one in decisions:
            latest.pop(one.trace_id, None)
            latest[one.trace_id] = one
        past = list(latest.values())
        words = np.frombuffer(b"".join(latest), ">u8")
        self.remember(
            words[0::2].astype(np.uint64),
            words[1::2].astype(np.uint64),
            np.array([one.decided_at_ms // 1000 for one in past], np.int64),
            np.array([_verdict(one) for one in past], np.uint8),
        )

    def forget(self, before_ms: int) -> None:
        """Forget what was decided before a point in stream time.

        Args:
            before_ms: Stream time, ms.
        """
        forget_decisions(self.rows, self.slots, self._registers, before_ms // 1000)

    def _reserve(self, count: int) -> None:
        if count <= len(self.rows):
            return
        first = int(self._registers[_FIRST])
        held = np.roll(self.rows, -first)[: len(self)]
        self.rows = np.zeros(min(self._most, max(count, 2 * len(self.rows))), DECIDED)
        self.rows[: len(held)] = held
        self.slots = empty_slots(slots_for(len(self.rows)))
        self._registers[_FIRST] = 0
        index_decisions(self.rows, self.slots, len(held))


def _verdict(past: PastDecision) -> int:
    if past.decision not in VERDICTS:
        raise ValueError(
            f"the decision on trace {past.trace_id.hex()} is {past.decision!r}, which is none of"
            f" {', '.join(VERDICTS)}"
        )
    return VERDICTS.index(past.decision)


@kernel
def index_decisions(rows: Rows, slots: UInt32s, count: Word) -> None:
    """Enter the first rows of a ring into an empty index.

    Args:
        rows: `DECIDED` rows.
        slots: An empty index.
        count: How many rows to enter.
    """
    for row in range(count):
        insert(slots, rows, row)


@inlined
def _forget_oldest(rows: Rows, slots: UInt32s, registers: Int64s) -> None:
    row = registers[_FIRST]
    remove(slots, rows, row)
    registers[_FIRST] = (row + 1) % len(rows)
    registers[_COUNT] -= 1


@kernel
def remember_decisions(
    rows: Rows, slots: UInt32s, registers: Int64s,
    id_hi: UInt64s, id_lo: UInt64s, second: Int64s, verdict: Rows,
) -> None:  # fmt: skip
    """Append decisions to the ring; where it is full, the oldest make room.

    Args:
        rows: `DECIDED` rows.
        slots: Their index.
        registers: int64[3], the oldest row, how many there are, how many had to make room.
        id_hi: uint64[n], first halves of the trace ids.
        id_lo: uint64[n], second halves.
        second: int64[n], seconds of stream time.
        verdict: uint8[n].
    """
    for one in range(len(id_hi)):
        if find(slots, rows, id_hi[one], id_lo[one]) >= 0:
            continue
        if registers[_COUNT] == len(rows):
            _forget_oldest(rows, slots, registers)
            registers[_EARLY] += 1
        row = (registers[_FIRST] + registers[_COUNT]) % len(rows)
        rows[row]["id_hi"] = id_hi[one]
        rows[row]["id_lo"] = id_lo[one]
        rows[row]["second"] = second[one]
        rows[row]["verdict"] = verdict[one]
        insert(slots, rows, row)
        registers[_COUNT] += 1


@kernel
def forget_decisions(rows: Rows, slots: UInt32s, registers: Int64s, before: Word) -> None:
    """Forget the oldest decisions.

    Args:
        rows: `DECIDED` rows.
        slots: Their index.
        registers: int64[3], the oldest row, how many there are, how many had to make room.
        before: Seconds of stream time; what was decided before goes.
    """
    while registers[_COUNT] > 0 and np.int64(rows[registers[_FIRST]]["second"]) < before:
        _forget_oldest(rows, slots, registers)
