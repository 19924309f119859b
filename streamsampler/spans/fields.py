"""What the scan takes down of a field: each message's columns, begun, filled and judged.

Hot: steps of the walk, taken in by it once a field. Of a field that comes twice the last counts;
a message that comes twice is merged, as Protocol Buffers have it.
"""

from typing import Final

import numpy as np

from streamsampler.spans import columns as col
from streamsampler.spans import grammar as g
from streamsampler.spans.columns import Bytes, Int64s, Rows, Word
from streamsampler.spans.compiled import inlined
from streamsampler.spans.wire import LINK_ID, OK, PARENT_ID, SPAN_ID, TRACE_ID, read_big_endian

# The slots of the walk's scratch: what is known of the span, attribute or link being read. Behind
# them is the scratch for groups.
(
    _TRACE_SIZE,
    _SPAN_SIZE,
    _PARENT_SIZE,
    KEY_AT,
    KEY_SIZE,
    VALUE_KIND,
    VALUE_WORD,
    VALUE_SIZE,
    _LINK_TRACE_SIZE,
    _LINK_SPAN_SIZE,
    OVERSIZE,
) = range(11)
"""The last is no scratch: an attribute of more bytes, its key included, is noted."""
SCRATCH: Final = 11


@inlined
def open_span(spans: Rows, row: Word, resource: Word, scope: Word, scratch: Int64s) -> None:
    """Begin a span, with every field as if it were not there.

    Args:
        spans: `SPAN` rows.
        row: The span's.
        resource: Row of its resource.
        scope: Row of its scope; -1: passed over.
        scratch: What is known of it besides.
    """
    spans[row]["trace_hi"] = 0
    spans[row]["trace_lo"] = 0
    spans[row]["span_id"] = 0
    spans[row]["parent_id"] = 0
    spans[row]["start"] = 0
    spans[row]["end"] = 0
    spans[row]["kind"] = 0
    spans[row]["status"] = 0
    spans[row]["flags"] = 0
    spans[row]["notes"] = 0
    spans[row]["resource"] = resource
    spans[row]["scope"] = scope
    spans[row]["name_at"] = 0
    spans[row]["name_size"] = 0
    spans[row]["state_at"] = 0
    spans[row]["state_size"] = 0
    spans[row]["message_at"] = 0
    spans[row]["message_size"] = 0
    scratch[_TRACE_SIZE] = 0
    scratch[_SPAN_SIZE] = 0
    scratch[_PARENT_SIZE] = 0


@inlined
def open_scope(scopes: Rows, row: Word) -> None:
    """Begin a scope: it may never be named."""
    scopes[row]["name_at"] = 0
    scopes[row]["name_size"] = 0
    scopes[row]["version_at"] = 0
    scopes[row]["version_size"] = 0


@inlined
def close_span(spans: Rows, row: Word, scratch: Int64s) -> Word:
    """Judge a span's ids once all of its fields are read, as the last of a repeated one counts."""
    zero = np.uint64(0)
    if scratch[_TRACE_SIZE] != 16 or (
        spans[row]["trace_hi"] == zero and spans[row]["trace_lo"] == zero
    ):
        return TRACE_ID
    if scratch[_SPAN_SIZE] != 8 or spans[row]["span_id"] == zero:
        return SPAN_ID
    if scratch[_PARENT_SIZE] != 8 and scratch[_PARENT_SIZE] != 0:
        return PARENT_ID
    return OK


@inlined
def open_link(scratch: Int64s) -> None:
    """Begin a link, without ids."""
    scratch[_LINK_TRACE_SIZE] = 0
    scratch[_LINK_SPAN_SIZE] = 0


@inlined
def open_event(events: Rows, row: Word, span: Word) -> None:
    """Begin an event of the span with this row."""
    events[row]["span"] = span
    events[row]["name_at"] = 0
    events[row]["name_size"] = 0


@inlined
def close_link(scratch: Int64s) -> Word:
    """Judge a link's ids: for one of a wrong length the Collector refuses the whole record."""
    trace_size = scratch[_LINK_TRACE_SIZE]
    span_size = scratch[_LINK_SPAN_SIZE]
    if (trace_size == 0 or trace_size == 16) and (span_size == 0 or span_size == 8):
        return OK
    return LINK_ID


@inlined
def _span_bytes(
    buffer: Bytes, at: Word, size: Word, field: Word, spans: Rows, row: Word, scratch: Int64s
) -> None:
    if field == 1:
        scratch[_TRACE_SIZE] = size
        if size == 16:
            spans[row]["trace_hi"] = read_big_endian(buffer, at)
            spans[row]["trace_lo"] = read_big_endian(buffer, at + 8)
    elif field == 2:
        scratch[_SPAN_SIZE] = size
        if size == 8:
            spans[row]["span_id"] = read_big_endian(buffer, at)
    elif field == 3:
        spans[row]["state_at"] = at
        spans[row]["state_size"] = size
    elif field == 4:
        scratch[_PARENT_SIZE] = size
        spans[row]["parent_id"] = read_big_endian(buffer, at) if size == 8 else np.uint64(0)
    elif field == 5:
        spans[row]["name_at"] = at
        spans[row]["name_size"] = size


@inlined
def _span_number(field: Word, word: Word, spans: Rows, row: Word) -> None:
    if field == 6:
        spans[row]["kind"] = np.int32(np.uint32(word))
    elif field == 7:
        spans[row]["start"] = word
    elif field == 8:
        spans[row]["end"] = word
    elif field == 16:
        spans[row]["flags"] = np.uint32(word)


@inlined
def open_attribute(scratch: Int64s) -> None:
    """Begin an attribute, with an empty key and no value."""
    scratch[KEY_AT] = 0
    scratch[KEY_SIZE] = 0
    scratch[VALUE_KIND] = col.EMPTY
    scratch[VALUE_WORD] = 0
    scratch[VALUE_SIZE] = 0


@inlined
def value_field(field: Word, word: Word, at: Word, size: Word, scratch: Int64s) -> None:
    """Note what an attribute's value is; of a oneof's fields the last counts."""
    scratch[VALUE_WORD] = np.int64(word)
    scratch[VALUE_SIZE] = 0
    if field == 1:
        scratch[VALUE_KIND] = col.STRING
        scratch[VALUE_WORD] = at
        scratch[VALUE_SIZE] = size
    elif field == 2:
        scratch[VALUE_KIND] = col.BOOL
        scratch[VALUE_WORD] = 1 if word != np.uint64(0) else 0
    elif field == 3:
        scratch[VALUE_KIND] = col.INT
    elif field == 4:
        scratch[VALUE_KIND] = col.DOUBLE
    else:
        scratch[VALUE_KIND] = col.OTHER


@inlined
def _scope_field(field: Word, at: Word, size: Word, scopes: Rows, scope: Word) -> None:
    if field == 1:
        scopes[scope]["name_at"] = at
        scopes[scope]["name_size"] = size
    elif field == 2:
        scopes[scope]["version_at"] = at
        scopes[scope]["version_size"] = size


@inlined
def take_field(  # noqa: C901, PLR0912 - a kernel's state is its arguments; one branch a context
    buffer: Bytes, context: Word, field: Word, word: Word, at: Word, size: Word,
    spans: Rows, row: Word, scopes: Rows, scope: Word, events: Rows, event: Word, scratch: Int64s,
) -> None:  # fmt: skip
    """Take a scalar field that the schema knows, of its right wire type.

    Args:
        buffer: uint8.
        context: The message that it is in (`spans.grammar`).
        field: Its number.
        word: Its value, where that is a number; uint64.
        at: Position of its bytes, where it is a string or bytes.
        size: How many they are.
        spans: `SPAN` rows.
        row: The span being read.
        scopes: `SCOPE` rows.
        scope: The scope being read; -1: passed over.
        events: `EVENT` rows.
        event: The event being read, likewise.
        scratch: What is known of the span, attribute or link besides.
    """
    if context == g.SPAN:
        if field <= 5:
            _span_bytes(buffer, at, size, field, spans, row, scratch)
        else:
            _span_number(field, word, spans, row)
    elif g.ATTRIBUTES <= context < g.VALUES:
        if field == 1:
            scratch[KEY_AT] = at
            scratch[KEY_SIZE] = size
    elif g.VALUES <= context < g.PLAIN:
        value_field(field, word, at, size, scratch)
    elif context == g.STATUS:
        if field == 3:
            spans[row]["status"] = np.int32(np.uint32(word))
        elif field == 2:
            spans[row]["message_at"] = at
            spans[row]["message_size"] = size
    elif context == g.LINK:
        if field == 1:
            scratch[_LINK_TRACE_SIZE] = size
        elif field == 2:
            scratch[_LINK_SPAN_SIZE] = size
    elif context == g.SCOPE:
        if scope >= 0:
            _scope_field(field, at, size, scopes, scope)
    elif context == g.EVENT and event >= 0 and field == 2:
        events[event]["name_at"] = at
        events[event]["name_size"] = size
