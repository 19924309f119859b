"""The scan against its plain twin: the same records accepted, the same fields."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.spans import columns as col
from streamsampler.spans.columns import Rows
from streamsampler.spans.records import join
from streamsampler.spans.scan import FAULTS, Scan, Scanner
from tests.oracle_otlp import Malformed, SpanFields, Value, hostile_records, read_record, records
from tests.otlp_records import delimited, group, in_span, number_field
from tests.real_records import Encoding, real_records

WANTED = (b"k", b"tenant.id", b"service.name", b"http.status_code", b"", b"\xff")
SPAN = delimited(2, delimited(1, b"t" * 16) + delimited(2, b"s" * 8))


def in_scope(*fields: bytes) -> bytes:
    """Make a record of one span and these fields of its `ScopeSpans`, half of them behind it."""
    half = len(fields) // 2
    return delimited(1, delimited(2, b"".join((*fields[:half], SPAN, *fields[half:]))))


def scanned(values: list[bytes], keys: tuple[bytes, ...] = WANTED) -> tuple[Scan, bytes]:
    count = len(values)
    batch = join([0] * count, range(count), [0] * count, [None] * count, values, [None] * count)
    scanner = Scanner(keys, scopes=True, events=True)
    return scanner.scan(batch.buffer, batch.bounds), batch.buffer.tobytes()


def _value(row: np.void, buffer: bytes) -> Value:
    kind, word = int(row["kind"]), int(row["word"])
    if kind == col.STRING:
        return "string", buffer[word : word + int(row["size"])]
    if kind == col.BOOL:
        return "bool", bool(word)
    if kind == col.INT:
        return "int", word
    if kind == col.DOUBLE:
        return "double", float(np.int64(word).view(np.float64))
    return ("other", None) if kind == col.OTHER else ("none", None)


def _attributes(rows: np.ndarray, buffer: bytes) -> dict[bytes, Value]:
    return {
        key: _value(row, buffer)
        for key, row in zip(WANTED, rows, strict=True)
        if row["kind"] != col.ABSENT
    }


def _wanted(attributes: dict[bytes, Value]) -> dict[bytes, Value]:
    return {key: attributes[key] for key in WANTED if key in attributes}


def fields_of(scan: Scan, buffer: bytes, record: int) -> list[SpanFields] | Malformed:
    found = scan.records[record]
    if found["fault"]:
        return Malformed(FAULTS[found["fault"]])
    first = int(found["first_span"])
    base = int(scan.spans[first]["resource"]) if found["spans"] else 0
    made = []
    for at in range(first, first + int(found["spans"])):
        span = scan.spans[at]
        parent = int(span["parent_id"])
        made.append(
            SpanFields(
                trace_id=int(span["trace_hi"]).to_bytes(8) + int(span["trace_lo"]).to_bytes(8),
                span_id=int(span["span_id"]).to_bytes(8),
                parent_span_id=parent.to_bytes(8) if parent else b"",
                start=int(span["start"]),
                end=int(span["end"]),
                kind=int(span["kind"]),
                status=int(span["status"]),
                flags=int(span["flags"]),
                trace_state=_slice(buffer, span, "state"),
                name=_slice(buffer, span, "name"),
                resource=int(span["resource"]) - base,
                resource_attributes=_attributes(scan.resources[span["resource"]], buffer),
                attributes=_attributes(scan.attributes[at], buffer),
                message=_slice(buffer, span, "message"),
                scope=_scope(scan, int(span["scope"]), buffer),
                events=tuple(
                    (
                        _slice(buffer, scan.events[event], "name"),
                        _attributes(scan.event_attributes[event], buffer),
                    )
                    for event in np.flatnonzero(scan.events["span"] == at)
                ),
            )
        )
    return made


def _scope(scan: Scan, row: int, buffer: bytes) -> tuple[bytes, bytes, dict[bytes, Value]]:
    scope = scan.scopes[row]
    name, version = _slice(buffer, scope, "name"), _slice(buffer, scope, "version")
    return name, version, _attributes(scan.scope_attributes[row], buffer)


def _slice(buffer: bytes, span: np.void, name: str) -> bytes:
    at = int(span[f"{name}_at"])
    return buffer[at : at + int(span[f"{name}_size"])]


def _expected(value: bytes) -> list[SpanFields] | Malformed:
    expected = read_record(value)
    if isinstance(expected, Malformed):
        return expected
    # Resources without spans have no row of their own.
    rows = {number: row for row, number in enumerate(sorted({one.resource for one in expected}))}
    return [
        SpanFields(
            one.trace_id, one.span_id, one.parent_span_id, one.start, one.end, one.kind,
            one.status, one.flags, one.trace_state, one.name, rows[one.resource],
            _wanted(one.resource_attributes), _wanted(one.attributes), one.message,
            (one.scope[0], one.scope[1], _wanted(one.scope[2])),
            tuple((name, _wanted(attributes)) for name, attributes in one.events),
        )
        for one in expected
    ]  # fmt: skip


def assert_alike(value: bytes) -> None:
    # Neighbours on both sides: nothing of theirs may be read or changed.
    neighbour = in_span(b"")
    scan, buffer = scanned([neighbour, value, neighbour])
    found, expected = fields_of(scan, buffer, 1), _expected(value)
    if isinstance(expected, Malformed):
        assert isinstance(found, Malformed), (expected, found)
        assert scan.records["spans"].tolist() == [1, 0, 1]
    else:
        assert repr(found) == repr(expected)  # repr, as a double may be NaN
    for side in (0, 2):
        assert repr(fields_of(scan, buffer, side)) == repr(_expected(neighbour))
    # Alone: where its bytes end, the buffer ends, and with bounds checks a read behind it is told.
    assert repr(fields_of(*scanned([value]), 0)) == repr(found)


@given(records())
@settings(max_examples=400)
def test_valid_records_give_the_same_fields(value: bytes) -> None:
    assert_alike(value)


@given(hostile_records())
@settings(max_examples=800)
def test_hostile_records_give_the_same_answer(value: bytes) -> None:
    assert_alike(value)


@pytest.mark.parametrize("encoding", ["otlp-proto", "otlp-proto-without-key"])
def test_real_records_give_the_same_fields(encoding: Encoding) -> None:
    values = [record.value for record in real_records(encoding)]
    scan, buffer = scanned(values)
    for number, value in enumerate(values):
        assert repr(fields_of(scan, buffer, number)) == repr(_expected(value))


def _nested(levels: int) -> bytes:
    value = b""
    for _ in range(levels):
        value = delimited(5, delimited(1, value))
    return in_span(delimited(9, delimited(2, value)))


@pytest.mark.parametrize(
    ("levels", "accepted"), [(1, True), (10, True), (47, True), (48, False), (60, False)]
)
def test_depth_ends_where_upb_ends(levels: int, accepted: bool) -> None:  # noqa: FBT001
    scan, _ = scanned([_nested(levels)])
    assert bool(scan.records["fault"][0]) is not accepted
    assert isinstance(read_record(_nested(levels)), Malformed) is not accepted


@pytest.mark.parametrize("levels", [1, 95, 96, 97, 98, 99, 100, 101, 5000])
def test_groups_nest_as_deep_as_in_upb(levels: int) -> None:
    value = b""
    for _ in range(levels):
        value = group(900, value)
    assert_alike(value)
    assert_alike(in_span(value))


def _only(span: bytes) -> bytes:
    return delimited(1, delimited(2, delimited(2, span)))


BAD = {
    "garbage": (bytes(range(200, 256)) * 3, None),
    "cut short": (in_span(b"")[:-3], "truncated"),
    "length near 2**63": (b"\x0a" + b"\xff" * 8 + b"\x7f", "bad_length"),
    "length of 2**31": (b"\x0a\x80\x80\x80\x80\x08", "bad_length"),
    "endless varint": (b"\x08" + b"\xff" * 11, "bad_varint"),
    "field number 0": (b"\x00\x00", "bad_tag"),
    "wire type 6": (b"\x0e", "bad_tag"),
    "end of no group": (b"\x0c", "bad_group"),
    "zero trace id": (_only(delimited(1, bytes(16))), "bad_trace_id"),
    "trace id of 15": (_only(delimited(1, b"x" * 15)), "bad_trace_id"),
    "no ids": (_only(b""), "bad_trace_id"),
    "no span id": (_only(delimited(1, b"x" * 16)), "bad_span_id"),
    "parent of 7": (in_span(delimited(4, b"x" * 7)), "bad_parent_id"),
    "link to 15": (in_span(delimited(13, delimited(1, b"x" * 15))), "bad_link_id"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_each_kind_of_bad_record_is_named(name: str) -> None:
    value, reason = BAD[name]
    scan, buffer = scanned([in_span(b""), value, in_span(b"")])
    found = fields_of(scan, buffer, 1)
    assert isinstance(found, Malformed)
    assert reason is None or found.reason == reason
    assert scan.records["spans"].tolist() == [1, 0, 1]
    assert 0 <= int(scan.records["fault_at"][1]) <= len(value)
    assert_alike(value)


def test_columns_grow_in_the_middle_of_a_record() -> None:
    data = TracesData()
    for resource in range(40):
        scope = data.resource_spans.add().scope_spans.add()
        for span in range(100):
            number = 1 + resource * 100 + span
            made = scope.spans.add(
                trace_id=number.to_bytes(16), span_id=number.to_bytes(8), name=f"{span}"
            )
            made.attributes.add(key="k").value.int_value = number
            made.events.add(name=f"{number}").attributes.add(key="k").value.int_value = -number
    value = data.SerializeToString()
    scan, buffer = scanned([value, value])
    assert len(scan.spans) == len(scan.events) == 8000
    assert len(scan.resources) == len(scan.scopes) == 80
    assert scan.records["mixed"].tolist() == [True, True]
    assert repr(fields_of(scan, buffer, 1)) == repr(_expected(value))


def test_a_skipped_record_has_no_spans_and_no_fault() -> None:
    batch = join(
        [0] * 3, range(3), [0] * 3, [None] * 3, [in_span(b""), b"\x00", in_span(b"")], [None] * 3
    )
    scan = Scanner().scan(batch.buffer, batch.bounds, np.array([0, 1, 0], np.uint8))
    assert scan.records["spans"].tolist() == [1, 0, 1]
    assert scan.records["fault"].tolist() == [0, 0, 0]


def test_the_sizes_of_a_records_spans_add_up_to_the_record() -> None:
    values = [record.value for record in real_records()]
    scan, _ = scanned(values)
    totals = np.bincount(scan.spans["record"], weights=scan.spans["size"], minlength=len(values))
    assert totals.tolist() == [len(value) for value in values]


def _attribute(key: bytes, text: bytes) -> bytes:
    return delimited(1, key) + delimited(2, delimited(1, text))


MERGED: dict[str, tuple[bytes, Callable[[SpanFields], bool]]] = {
    "the last status message counts": (
        in_span(delimited(15, delimited(2, b"first")) + delimited(15, delimited(2, b"last"))),
        lambda span: span.message == b"last",
    ),
    "a later status without a message keeps the first's": (
        in_span(delimited(15, delimited(2, b"kept")) + delimited(15, number_field(3, 2))),
        lambda span: (span.message, span.status) == (b"kept", 2),
    ),
    "an empty status message that comes later counts": (
        in_span(delimited(15, delimited(2, b"first") + delimited(2, b""))),
        lambda span: span.message == b"",
    ),
    "two scopes of one place are one": (
        in_scope(
            delimited(1, delimited(1, b"first") + delimited(3, _attribute(b"k", b"a"))),
            delimited(
                1,
                delimited(2, b"1.2")
                + delimited(3, _attribute(b"k", b"b"))
                + delimited(3, _attribute(b"tenant.id", b"c")),
            ),
        ),
        lambda span: (
            span.scope
            == (b"first", b"1.2", {b"k": ("string", b"a"), b"tenant.id": ("string", b"c")})
        ),
    ),
    "the last name of an event counts, and the first of its attributes": (
        in_span(
            delimited(
                11,
                delimited(2, b"first")
                + delimited(3, _attribute(b"k", b"a"))
                + delimited(2, b"last")
                + delimited(3, _attribute(b"k", b"b")),
            )
        ),
        lambda span: span.events == ((b"last", {b"k": ("string", b"a")}),),
    ),
    "a status message that is a number is an unknown field": (
        in_span(delimited(15, number_field(2, 7))),
        lambda span: span.message == b"",
    ),
}


@pytest.mark.parametrize("name", MERGED)
def test_what_comes_twice_is_merged(name: str) -> None:
    value, holds = MERGED[name]
    scan, buffer = scanned([value])
    found = fields_of(scan, buffer, 0)
    assert not isinstance(found, Malformed)
    assert holds(found[0]), found
    assert_alike(value)


EMPTY_MESSAGES = {
    "resources": in_span(b"") + delimited(1, b"") * 5000,
    "resources before": delimited(1, b"") * 5000 + in_span(b""),
    "scopes": in_scope() + delimited(1, delimited(2, b"") * 5000),
    "scopes after the span's": delimited(1, delimited(2, b"") * 9 + delimited(2, SPAN)) * 2,
}


@pytest.mark.parametrize("name", EMPTY_MESSAGES)
def test_resources_and_scopes_without_spans_share_one_row(name: str) -> None:
    value = EMPTY_MESSAGES[name]
    scan, _ = scanned([value, value])
    used = len(set(scan.spans["resource"].tolist()))
    assert used <= len(scan.resources) <= used + 1
    assert used <= len(scan.scopes) <= used + 1
    assert_alike(value)


def _room(rows: Rows) -> int:
    assert rows.base is not None
    return len(rows.base)


def test_only_the_columns_that_are_full_grow() -> None:
    value = in_span(delimited(11, b"") * 5000)
    scanner = Scanner(WANTED, scopes=True, events=True)
    batch = join([0], [0], [0], [None], [value], [None])
    scan = scanner.scan(batch.buffer, batch.bounds)
    assert len(scan.events) == 5000
    fresh = _room(Scanner().scan(batch.buffer, batch.bounds).spans)
    assert _room(scan.events) >= 5000 > fresh
    others = scan.spans, scan.attributes, scan.resources, scan.scopes, scan.scope_attributes
    assert {_room(rows) for rows in others} == {fresh}


def test_scopes_and_events_that_nobody_wants_are_passed_over() -> None:
    values = [record.value for record in real_records("otlp-proto")]
    batch = join(
        [0] * len(values), range(len(values)), [0] * len(values), [None] * len(values), values,
        [None] * len(values),
    )  # fmt: skip
    with_all, _ = scanned(values)
    without = Scanner(WANTED).scan(batch.buffer, batch.bounds)
    assert len(with_all.scopes) > 0
    assert len(without.scopes) == len(without.events) == 0
    assert set(without.spans["scope"].tolist()) == {-1}
    assert without.attributes["kind"].tolist() == with_all.attributes["kind"].tolist()


@pytest.mark.parametrize("count", [1, 40, 200])
@pytest.mark.parametrize("form", ["key.{}", "one.{:03}.slot"])
def test_each_of_many_wanted_keys_is_found(count: int, form: str) -> None:
    keys = tuple(form.format(number).encode() for number in range(count))
    value = in_span(
        b"".join(delimited(9, delimited(1, key) + delimited(2, delimited(1, key))) for key in keys)
    )
    scan, buffer = scanned([value], keys)
    found = scan.attributes[0]
    assert [buffer[row["word"] : row["word"] + row["size"]] for row in found] == list(keys)
