"""The walk of the stamping: from tag to tag as far down as the spans' own fields.

Hot: every byte of every kept record passes here once. The walk notes which bytes stay
(`spans.pieces`) and writes those that do not anew. It trusts nothing, but checks no more of a
record than it walks through: the scan has checked the rest.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Int64s, UInt64s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.pieces import (
    ATTRIBUTES,
    FULL,
    MADE,
    MADE_BYTES,
    PIECES,
    RUN,
    SIZE,
    WRITTEN,
    note,
    note_input,
    put_varint,
    varint_size,
)
from streamsampler.spans.restating import RESTATED_ROOM, UNCHANGED, restate
from streamsampler.spans.wire import MAX_DEPTH, OK, TAG, read_payload, read_varint, skip_group

# The levels of a record: TracesData, ResourceSpans, ScopeSpans, Span.
_RECORD, _SPAN = 0, 3
LEVELS: Final = 4
_STATE_FIELD, _ATTRIBUTE_FIELD = 3, 9
_STATE_TAG: Final = _STATE_FIELD << 3 | 2
_LONGEST_LENGTH: Final = 5  # bytes of a length

# What is remembered of an open message, a row for each level.
_END, _NOTED, _WRITTEN, _MADE, _RUN, _FRESH, _BASE, _CONTENT = range(8)
FRAME: Final = 8

# What is known of the open span, at `spot`.
_STATE_AT, _STATE_END, _STATE_CUT, _CUTS = range(4)
SPOT: Final = 4


@inlined
def _open(
    at: Word, length_at: Word, end: Word, pieces: Int64s, pen: Int64s, frames: Int64s, level: Word
) -> None:
    """Go into a message: its length is noted now and written when it is left."""
    frames[level, _END] = end
    frames[level, _NOTED] = pen[PIECES]
    frames[level, _WRITTEN] = pen[WRITTEN]
    frames[level, _MADE] = pen[MADE_BYTES]
    frames[level, _RUN] = pen[RUN]
    note_input(pieces, pen, length_at, at)
    note(pieces, pen, MADE, pen[MADE_BYTES], _LONGEST_LENGTH)
    pen[MADE_BYTES] += _LONGEST_LENGTH
    frames[level, _FRESH] = pen[PIECES]
    frames[level, _BASE] = pen[WRITTEN]
    frames[level, _CONTENT] = at


@inlined
def _close(at: Word, made: Bytes, pieces: Int64s, pen: Int64s, frames: Int64s, level: Word) -> None:
    """Leave a message: write its length, or forget that it was looked into."""
    if pen[FULL] != 0 or frames[level, _MADE] + _LONGEST_LENGTH > len(made):
        pen[FULL] = 1
        return
    fresh = frames[level, _FRESH]
    if pen[PIECES] == fresh and pen[RUN] == frames[level, _CONTENT]:
        pen[PIECES] = frames[level, _NOTED]
        pen[WRITTEN] = frames[level, _WRITTEN]
        pen[MADE_BYTES] = frames[level, _MADE]
        pen[RUN] = frames[level, _RUN]
        return
    note_input(pieces, pen, at, at)
    start = frames[level, _MADE]
    length = put_varint(made, start, pen[WRITTEN] - frames[level, _BASE]) - start
    pieces[fresh - 1, SIZE] = length
    pen[WRITTEN] += length - _LONGEST_LENGTH


@kernel
def _is_replaced(
    buffer: Bytes, at: Word, end: Word, keys: Bytes, first_size: Word, groups: Int64s
) -> tuple[Word, Word]:
    """Read the key of an attribute; a fault, and whether it is one that is written anew."""
    key_at = at
    key_size = np.int64(0)
    while at < end:
        tag, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0:
            return TAG, False
        at = after
        field = np.int64(tag >> np.uint64(3))
        wire = np.int64(tag & np.uint64(7))
        if wire == 3:
            fault, at = skip_group(buffer, at, end, field, MAX_DEPTH, groups)
            if fault != OK:
                return fault, False
            continue
        fault, _, at, size = read_payload(buffer, at, end, wire)
        if fault != OK:
            return fault, False
        if field == 1 and wire == 2:
            key_at = at
            key_size = size
        at += size
    first = 0 if key_size == first_size else first_size
    if first > 0 and key_size != len(keys) - first_size:
        return OK, False
    for index in range(key_size):
        if buffer[key_at + index] != keys[first + index]:
            return OK, False
    return OK, True


@inlined
def _cut(cuts: Int64s, spot: Int64s, pen: Int64s, start: Word, stop: Word) -> Word:
    """Note that bytes of the span are left out; returns the cut's row."""
    row = spot[_CUTS]
    if row == len(cuts):
        pen[FULL] = 1
        return row
    cuts[row, 0] = start
    cuts[row, 1] = stop
    spot[_CUTS] = row + 1
    return row


@inlined
def _note_state(made: Bytes, at: Word, stop: Word, pieces: Int64s, pen: Int64s) -> None:
    """Note the field of the tracestate that stands in MADE; its tag and length go before it."""
    if stop == at:
        return
    start = at - 1 - varint_size(stop - at)
    made[start] = np.uint8(_STATE_TAG)
    put_varint(made, start + 1, stop - at)
    note(pieces, pen, MADE, start, stop - start)
    pen[MADE_BYTES] = stop


@inlined
def _write_span(
    buffer: Bytes, end: Word, verdict: Word, adds: Word, extra_at: Word, extra_size: Word,
    made: Bytes, pieces: Int64s, cuts: Int64s, pen: Int64s, spot: Int64s,
) -> None:  # fmt: skip
    """Note what goes out of the span whose fields were looked through."""
    state_at = spot[_STATE_AT]
    state_end = spot[_STATE_END]
    to = pen[MADE_BYTES] + 1 + _LONGEST_LENGTH
    if pen[FULL] != 0 or to + state_end - state_at + RESTATED_ROOM > len(made):
        pen[FULL] = 1
        return
    stop = restate(buffer, state_at, state_end, verdict, made, to)
    if stop == UNCHANGED and not adds:
        return
    for row in range(spot[_CUTS]):
        if row == spot[_STATE_CUT] and stop == UNCHANGED:
            continue
        note_input(pieces, pen, cuts[row, 0], cuts[row, 1])
        if row == spot[_STATE_CUT]:
            _note_state(made, to, stop, pieces, pen)
    anew = spot[_STATE_CUT] < 0 and stop != UNCHANGED
    if anew or extra_size > 0:
        note_input(pieces, pen, end, end)
    if anew:
        _note_state(made, to, stop, pieces, pen)
    note(pieces, pen, ATTRIBUTES, extra_at, extra_size)


@inlined
def _stamp_record(  # noqa: C901, PLR0912 - the walk itself
    buffer: Bytes, at: Word, end: Word, verdict: Word, keys: Bytes, key_size: Word, adds: Word,
    extra_at: Word, extra_size: Word, made: Bytes, pieces: Int64s, cuts: Int64s, pen: Int64s,
    frames: Int64s, spot: Int64s, groups: Int64s,
) -> Word:  # fmt: skip
    """Note what goes out of one record; returns a fault, or 0."""
    level = _RECORD
    pen[RUN] = at
    while True:
        if at == end:
            if level == _RECORD:
                note_input(pieces, pen, at, at)
                return OK
            if level == _SPAN:
                _write_span(
                    buffer, at, verdict, adds, extra_at, extra_size, made, pieces, cuts, pen, spot
                )
            _close(at, made, pieces, pen, frames, level)
            end = frames[level, _END]
            level -= 1
            continue
        start = at
        tag, after = read_varint(buffer, at, min(end, at + 5))
        if after < 0:
            return TAG
        at = after
        field = np.int64(tag >> np.uint64(3))
        wire = np.int64(tag & np.uint64(7))
        if wire == 3:
            fault, at = skip_group(buffer, at, end, field, MAX_DEPTH, groups)
            if fault != OK:
                return fault
            continue
        fault, _, at, size = read_payload(buffer, at, end, wire)
        if fault != OK:
            return fault
        if wire == 2 and level < _SPAN and field == (1 if level == _RECORD else 2):
            level += 1
            _open(at, after, end, pieces, pen, frames, level)
            end = at + size
            if level == _SPAN:
                spot[_STATE_AT] = at
                spot[_STATE_END] = at
                spot[_STATE_CUT] = -1
                spot[_CUTS] = 0
            continue
        if wire == 2 and level == _SPAN:
            if field == _STATE_FIELD:
                spot[_STATE_AT] = at
                spot[_STATE_END] = at + size
                spot[_STATE_CUT] = _cut(cuts, spot, pen, start, at + size)
            elif field == _ATTRIBUTE_FIELD and adds:
                fault, replaced = _is_replaced(buffer, at, at + size, keys, key_size, groups)
                if fault != OK:
                    return fault
                if replaced:
                    _cut(cuts, spot, pen, start, at + size)
        at += size


@kernel
def stamp_records(
    buffer: Bytes, bounds: Int64s, first: Word, thresholds: UInt64s, keys: Bytes, key_size: Word,
    adds: Word, extra_bounds: Int64s, made: Bytes, pieces: Int64s, cuts: Int64s, pen: Int64s,
    frames: Int64s, spot: Int64s, groups: Int64s, out_bounds: Int64s,
) -> tuple[Word, Word]:  # fmt: skip
    """Note what goes out of records, from one on, until all are done or a table is full.

    Args:
        buffer: uint8, the records' values.
        bounds: int64[n + 1], where each value begins and ends.
        first: The record to begin with.
        thresholds: uint64[n], T of each verdict; 2**56 or more: none is known.
        keys: uint8, two attribute keys joined, of different sizes.
        key_size: Bytes of the first of them.
        adds: Whether attributes are added and those of these keys left out.
        extra_bounds: int64[n + 1], where the fields to add to each record's spans begin and end.
        made: uint8, what is written anew goes here.
        pieces: int64[m, PIECE], what goes out is noted here.
        cuts: int64[m, 2], scratch: what is left out of the open span.
        pen: int64[PEN], zeros at first; what was noted so far.
        frames: int64[LEVELS, FRAME], scratch for the open messages.
        spot: int64[SPOT], scratch for the open span.
        groups: int64[MAX_DEPTH], scratch for the open groups.
        out_bounds: int64[n + 1], written: the bytes that went out up to the end of each record.

    Returns:
        The record to go on with, n when all are done; and the fault that it has, or 0.
    """
    for record in range(first, len(bounds) - 1):
        noted, written, made_bytes = pen[PIECES], pen[WRITTEN], pen[MADE_BYTES]
        fault = _stamp_record(
            buffer, bounds[record], bounds[record + 1], thresholds[record], keys, key_size, adds,
            extra_bounds[record], extra_bounds[record + 1] - extra_bounds[record], made, pieces,
            cuts, pen, frames, spot, groups,
        )  # fmt: skip
        if fault != OK:
            return record, fault
        if pen[FULL] != 0:
            pen[PIECES], pen[WRITTEN], pen[MADE_BYTES] = noted, written, made_bytes
            pen[FULL] = 0
            return record, OK
        out_bounds[record + 1] = pen[WRITTEN]
    return len(bounds) - 1, OK
