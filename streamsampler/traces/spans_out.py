"""Which spans of sampled traces are out already, so that a copy that comes later stays in.

A span is known by a *word*: 64 bits of its id and its mark (`ledger.mark_of`). With its trace's id
it makes 128 bits, which are remembered with the second of the trace's decision, as long as the
decision itself: a trace that begins anew has let nothing out.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from streamsampler.spans.columns import Booleans, Bytes, Int64s, Rows, UInt32s, UInt64s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.traces.decided import SAMPLED, PastDecision
from streamsampler.traces.index import mixed
from streamsampler.traces.ledger import mark_of
from streamsampler.traces.remembered import Remembered, enter_id
from streamsampler.traces.table import TraceTable

WORD_BYTES: Final = 8
_MS_PER_SECOND: Final = 1000


class SpansOut(Remembered):
    """The spans of sampled traces that are out, of one partition."""

    def remember_words(self, traces: Rows, words: UInt64s, second: Int64s) -> None:
        """Remember the spans of traces that are sampled now.

        Args:
            traces: `TRACE` rows [n].
            words: uint64[spans of these], trace by trace.
            second: int64[n], of the decisions.
        """
        spans = traces["spans"]
        self.remember(
            np.repeat(_trace_word(traces["id_hi"], traces["id_lo"]), spans),
            words,
            np.repeat(second, spans),
            np.full(len(words), SAMPLED, np.uint8),
        )

    def restore(self, decisions: Sequence[PastDecision]) -> None:
        """Remember what past decisions let out.

        Args:
            decisions: In the order they were made.
        """
        self.remember(*_columns(decisions))

    def restore_before(self, decisions: Sequence[PastDecision]) -> None:
        """Remember what was let out by decisions made before all those that are known.

        Args:
            decisions: In the order they were made.
        """
        self.remember_before(*_columns(decisions))

    def remember_late(self, id_hi: UInt64s, id_lo: UInt64s, second: Int64s) -> None:
        """Remember late spans that a block says were let out.

        Args:
            id_hi: uint64[n], as `let_out` told them.
            id_lo: uint64[n], likewise.
            second: int64[n], of their traces' decisions.
        """
        self.remember(id_hi, id_lo, second, np.full(len(id_hi), SAMPLED, np.uint8))

    def let_out(self, spans: Rows, second: Int64s) -> tuple[Booleans, UInt64s, UInt64s]:
        """Remember spans of sampled traces as let out, and tell which of them were already.

        Args:
            spans: `SPAN` rows [n].
            second: int64[n], of their traces' decisions.

        Returns:
            bool[n], True for those that were out before; uint64[n] twice, what is remembered of
            each.
        """
        self.reserve(len(spans))
        known = np.empty(len(spans), np.bool_)
        id_hi, id_lo = np.empty(len(spans), np.uint64), np.empty(len(spans), np.uint64)
        let_spans_out(
            self.rows, self.slots, self._registers, np.ascontiguousarray(spans), second, known,
            id_hi, id_lo,
        )  # fmt: skip
        return known, id_hi, id_lo


def words_of(table: TraceTable, chosen: Int64s) -> UInt64s:
    """List the words of the buffered spans of some traces.

    Args:
        table: The partition's traces.
        chosen: int64[n], rows of traces.

    Returns:
        uint64[spans of these], trace by trace.
    """
    words = np.empty(int(table.rows["spans"][chosen].sum()), np.uint64)
    list_words(table.rows, table.entries, chosen, words)
    return words


def _columns(decisions: Sequence[PastDecision]) -> tuple[UInt64s, UInt64s, Int64s, Bytes]:
    past = [one for one in decisions if one.spans_out]
    ids = np.frombuffer(b"".join(one.trace_id for one in past), ">u8").astype(np.uint64)
    counts = np.array([len(one.spans_out) // WORD_BYTES for one in past], np.int64)
    second = np.array([one.decided_at_ms // _MS_PER_SECOND for one in past], np.int64)
    words = [one.spans_out[: WORD_BYTES * (len(one.spans_out) // WORD_BYTES)] for one in past]
    id_lo = np.frombuffer(b"".join(words), "<u8").astype(np.uint64)
    id_hi = np.repeat(_trace_word(ids[0::2], ids[1::2]), counts)
    return id_hi, id_lo, np.repeat(second, counts), np.full(len(id_lo), SAMPLED, np.uint8)


def _trace_word(id_hi: UInt64s, id_lo: UInt64s) -> UInt64s:
    words = np.empty(len(id_hi), np.uint64)
    mix_ids(np.ascontiguousarray(id_hi), np.ascontiguousarray(id_lo), words)
    return words


@inlined
def word_of(span_id: Word, mark: Word) -> Word:
    """Reduce a span to what it is remembered by within its trace.

    Args:
        span_id: uint64.
        mark: uint32, `mark_of` it.

    Returns:
        uint64.
    """
    return mixed(span_id, np.uint64(mark))


@kernel
def mix_ids(id_hi: UInt64s, id_lo: UInt64s, words: UInt64s) -> None:
    """Mix the halves of ids.

    Args:
        id_hi: uint64[n], first halves.
        id_lo: uint64[n], second halves.
        words: uint64[n], written.
    """
    for one in range(len(id_hi)):
        words[one] = mixed(id_hi[one], id_lo[one])


@kernel
def list_words(rows: Rows, entries: Rows, chosen: Int64s, words: UInt64s) -> None:
    """List the words of the spans of some traces.

    Args:
        rows: The table's rows.
        entries: The span ledger.
        chosen: int64[n], rows of traces.
        words: uint64[spans of these], written, trace by trace.
    """
    count = 0
    for place in range(len(chosen)):
        entry = np.int64(rows[chosen[place]]["entry"])
        while entry != 0:
            mark = entries[entry]["mark"]
            if mark != 0:
                words[count] = word_of(entries[entry]["span_id"], mark)
                count += 1
            entry = np.int64(entries[entry]["next"])


@kernel
def let_spans_out(
    out: Rows, out_slots: UInt32s, registers: Int64s, spans: Rows, second: Int64s,
    known: Booleans, id_hi: UInt64s, id_lo: UInt64s,
) -> None:  # fmt: skip
    """Remember spans as let out.

    Args:
        out: The memory's rows.
        out_slots: Their index.
        registers: The memory's registers.
        spans: `SPAN` rows [n].
        second: int64[n], of their traces' decisions.
        known: bool[n], written: whether each was out before, under this decision.
        id_hi: uint64[n], written: what is remembered of each.
        id_lo: uint64[n], written.
    """
    for one in range(len(spans)):
        span = spans[one]
        id_hi[one] = mixed(span["trace_hi"], span["trace_lo"])
        id_lo[one] = word_of(span["span_id"], mark_of(span["start"], span["kind"]))
        known[one] = enter_id(
            out, out_slots, registers, id_hi[one], id_lo[one], second[one], np.uint8(SAMPLED)
        )
