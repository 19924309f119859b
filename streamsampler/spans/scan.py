"""Stage 2, the scan: OTLP protobuf to span columns, in one compiled walk over a batch.

Hot: every byte of every record passes here once (`spans.walk`). What it costs a span stands in
``benchmarks/README.md``, and ``benchmarks/engine.py`` measures it.

Every read ends before the message it is in; a record that protobuf would refuse, or whose ids are
malformed, gets a fault and no spans, and its neighbours are untouched. What is accepted is what
upb accepts of the same schema with strings as bytes (a property test holds both to the same
answer). Unknown fields are walked over; attributes nobody wants are checked and passed.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.spans.columns import (
    ATTRIBUTE,
    EVENT,
    RECORD,
    SCOPE,
    SPAN,
    Bytes,
    Int64s,
    Rows,
)
from streamsampler.spans.fields import OVERSIZE, SCRATCH
from streamsampler.spans.grammar import trace_grammar
from streamsampler.spans.malformed import FAULTS
from streamsampler.spans.walk import EVENTS, RESOURCES, SCOPES, SPANS, TABLES, scan_records
from streamsampler.spans.wanted import key_table_of
from streamsampler.spans.wire import MAX_DEPTH

__all__ = ["FAULTS", "Scan", "Scanner"]

NO_SIZE: Final = 1 << 31
"""Nothing is as large."""
_ROOM: Final = 1024  # rows to begin with
_TABLE_OF: Final = (SPANS, SPANS, RESOURCES, SCOPES, SCOPES, EVENTS, EVENTS)


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found of a batch.

    Attributes:
        spans: `SPAN` rows, every span of every sound record, in the records' order.
        attributes: `ATTRIBUTE` rows [spans, wanted], the spans' own.
        resources: `ATTRIBUTE` rows [resources, wanted], by the spans' ``resource``; no span
            need refer to the last.
        records: `RECORD` rows, one a record.
        scopes: `SCOPE` rows, by the spans' ``scope``, likewise; none where they are not asked for.
        scope_attributes: `ATTRIBUTE` rows [scopes, wanted].
        events: `EVENT` rows, in the order of their spans; none where they are not asked for.
        event_attributes: `ATTRIBUTE` rows [events, wanted].
    """

    spans: Rows
    attributes: Rows
    resources: Rows
    records: Rows
    scopes: Rows
    scope_attributes: Rows
    events: Rows
    event_attributes: Rows


class Scanner:
    """Scans batches and keeps the room for their columns from one batch to the next.

    The columns of a `Scan` are views of that room: they hold until the next call.
    """

    def __init__(
        self, keys: tuple[bytes, ...] = (), *, scopes: bool = False, events: bool = False,
        oversize: int = NO_SIZE,
    ) -> None:  # fmt: skip
        """Prepare for what a policy set reads.

        Args:
            keys: Attribute keys, each once; their order numbers the columns of the attributes.
            scopes: Whether the instrumentation scopes are wanted.
            events: Whether the spans' events are wanted.
            oversize: A span with an attribute of more bytes, its key included, is noted.
        """
        self._grammar = trace_grammar(scopes=scopes, events=events)
        self._keys = np.frombuffer(b"".join(keys), np.uint8)
        self._key_bounds = np.cumsum([0, *map(len, keys)], dtype=np.int64)
        self._key_table = key_table_of(keys)
        self._stack = np.zeros(2 * MAX_DEPTH, np.int64)
        self._scratch = np.zeros(SCRATCH + MAX_DEPTH, np.int64)
        self._scratch[OVERSIZE] = oversize
        scope_room, event_room = _ROOM * scopes, _ROOM * events
        self._columns = [
            np.empty(_ROOM, SPAN),
            np.empty((_ROOM, len(keys)), ATTRIBUTE),
            np.empty((_ROOM, len(keys)), ATTRIBUTE),
            np.empty(scope_room, SCOPE),
            np.empty((scope_room, len(keys)), ATTRIBUTE),
            np.empty(event_room, EVENT),
            np.empty((event_room, len(keys)), ATTRIBUTE),
        ]

    def scan(self, buffer: Bytes, bounds: Int64s, skipped: Bytes | None = None) -> Scan:
        """Find the spans of records whose values are OTLP protobuf `TracesData`.

        Args:
            buffer: uint8, the values one after the other.
            bounds: int64[n + 1]; value i is ``buffer[bounds[i]:bounds[i + 1]]``.
            skipped: uint8[n], 1 for a record to pass over: it has no spans and no fault.

        Returns:
            The columns; they hold until the next call.
        """
        count = len(bounds) - 1
        records = np.zeros(count, RECORD)
        filled = np.zeros(TABLES + 1, np.int64)
        if skipped is None:
            skipped = np.zeros(count, np.uint8)
        done = 0
        while True:
            spans, attributes, resources, scopes, scope_attributes, events, event_attributes = (
                self._columns
            )
            done = scan_records(
                buffer, bounds, skipped, done, self._grammar, self._keys, self._key_bounds,
                self._key_table, spans, attributes, resources, scopes, scope_attributes, events,
                event_attributes, records, filled, self._stack, self._scratch,
            )  # fmt: skip
            if done == count:
                break
            self._columns = [
                _doubled(rows, filled[table]) if table == filled[TABLES] else rows
                for rows, table in zip(self._columns, _TABLE_OF, strict=True)
            ]
        return Scan(
            spans[: filled[SPANS]],
            attributes[: filled[SPANS]],
            resources[: filled[RESOURCES]],
            records,
            scopes[: filled[SCOPES]],
            scope_attributes[: filled[SCOPES]],
            events[: filled[EVENTS]],
            event_attributes[: filled[EVENTS]],
        )


def _doubled(rows: Rows, used: int) -> Rows:
    larger = np.empty((2 * len(rows), *rows.shape[1:]), rows.dtype)
    larger[:used] = rows[:used]
    return larger
