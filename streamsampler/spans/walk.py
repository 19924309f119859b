"""The walk of the scan: from tag to tag through a record, writing span columns as it goes.

Hot: every byte of every record passes here once. The walk trusts nothing: a record that protobuf
would refuse, or whose ids are malformed, gets a fault and no spans.
"""

from typing import Final

import numpy as np

from streamsampler.spans import grammar as g
from streamsampler.spans.columns import LINKED, OVERSIZED, Bytes, Int16s, Int64s, Rows, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.fields import (
    OVERSIZE,
    SCRATCH,
    close_link,
    close_span,
    open_attribute,
    open_event,
    open_link,
    open_scope,
    open_span,
    take_field,
    value_field,
)
from streamsampler.spans.grammar import Grammar
from streamsampler.spans.wanted import clear_attributes, close_attribute
from streamsampler.spans.wire import (
    DEEP,
    GROUP,
    MAX_DEPTH,
    OK,
    TAG,
    read_payload,
    read_varint,
    skip_group,
)

SPANS, RESOURCES, SCOPES, EVENTS = range(4)
"""The tables that a scan fills."""
TABLES: Final = 4
_FULL: Final = 250  # no fault of the record: _FULL + the table that has no room for it


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
    row = filled[SPANS] - 1
    resource = filled[RESOURCES] - 1
    scope = filled[SCOPES] - 1
    event = filled[EVENTS] - 1
    span_start = at
    while True:
        if at == end:
            if context == g.SPAN:
                fault = close_span(spans, row, scratch)
                if fault != OK:
                    return fault, at
                spans[row]["size"] = at - span_start
            elif context == g.LINK:
                fault = close_link(scratch)
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
                    return _FULL + SPANS, at
                span_start = at
                open_span(spans, row, resource, scope, scratch)
                clear_attributes(attributes, row)
                filled[SPANS] = row + 1
            elif g.ATTRIBUTES <= context < g.VALUES:
                open_attribute(scratch)
                if context == g.SPAN_ATTRIBUTE and size > scratch[OVERSIZE]:
                    spans[row]["notes"] |= OVERSIZED
            elif context == g.LINK:
                open_link(scratch)
                spans[row]["notes"] |= LINKED
            elif context == g.RESOURCE_SPANS:
                # A row that no span refers to serves again: else a message of two bytes, empty,
                # would take as much room as a span.
                if resource < 0 or (row >= 0 and spans[row]["resource"] == resource):
                    resource += 1
                if resource == len(resources):
                    return _FULL + RESOURCES, at
                clear_attributes(resources, resource)
                filled[RESOURCES] = resource + 1
            elif context == g.SCOPE_SPANS:
                if len(scopes) > 0:
                    if scope < 0 or (row >= 0 and spans[row]["scope"] == scope):
                        scope += 1
                    if scope == len(scopes):
                        return _FULL + SCOPES, at
                    open_scope(scopes, scope)
                    clear_attributes(scope_attributes, scope)
                    filled[SCOPES] = scope + 1
            elif context == g.EVENT:
                if len(events) > 0:
                    event += 1
                    if event == len(events):
                        return _FULL + EVENTS, at
                    open_event(events, event, row)
                    clear_attributes(event_attributes, event)
                    filled[EVENTS] = event + 1
            elif g.VALUES <= parent < g.PLAIN:
                value_field(field, word, at, size, scratch)
            continue
        if _fits(holds, wire):
            take_field(
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
        grammar: The schema's table (`grammar.trace_grammar`), for the scopes and events that
            there is room for.
        keys: uint8, the attribute keys to locate, joined.
        key_bounds: int64[w + 1], where each key begins and ends.
        key_table: int16[KEY_SLOTS + w], of `wanted.key_table_of` these keys.
        spans: `SPAN` rows; those from ``filled[SPANS]`` on are written.
        attributes: `ATTRIBUTE` rows [spans, w], likewise.
        resources: `ATTRIBUTE` rows [resources, w]; likewise.
        scopes: `SCOPE` rows, likewise; none: scopes are passed over.
        scope_attributes: `ATTRIBUTE` rows [scopes, w], likewise.
        events: `EVENT` rows, likewise; none: events are passed over.
        event_attributes: `ATTRIBUTE` rows [events, w], likewise.
        records: `RECORD` rows, zero; what is found of each record is written here.
        filled: int64[TABLES + 1], the rows used of each table, moved on; and behind them the
            table that is full, where not all are done.
        stack: int64, scratch for the enclosing messages.
        scratch: int64, for what is known of the span, attribute or link being read.

    Returns:
        The record to go on with after making room; n when all are done.
    """
    for record in range(first, len(bounds) - 1):
        if skipped[record] != 0:
            continue
        spans_before = filled[SPANS]
        resources_before = filled[RESOURCES]
        scopes_before = filled[SCOPES]
        events_before = filled[EVENTS]
        fault, at = _scan_record(
            buffer, bounds[record], bounds[record + 1], grammar, keys, key_bounds, key_table,
            spans, attributes, resources, scopes, scope_attributes, events, event_attributes,
            filled, stack, scratch,
        )  # fmt: skip
        if fault == OK:
            size = bounds[record + 1] - bounds[record]
            _note_spans(record, size, spans_before, filled[SPANS], spans, records)
            continue
        filled[SPANS] = spans_before
        filled[RESOURCES] = resources_before
        filled[SCOPES] = scopes_before
        filled[EVENTS] = events_before
        if fault >= _FULL:
            filled[TABLES] = fault - _FULL
            return record
        records[record]["fault"] = fault
        records[record]["fault_at"] = at - bounds[record]
    return len(bounds) - 1
