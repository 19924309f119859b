"""The columns that paths read of a batch, as long as its spans or as its events."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from streamsampler.policies.ottl.functions import Plain
from streamsampler.policies.ottl.paths import KINDS
from streamsampler.policies.ottl.pool import Pool
from streamsampler.policies.ottl.tree import Read
from streamsampler.policies.ottl.values import (
    BOOL,
    INT,
    KIND_OF_ATTRIBUTE,
    NIL,
    SPAN_ID,
    STRING,
    TIME,
    TRACE_ID,
    Column,
    column_of,
)
from streamsampler.policies.ottl.view import SpanView
from streamsampler.spans.columns import Bytes, Int64s, Rows, UInt64s
from streamsampler.spans.trace_context import TraceContextError, parse_tracestate

_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)


def read(path: Read, view: SpanView, pool: Pool, *, events: bool) -> Column:
    """Read a path of all spans, or of all events.

    Args:
        path: What to read.
        view: The batch, which the pool has turned to.
        pool: Numbers the strings.
        events: Whether a row is an event, and not a span.

    Returns:
        Its values.
    """
    name = path, events
    if name not in pool.columns:
        owner, _, rest = path.path.partition(".")
        column = _of_owner(owner, rest, path.key, view, pool)
        pool.columns[name] = _spread(column, _rows(owner, view, events=events))
    return pool.columns[name]


def _of_owner(owner: str, rest: str, key: bytes, view: SpanView, pool: Pool) -> Column:
    if rest == "attributes":
        rows = {
            "span": view.attributes,
            "resource": view.resources,
            "scope": view.scope_attributes,
            "spanevent": view.event_attributes,
        }[owner]
        return _attribute(rows, view.keys.index(key), view.buffer, pool)
    if owner == "span":
        return _state(key, view, pool) if key else _SPAN[rest](view, pool)
    rows = view.scopes if owner == "scope" else view.events
    return _text(rest, rows, view.buffer, pool)


def _rows(owner: str, view: SpanView, *, events: bool) -> Int64s | None:
    """Which of the owner's rows each span or event reads; None: each its own."""
    if owner == "spanevent":
        return None
    of_event = view.events["span"] if events else None
    if owner == "span":
        return of_event
    of_span: Int64s = view.spans[owner]
    return of_span if of_event is None else of_span[of_event]


def _spread(column: Column, rows: Int64s | None) -> Column:
    if rows is None:
        return column
    kinds = column.kinds if len(column.kinds) == 1 != len(column.words) else column.kinds[rows]
    return Column(kinds, column.words[rows])


def _attribute(rows: Rows, key: int, buffer: Bytes, pool: Pool) -> Column:
    kinds = KIND_OF_ATTRIBUTE[rows["kind"][:, key]]
    numbers = pool.number(buffer, rows, key)
    words = np.where(kinds == STRING, numbers, rows["word"][:, key])
    return Column(kinds, np.where(kinds == NIL, 0, words))


def _text(name: str, rows: Rows, buffer: Bytes, pool: Pool) -> Column:
    numbers = pool.strings(buffer, rows[f"{name}_at"], rows[f"{name}_size"])
    return column_of(STRING, numbers)


def _state(key: bytes, view: SpanView, pool: Pool) -> Column:
    numbers = _text("state", view.spans, view.buffer, pool).words
    return pool.apply(("trace_state", key), partial(_member, key=key), INT, numbers)


def _member(state: bytes, key: bytes) -> Plain:
    """A member's value: empty where there is none, nil where the list breaks a rule.

    Source: OpenTelemetry Collector, pkg/ottl, path trace_state.
    """
    try:
        members = dict(parse_tracestate(state))
    except TraceContextError:
        return None
    return members.get(key.decode(errors="replace"), "").encode()


def _number(name: str, kind: int) -> "Callable[[SpanView, Pool], Column]":
    def get(view: SpanView, _pool: Pool) -> Column:
        return column_of(kind, view.spans[name].astype(np.int64))

    return get


def _string(name: str) -> "Callable[[SpanView, Pool], Column]":
    return lambda view, pool: _text(name, view.spans, view.buffer, pool)


def _hex(kind: int, *names: str) -> "Callable[[SpanView, Pool], Column]":
    def get(view: SpanView, pool: Pool) -> Column:
        digits = np.concatenate([_digits(view.spans[name]) for name in names], axis=1)
        count, size = digits.shape
        at = np.arange(count, dtype=np.int64) * size
        return column_of(kind, pool.strings(digits.ravel(), at, np.full(count, size)))

    return get


def _digits(words: UInt64s) -> Bytes:
    """The hexadecimal digits of words, uint8[n, 16]."""
    octets = words.astype(">u8").view(np.uint8).reshape(len(words), 8)
    return _HEX[np.stack([octets >> 4, octets & 15], axis=2)].reshape(len(words), 16)


def _kind_string(view: SpanView, pool: Pool) -> Column:
    numbers = np.array([pool.literal(text.encode()) for text in (*KINDS, "")], np.int64)
    kinds = view.spans["kind"]
    return column_of(STRING, numbers[np.where((kinds < 0) | (kinds >= len(KINDS)), -1, kinds)])


def _is_root(view: SpanView, _pool: Pool) -> Column:
    return column_of(BOOL, (view.spans["parent_id"] == 0).astype(np.int64))


def _events(view: SpanView, _pool: Pool) -> Column:
    return column_of(INT, np.bincount(view.events["span"], minlength=len(view.spans)))


_SPAN: Final[Mapping[str, Callable[[SpanView, Pool], Column]]] = {
    "name": _string("name"),
    "status.message": _string("message"),
    "trace_state": _string("state"),
    "kind": _number("kind", INT),
    "kind.string": _kind_string,
    "status.code": _number("status", INT),
    "start_time_unix_nano": _number("start", INT),
    "end_time_unix_nano": _number("end", INT),
    "start_time": _number("start", TIME),
    "end_time": _number("end", TIME),
    "span_id": _number("span_id", SPAN_ID),
    "parent_span_id": _number("parent_id", SPAN_ID),
    "trace_id": _hex(TRACE_ID, "trace_hi", "trace_lo"),
    "trace_id.string": _hex(STRING, "trace_hi", "trace_lo"),
    "span_id.string": _hex(STRING, "span_id"),
    "parent_span_id.string": _hex(STRING, "parent_id"),
    "is_root": _is_root,
    "events": _events,
}
