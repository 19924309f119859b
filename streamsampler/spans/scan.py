"""Stage 2, the scan: OTLP protobuf to span columns, in one compiled walk over a batch.

Hot: every byte of every record passes here once. What it costs a span stands in
``benchmarks/README.md``, and ``benchmarks/engine.py`` measures it.

The walk trusts nothing. Every read ends before the message it is in; a record that protobuf would
refuse, or whose ids are malformed, gets a fault and no spans, and its neighbours are untouched.
What is accepted is what upb accepts of the same schema with strings as bytes (a property test
holds both to the same answer). Unknown fields are walked over; attributes nobody wants are
checked and passed.

Source: Protocol Buffers encoding, https://protobuf.dev/programming-guides/encoding/, and the
limits of upb's decoder: 100 levels, tags of at most 5 bytes, varints of at most 10.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.spans import columns as col
from streamsampler.spans import grammar as g
from streamsampler.spans.columns import ATTRIBUTE, RECORD, SPAN, Bytes, Int64s, Rows, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.grammar import Grammar, trace_grammar

# Why a record is malformed; the index is what the kernel writes down.
FAULTS: Final = (
    "",
    "truncated",
    "bad_varint",
    "bad_tag",
    "bad_length",
    "bad_group",
    "too_deep",
    "bad_trace_id",
    "bad_span_id",
    "bad_parent_id",
    "bad_link_id",
)
(
    _OK,
    _TRUNCATED,
    _VARINT,
    _TAG,
    _LENGTH,
    _GROUP,
    _DEEP,
    _TRACE_ID,
    _SPAN_ID,
    _PARENT_ID,
    _LINK_ID,
) = range(11)
_FULL: Final = 255  # no fault of the record: the columns have no room for it

_MAX_DEPTH: Final = 100
_MAX_LENGTH: Final = 0x7FFFFFFF

# The slots of the walk's scratch: what is known of the span, attribute or link being read.
_TRACE_SIZE, _SPAN_SIZE, _PARENT_SIZE, _KEY_AT, _KEY_SIZE, _VALUE_KIND, _VALUE_WORD, _VALUE_SIZE = (
    range(8)
)
_LINK_TRACE_SIZE, _LINK_SPAN_SIZE = 8, 9
_SCRATCH: Final = 10


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan found of a batch.

    Attributes:
        spans: `SPAN` rows, every span of every sound record, in the records' order.
        attributes: `ATTRIBUTE` rows [spans, wanted], the spans' own.
        resources: `ATTRIBUTE` rows [resources, wanted], by the spans' ``resource``.
        records: `RECORD` rows, one a record.
    """

    spans: Rows
    attributes: Rows
    resources: Rows
    records: Rows


class Scanner:
    """Scans batches and keeps the room for their columns from one batch to the next.

    The columns of a `Scan` are views of that room: they hold until the next call.
    """

    def __init__(self, keys: tuple[bytes, ...] = ()) -> None:
        """Prepare for the attributes that a policy set reads.

        Args:
            keys: Attribute keys, each once; their order numbers the columns of the attributes.
        """
        self._grammar = trace_grammar()
        self._keys = np.frombuffer(b"".join(keys), np.uint8)
        self._key_bounds = np.cumsum([0, *map(len, keys)], dtype=np.int64)
        self._stack = np.zeros(2 * _MAX_DEPTH, np.int64)
        self._scratch = np.zeros(_SCRATCH + _MAX_DEPTH, np.int64)
        self._spans = np.empty(1024, SPAN)
        self._attributes = np.empty((1024, len(keys)), ATTRIBUTE)
        self._resources = np.empty((1024, len(keys)), ATTRIBUTE)

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
        filled = np.zeros(2, np.int64)
        if skipped is None:
            skipped = np.zeros(count, np.uint8)
        done = 0
        while True:
            done = scan_records(
                buffer, bounds, skipped, done, self._grammar, self._keys, self._key_bounds,
                self._spans, self._attributes, self._resources, records, filled,
                self._stack, self._scratch,
            )  # fmt: skip
            if done == count:
                break
            self._spans = _doubled(self._spans)
            self._attributes = _doubled(self._attributes)
            self._resources = _doubled(self._resources)
        spans, resources = filled
        return Scan(
            self._spans[:spans], self._attributes[:spans], self._resources[:resources], records
        )


def _doubled(rows: Rows) -> Rows:
    larger = np.empty((2 * len(rows), *rows.shape[1:]), rows.dtype)
    larger[: len(rows)] = rows
    return larger


@inlined
def read_varint(buffer: Bytes, at: Word, end: Word) -> tuple[Word, Word]:
    """Read a varint.

    Args:
        buffer: uint8.
        at: Position of its first byte.
        end: Position that it must end before.

    Returns:
        The value as uint64 and the position behind it; -1 for the position if there is no
        terminated varint of at most ten bytes before `end`.
    """
    # Nearly all tags and lengths are one byte.
    if at < end and buffer[at] < 0x80:
        return np.uint64(buffer[at]), at + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    stop = min(end, at + 10)
    while at < stop:
        byte = np.uint64(buffer[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            return value, at
        shift += np.uint64(7)
    return value, -1


@inlined
def _read_big_endian(buffer: Bytes, at: Word) -> Word:
    word = np.uint64(0)
    for index in range(8):
        word = (word << np.uint64(8)) | np.uint64(buffer[at + index])
    return word


@inlined
def _read_little_endian(buffer: Bytes, at: Word, size: Word) -> Word:
    word = np.uint64(0)
    for index in range(size):
        word |= np.uint64(buffer[at + index]) << np.uint64(8 * index)
    return word


@kernel
def _skip_group(
    buffer: Bytes, at: Word, end: Word, field: Word, room: Word, open_groups: Int64s
) -> tuple[Word, Word]:
    """Pass over a group, which OTLP has none of: it is an unknown field.

    Args:
        buffer: uint8.
        at: Position behind the group's start tag.
        end: Position that it must end before.
        field: Its field number, which the end tag must repeat.
        room: How many levels it may still nest.
        open_groups: int64, scratch for the numbers of the groups that are open.

    Returns:
        A fault, or 0, and the position behind the group.
    """
    depth = 0
    if room < 1:
        return _DEEP, at
    open_groups[0] = field
    while True:
        tag, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0 or tag > np.uint64(0xFFFFFFFF):
            return _TAG, at
        at = after
        number = np.int64(tag >> np.uint64(3))
        wire = np.int64(tag & np.uint64(7))
        if wire == 3:
            depth += 1
            if depth >= room:
                return _DEEP, at
            open_groups[depth] = number
        elif wire == 4:
            if open_groups[depth] != number:
                return _GROUP, at
            depth -= 1
            if depth < 0:
                return _OK, at
        else:
            fault, _, at, size = _read_payload(buffer, at, end, wire)
            if fault != _OK:
                return fault, at
            at += size


@inlined
def _read_payload(  # noqa: PLR0911 - one way out for each wire type and fault
    buffer: Bytes, at: Word, end: Word, wire: Word
) -> tuple[Word, Word, Word, Word]:
    """Read what follows a tag, for the wire types that are no group.

    Returns:
        A fault, or 0; the value of a varint or fixed field as uint64; the position of the bytes
        still to pass (all else has been passed); their number.
    """
    word = np.uint64(0)
    if wire == 0:
        word, after = read_varint(buffer, at, end)
        if after < 0:
            return _VARINT, word, at, 0
        return _OK, word, after, 0
    if wire == 2:
        word, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0 or word > np.uint64(_MAX_LENGTH):
            return _LENGTH, word, at, 0
        size = np.int64(word)
        if size > end - after:
            return _TRUNCATED, word, after, 0
        return _OK, word, after, size
    if wire == 1 or wire == 5:
        width = 8 if wire == 1 else 4
        if end - at < width:
            return _TRUNCATED, word, at, 0
        return _OK, _read_little_endian(buffer, at, width), at + width, 0
    return _TAG, word, at, 0


@inlined
def _clear(attributes: Rows, row: Word) -> None:
    for key in range(attributes.shape[1]):
        attributes[row, key]["kind"] = col.ABSENT


@inlined
def _open_span(spans: Rows, row: Word, resource: Word, scratch: Int64s) -> None:
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
    spans[row]["name_at"] = 0
    spans[row]["name_size"] = 0
    spans[row]["state_at"] = 0
    spans[row]["state_size"] = 0
    scratch[_TRACE_SIZE] = 0
    scratch[_SPAN_SIZE] = 0
    scratch[_PARENT_SIZE] = 0


@inlined
def _close_span(spans: Rows, row: Word, scratch: Int64s) -> Word:
    """Judge a span's ids once all of its fields are read, as the last of a repeated one counts."""
    zero = np.uint64(0)
    if scratch[_TRACE_SIZE] != 16 or (
        spans[row]["trace_hi"] == zero and spans[row]["trace_lo"] == zero
    ):
        return _TRACE_ID
    if scratch[_SPAN_SIZE] != 8 or spans[row]["span_id"] == zero:
        return _SPAN_ID
    if scratch[_PARENT_SIZE] != 8 and scratch[_PARENT_SIZE] != 0:
        return _PARENT_ID
    return _OK


@inlined
def _close_link(scratch: Int64s) -> Word:
    """Judge a link's ids: for one of a wrong length the Collector refuses the whole record."""
    trace_size = scratch[_LINK_TRACE_SIZE]
    span_size = scratch[_LINK_SPAN_SIZE]
    if (trace_size == 0 or trace_size == 16) and (span_size == 0 or span_size == 8):
        return _OK
    return _LINK_ID


@inlined
def _span_bytes(
    buffer: Bytes, at: Word, size: Word, field: Word, spans: Rows, row: Word, scratch: Int64s
) -> None:
    if field == 1:
        scratch[_TRACE_SIZE] = size
        if size == 16:
            spans[row]["trace_hi"] = _read_big_endian(buffer, at)
            spans[row]["trace_lo"] = _read_big_endian(buffer, at + 8)
    elif field == 2:
        scratch[_SPAN_SIZE] = size
        if size == 8:
            spans[row]["span_id"] = _read_big_endian(buffer, at)
    elif field == 3:
        spans[row]["state_at"] = at
        spans[row]["state_size"] = size
    elif field == 4:
        scratch[_PARENT_SIZE] = size
        spans[row]["parent_id"] = _read_big_endian(buffer, at) if size == 8 else np.uint64(0)
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
def _open_attribute(scratch: Int64s) -> None:
    scratch[_KEY_AT] = 0
    scratch[_KEY_SIZE] = 0
    scratch[_VALUE_KIND] = col.EMPTY
    scratch[_VALUE_WORD] = 0
    scratch[_VALUE_SIZE] = 0


@inlined
def _value_field(field: Word, word: Word, at: Word, size: Word, scratch: Int64s) -> None:
    """Note what an attribute's value is; of a oneof's fields the last counts."""
    scratch[_VALUE_WORD] = np.int64(word)
    scratch[_VALUE_SIZE] = 0
    if field == 1:
        scratch[_VALUE_KIND] = col.STRING
        scratch[_VALUE_WORD] = at
        scratch[_VALUE_SIZE] = size
    elif field == 2:
        scratch[_VALUE_KIND] = col.BOOL
        scratch[_VALUE_WORD] = 1 if word != np.uint64(0) else 0
    elif field == 3:
        scratch[_VALUE_KIND] = col.INT
    elif field == 4:
        scratch[_VALUE_KIND] = col.DOUBLE
    else:
        scratch[_VALUE_KIND] = col.OTHER


@inlined
def _close_attribute(
    buffer: Bytes, keys: Bytes, key_bounds: Int64s, found: Rows, row: Word, scratch: Int64s
) -> None:
    """Write the attribute down if its key is wanted and not found yet."""
    at = scratch[_KEY_AT]
    size = scratch[_KEY_SIZE]
    for key in range(len(key_bounds) - 1):
        first = key_bounds[key]
        if key_bounds[key + 1] - first != size or found[row, key]["kind"] != col.ABSENT:
            continue
        same = 0
        while same < size and keys[first + same] == buffer[at + same]:
            same += 1
        if same == size:
            found[row, key]["kind"] = scratch[_VALUE_KIND]
            found[row, key]["word"] = scratch[_VALUE_WORD]
            found[row, key]["size"] = scratch[_VALUE_SIZE]


@inlined
def _field(  # noqa: C901 - a kernel's state is its arguments; one branch a context
    buffer: Bytes, context: Word, field: Word, word: Word, at: Word, size: Word,
    spans: Rows, row: Word, scratch: Int64s,
) -> None:  # fmt: skip
    """Take a scalar field that the schema knows, of its right wire type."""
    if context == g.SPAN:
        if field <= 5:
            _span_bytes(buffer, at, size, field, spans, row, scratch)
        else:
            _span_number(field, word, spans, row)
    elif context == g.SPAN_ATTRIBUTE or context == g.RESOURCE_ATTRIBUTE:
        if field == 1:
            scratch[_KEY_AT] = at
            scratch[_KEY_SIZE] = size
    elif context == g.SPAN_VALUE or context == g.RESOURCE_VALUE:
        _value_field(field, word, at, size, scratch)
    elif context == g.STATUS:
        if field == 3:
            spans[row]["status"] = np.int32(np.uint32(word))
    elif context == g.LINK:
        if field == 1:
            scratch[_LINK_TRACE_SIZE] = size
        elif field == 2:
            scratch[_LINK_SPAN_SIZE] = size


@inlined
def _scan_record(  # noqa: PLR0915, C901, PLR0911, PLR0912 - the walk itself
    buffer: Bytes, at: Word, end: Word, grammar: Grammar, keys: Bytes, key_bounds: Int64s,
    spans: Rows, attributes: Rows, resources: Rows, filled: Int64s, stack: Int64s, scratch: Int64s,
) -> tuple[Word, Word]:  # fmt: skip
    """Walk one record; returns its fault, or 0, and where the walk ended."""
    depth = 0
    context: Word = g.TRACES
    row = filled[0] - 1
    resource = filled[1] - 1
    span_start = at
    while True:
        if at == end:
            if context == g.SPAN:
                fault = _close_span(spans, row, scratch)
                if fault != _OK:
                    return fault, at
                spans[row]["size"] = at - span_start
            elif context == g.LINK:
                fault = _close_link(scratch)
                if fault != _OK:
                    return fault, at
            elif context == g.SPAN_ATTRIBUTE:
                _close_attribute(buffer, keys, key_bounds, attributes, row, scratch)
            elif context == g.RESOURCE_ATTRIBUTE:
                _close_attribute(buffer, keys, key_bounds, resources, resource, scratch)
            if depth == 0:
                return _OK, at
            depth -= 1
            context = stack[2 * depth]
            end = stack[2 * depth + 1]
            continue
        tag, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0 or tag > np.uint64(0xFFFFFFFF):
            return _TAG, at
        at = after
        field = np.int64(tag >> np.uint64(3))
        wire = np.int64(tag & np.uint64(7))
        if field == 0:
            return _TAG, at
        if wire == 3:
            fault, at = _skip_group(buffer, at, end, field, _MAX_DEPTH - depth, scratch[_SCRATCH:])
            if fault != _OK:
                return fault, at
            continue
        if wire == 4:
            return _GROUP, at
        fault, word, at, size = _read_payload(buffer, at, end, wire)
        if fault != _OK:
            return fault, at
        holds = np.int64(grammar[context, field]) if field < grammar.shape[1] else g.UNKNOWN
        if holds >= g.MESSAGE and wire == 2:
            if depth == _MAX_DEPTH:
                return _DEEP, at
            stack[2 * depth] = context
            stack[2 * depth + 1] = end
            depth += 1
            parent = context
            context = holds - g.MESSAGE
            end = at + size
            if context == g.SPAN:
                row += 1
                if row == len(spans):
                    return _FULL, at
                span_start = at
                _open_span(spans, row, resource, scratch)
                _clear(attributes, row)
                filled[0] = row + 1
            elif context == g.SPAN_ATTRIBUTE or context == g.RESOURCE_ATTRIBUTE:
                _open_attribute(scratch)
            elif context == g.LINK:
                scratch[_LINK_TRACE_SIZE] = 0
                scratch[_LINK_SPAN_SIZE] = 0
            elif context == g.RESOURCE_SPANS:
                resource += 1
                if resource == len(resources):
                    return _FULL, at
                _clear(resources, resource)
                filled[1] = resource + 1
            elif parent == g.SPAN_VALUE or parent == g.RESOURCE_VALUE:
                _value_field(field, word, at, size, scratch)
            continue
        if _fits(holds, wire):
            _field(buffer, context, field, word, at, size, spans, row, scratch)
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
    keys: Bytes, key_bounds: Int64s, spans: Rows, attributes: Rows, resources: Rows,
    records: Rows, filled: Int64s, stack: Int64s, scratch: Int64s,
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
        spans: `SPAN` rows; those from ``filled[0]`` on are written.
        attributes: `ATTRIBUTE` rows [spans, w], likewise.
        resources: `ATTRIBUTE` rows [resources, w]; those from ``filled[1]`` on are written.
        records: `RECORD` rows, zero; what is found of each record is written here.
        filled: int64[2], rows used of `spans` and of `resources`; moved on.
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
        fault, at = _scan_record(
            buffer, bounds[record], bounds[record + 1], grammar, keys, key_bounds,
            spans, attributes, resources, filled, stack, scratch,
        )  # fmt: skip
        if fault == _OK:
            size = bounds[record + 1] - bounds[record]
            _note_spans(record, size, spans_before, filled[0], spans, records)
            continue
        filled[0] = spans_before
        filled[1] = resources_before
        if fault == _FULL:
            return record
        records[record]["fault"] = fault
        records[record]["fault_at"] = at - bounds[record]
    return len(bounds) - 1
