"""The walk of the scan: from tag to tag through a record, writing span columns as it goes.

Hot: every byte of every record passes here once. The walk trusts nothing: a record that protobuf
would refuse, or whose ids are malformed, gets a fault and no spans.
"""

from typing import Final

import numpy as np

from streamsampler.spans import grammar as g
from streamsampler.spans.attributes import (
    ATTRIBUTE_SLOTS,
    KEY_AT,
    KEY_SIZE,
    clear,
    close_attribute,
    open_attribute,
    value_field,
)
from streamsampler.spans.columns import Bytes, Int16s, Int64s, Rows, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.grammar import Grammar
from streamsampler.spans.wire import (
    DEEP,
    FULL,
    GROUP,
    LINK_ID,
    MAX_DEPTH,
    OK,
    PARENT_ID,
    SPAN_ID,
    TAG,
    TRACE_ID,
    read_big_endian,
    read_payload,
    read_varint,
    skip_group,
)

# The slots of the walk's scratch: what is known of the span or link being read; the first ones are
# the attribute's (`spans.attributes`).
_TRACE_SIZE, _SPAN_SIZE, _PARENT_SIZE, _LINK_TRACE_SIZE, _LINK_SPAN_SIZE = range(
    ATTRIBUTE_SLOTS, ATTRIBUTE_SLOTS + 5
)
SCRATCH: Final = ATTRIBUTE_SLOTS + 5


@inlined
def _open_span(spans: Rows, row: Word, resource: Word, scope: Word, scratch: Int64s) -> None:
    spans[row]["trace_hi"] = 0
    spans[row]["trace_lo"] = 0
    spans[row]["span_id"] = 0
    spans[row]["parent_id"] = 0
    spans[row]["start"] = 0
    spans[row]["end"] = 0
    spans[row]["kind"] = 0
    spans[row]["status"] = 0
    spans[row]["flags"] = 0
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
def _open_scope(scopes: Rows, row: Word) -> None:
    scopes[row]["name_at"] = 0
    scopes[row]["name_size"] = 0
    scopes[row]["version_at"] = 0
    scopes[row]["version_size"] = 0


@inlined
def _close_span(spans: Rows, row: Word, scratch: Int64s) -> Word:
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
def _close_link(scratch: Int64s) -> Word:
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
def _field(  # noqa: C901, PLR0912 - a kernel's state is its arguments; one branch a context
    buffer: Bytes, context: Word, field: Word, word: Word, at: Word, size: Word,
    spans: Rows, row: Word, scopes: Rows, scope: Word, events: Rows, event: Word, scratch: Int64s,
) -> None:  # fmt: skip
    """Take a scalar field that the schema knows, of its right wire type."""
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


@inlined
def _scope_field(field: Word, at: Word, size: Word, scopes: Rows, scope: Word) -> None:
    if field == 1:
        scopes[scope]["name_at"] = at
        scopes[scope]["name_size"] = size
    elif field == 2:
        scopes[scope]["version_at"] = at
        scopes[scope]["version_size"] = size


@inlined
def _scan_record(  # noqa: PLR0915, C901, PLR0911, PLR0912 - the walk itself
    buffer: Bytes, at: Word, end: Word, grammar: Grammar,
    keys: Bytes, key_bounds: Int64s, key_table: Int16s,
    spans: Rows, attributes: Rows, resources: Rows, scopes: Rows, scope_attributes: Rows,
    events: Rows, event_attributes: Rows, filled: Int64s, stack: Int64s, scratch: Int64s,
) -> tuple[Word, Word]:  # fmt: skip
    """Walk one record; returns its fault, or 0, and where the walk ended."""
    depth = 0
    context: Word = g.TRACES
    row = filled[0] - 1
    resource = filled[1] - 1
    scope = filled[2] - 1
    event = filled[3] - 1
    span_start = at
    while True:
        if at == end:
            if context == g.SPAN:
                fault = _close_span(spans, row, scratch)
                if fault != OK:
                    return fault, at
                spans[row]["size"] = at - span_start
            elif context == g.LINK:
                fault = _close_link(scratch)
                if fault != OK:
                    return fault, at
            elif context == g.SPAN_ATTRIBUTE:
                close_attribute(buffer, keys, key_bounds, key_table, attributes, row, scratch)
            elif context == g.RESOURCE_ATTRIBUTE:
                close_attribute(buffer, keys, key_bounds, key_table, resources, resource, scratch)
            elif context == g.SCOPE_ATTRIBUTE and scope >= 0:
                close_attribute(
                    buffer, keys, key_bounds, key_table, scope_attributes, scope, scratch
                )
            elif context == g.EVENT_ATTRIBUTE and event >= 0:
                close_attribute(
                    buffer, keys, key_bounds, key_table, event_attributes, event, scratch
                )
            if depth == 0:
                return OK, at
            depth -= 1
            context = stack[2 * depth]
            end = stack[2 * depth + 1]
            continue
        tag, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0 or tag > np.uint64(0xFFFFFFFF):
            return TAG, at
        at = after
        field = np.int64(tag >> np.uint64(3))
        wire = np.int64(tag & np.uint64(7))
        if field == 0:
            return TAG, at
        if wire == 3:
            fault, at = skip_group(buffer, at, end, field, MAX_DEPTH - depth, scratch[SCRATCH:])
            if fault != OK:
                return fault, at
            continue
        if wire == 4:
            return GROUP, at
        fault, word, at, size = read_payload(buffer, at, end, wire)
        if fault != OK:
            return fault, at
        holds = np.int64(grammar[context, field]) if field < grammar.shape[1] else g.UNKNOWN
        if holds >= g.MESSAGE and wire == 2:
            if depth == MAX_DEPTH:
                return DEEP, at
            stack[2 * depth] = context
            stack[2 * depth + 1] = end
            depth += 1
            parent = context
            context = holds - g.MESSAGE
            end = at + size
            if context == g.SPAN:
                row += 1
                if row == len(spans):
                    return FULL, at
                span_start = at
                _open_span(spans, row, resource, scope, scratch)
                clear(attributes, row)
                filled[0] = row + 1
            elif g.ATTRIBUTES <= context < g.VALUES:
                open_attribute(scratch)
            elif context == g.LINK:
                scratch[_LINK_TRACE_SIZE] = 0
                scratch[_LINK_SPAN_SIZE] = 0
            elif context == g.RESOURCE_SPANS:
                resource += 1
                if resource == len(resources):
                    return FULL, at
                clear(resources, resource)
                filled[1] = resource + 1
            elif context == g.SCOPE_SPANS:
                if len(scopes) > 0:
                    scope += 1
                    if scope == len(scopes):
                        return FULL, at
                    _open_scope(scopes, scope)
                    clear(scope_attributes, scope)
                    filled[2] = scope + 1
            elif context == g.EVENT:
                if len(events) > 0:
                    event += 1
                    if event == len(events):
                        return FULL, at
                    events[event]["span"] = row
                    events[event]["name_at"] = 0
                    events[event]["name_size"] = 0
                    clear(event_attributes, event)
                    filled[3] = event + 1
            elif g.VALUES <= parent < g.PLAIN:
                value_field(field, word, at, size, scratch)
            continue
        if _fits(holds, wire):
            _field(
                buffer, context, field, word, at, size, spans, row, scopes, scope, events, event,
                scratch,
            )  # fmt: skip
        at += size


@inlined
def _fits(holds: Word, wire: Word) -> Word:
    """Tell whether a field came as its wire type; if not, it counts as unknown."""
    if wire == 0:
        return holds == g.VARINT
    if wire == 1:
        return holds == g.FIXED64
    if wire == 2:
        return holds == g.BYTES
    return holds == g.FIXED32


@inlined
def _note_spans(
    record: Word, size: Word, first: Word, behind: Word, spans: Rows, records: Rows
) -> None:
    """Write down which spans a sound record holds, and share its other bytes among them."""
    count = behind - first
    records[record]["first_span"] = first
    records[record]["spans"] = count
    if count == 0:
        return
    around = size
    for row in range(first, behind):
        around -= spans[row]["size"]
    share = around // count
    spans[first]["size"] += around - share * count
    for row in range(first, behind):
        spans[row]["size"] += share
        spans[row]["record"] = record
        if (
            spans[row]["trace_hi"] != spans[first]["trace_hi"]
            or spans[row]["trace_lo"] != spans[first]["trace_lo"]
        ):
            records[record]["mixed"] = True


@kernel
def scan_records(
    buffer: Bytes, bounds: Int64s, skipped: Bytes, first: Word, grammar: Grammar,
    keys: Bytes, key_bounds: Int64s, key_table: Int16s,
    spans: Rows, attributes: Rows, resources: Rows, scopes: Rows, scope_attributes: Rows,
    events: Rows, event_attributes: Rows, records: Rows, filled: Int64s, stack: Int64s,
    scratch: Int64s,
) -> Word:  # fmt: skip
    """Scan records from one on, until all are done or the columns are full.

    Args:
        buffer: uint8, the records' values.
        bounds: int64[n + 1], where each value begins and ends.
        skipped: uint8[n], 1 for a record to pass over.
        first: The record to begin with.
        grammar: The schema's table (`grammar.trace_grammar`).
        keys: uint8, the attribute keys to locate, joined.
        key_bounds: int64[w + 1], where each key begins and ends.
        key_table: int16[KEY_SLOTS + w], number + 1 of the first key in each slot, and behind each
            key that of the next in its slot; 0: none.
        spans: `SPAN` rows; those from ``filled[0]`` on are written.
        attributes: `ATTRIBUTE` rows [spans, w], likewise.
        resources: `ATTRIBUTE` rows [resources, w]; those from ``filled[1]`` on are written.
        scopes: `SCOPE` rows, those from ``filled[2]`` on are written; none: scopes are passed over.
        scope_attributes: `ATTRIBUTE` rows [scopes, w], likewise.
        events: `EVENT` rows, those from ``filled[3]`` on are written; none: passed over likewise.
        event_attributes: `ATTRIBUTE` rows [events, w].
        records: `RECORD` rows, zero; what is found of each record is written here.
        filled: int64[4], rows used of `spans`, `resources`, `scopes` and `events`; moved on.
        stack: int64, scratch for the enclosing messages.
        scratch: int64, for what is known of the span, attribute or link being read.

    Returns:
        The record to go on with after making room; n when all are done.
    """
    for record in range(first, len(bounds) - 1):
        if skipped[record] != 0:
            continue
        spans_before = filled[0]
        resources_before = filled[1]
        scopes_before = filled[2]
        events_before = filled[3]
        fault, at = _scan_record(
            buffer, bounds[record], bounds[record + 1], grammar, keys, key_bounds, key_table,
            spans, attributes, resources, scopes, scope_attributes, events, event_attributes,
            filled, stack, scratch,
        )  # fmt: skip
        if fault == OK:
            size = bounds[record + 1] - bounds[record]
            _note_spans(record, size, spans_before, filled[0], spans, records)
            continue
        filled[0] = spans_before
        filled[1] = resources_before
        filled[2] = scopes_before
        filled[3] = events_before
        if fault == FULL:
            return record
        records[record]["fault"] = fault
        records[record]["fault_at"] = at - bounds[record]
    return len(bounds) - 1
