"""What upb takes and refuses, as a table: the scan has to give the same answers.

When a new protobuf breaks a row here, the scan's rules have to follow it.
"""

from collections.abc import Callable

import pytest
from hypothesis import Phase, find, given, settings

from streamsampler.spans.payload import MalformedPayloadError, parse, spans_of
from tests.oracle_otlp import Malformed, SpanFields, hostile_records, read_record, records
from tests.otlp_records import (
    END_GROUP,
    FIXED32,
    FIXED64,
    LENGTH,
    START_GROUP,
    VARINT,
    delimited,
    fixed,
    group,
    in_span,
    number_field,
    tag,
    varint,
)

STRING, KIND, START, ATTRIBUTE, STATUS, UNKNOWN = 5, 6, 7, 9, 15, 100
ENOUGH = b"\0" * 16


def accepts(value: bytes) -> bool:
    try:
        parse(value)
    except MalformedPayloadError:
        return False
    return True


def nested_values(pairs: int, leaf: bytes = b"") -> bytes:
    """An AnyValue of so many arrays, each in the one before."""
    for _ in range(pairs):
        leaf = delimited(5, delimited(1, leaf))
    return leaf


def in_attribute(value: bytes) -> bytes:
    return delimited(ATTRIBUTE, delimited(2, value))


def nested_groups(count: int) -> bytes:
    return tag(UNKNOWN, START_GROUP) * count + tag(UNKNOWN, END_GROUP) * count


def overlong(size: int, last: int = 0) -> bytes:
    """A varint of so many bytes, all but the last of zeros."""
    return b"\x80" * (size - 1) + bytes([last])


ACCEPTED = {
    "a tag of 5 bytes": b"\xa8\x80\x80\x80\x00" + b"\0",
    "the highest field number": number_field(2**29 - 1, 0),
    "a value of 10 bytes": tag(KIND, VARINT) + overlong(10),
    "a value over 64 bits": tag(KIND, VARINT) + overlong(10, 0x7F),
    "an unknown value over 64 bits": tag(UNKNOWN, VARINT) + overlong(10, 0x7F),
    "a length of 5 bytes": tag(STRING, LENGTH) + overlong(5),
    "an empty group": group(UNKNOWN),
    "a group in a known field's number": group(ATTRIBUTE, number_field(1, 1)),
    "a group closed by a padded tag": tag(UNKNOWN, START_GROUP) + tag(UNKNOWN, END_GROUP, 2),
    "field 0 in a group": group(UNKNOWN, b"\x00\x01" + b"\x02\x01a" + b"\x03\x04"),
    "no message in an unknown field": delimited(UNKNOWN, b"\xff"),
    "no message in a group's field": group(UNKNOWN, delimited(ATTRIBUTE, b"\xff")),
    "values 100 deep": in_attribute(nested_values(47, delimited(5, b""))),
    "groups 100 deep": nested_groups(97),
    "groups in values 100 deep": in_attribute(nested_values(45, nested_groups(5))),
    "unknown bytes at the deepest": in_attribute(
        nested_values(47, delimited(5, delimited(UNKNOWN, nested_values(60)))),
    ),
}

REFUSED = {
    "a tag of 6 bytes": b"\xa8\x80\x80\x80\x80\x00" + b"\0",
    "a tag over 32 bits": b"\xa8\x80\x80\x80\x10" + b"\0",
    "field 0 as a value": b"\x00\x00",
    "field 0 as bytes": b"\x02\x00",
    "field 0 as a group": b"\x03\x04",
    "field 0 as a padded tag": b"\x80\x00\x00",
    "wire type 6": tag(UNKNOWN, 6) + ENOUGH,
    "wire type 7": tag(STRING, 7) + ENOUGH,
    "wire type 6 in a group": group(UNKNOWN, tag(1, 6)),
    "a value of 11 bytes": tag(KIND, VARINT) + overlong(11),
    "an unknown value of 11 bytes": tag(UNKNOWN, VARINT) + overlong(11),
    "a value of 11 bytes in a group": group(UNKNOWN, tag(1, VARINT) + overlong(11)),
    "a length of 6 bytes": tag(STRING, LENGTH) + overlong(6),
    "an unknown length of 6 bytes": tag(UNKNOWN, LENGTH) + overlong(6),
    "a group without an end": tag(UNKNOWN, START_GROUP),
    "an end without a group": tag(UNKNOWN, END_GROUP),
    "the end of another group": tag(UNKNOWN, START_GROUP) + tag(UNKNOWN + 1, END_GROUP),
    "groups closed in the wrong order": (
        tag(1, START_GROUP) + tag(2, START_GROUP) + tag(1, END_GROUP) + tag(2, END_GROUP)
    ),
    "an end of field 0 in a group": tag(UNKNOWN, START_GROUP) + b"\x04" + tag(UNKNOWN, END_GROUP),
    "no message in a known field": delimited(ATTRIBUTE, b"\xff"),
    "values 101 deep": in_attribute(nested_values(48)),
    "groups 101 deep": nested_groups(98),
    "a value over the end of its message": in_attribute(tag(3, VARINT) + b"\x80") + b"\x01",
    "a fixed64 over the end": in_attribute(tag(4, FIXED64) + b"\0" * 7) + b"\0",
    "bytes over the end": in_attribute(tag(1, LENGTH) + b"\x02a") + b"a",
    "a group over the end": in_attribute(tag(UNKNOWN, START_GROUP)) + tag(UNKNOWN, END_GROUP),
}


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(content: bytes) -> None:
    assert accepts(in_span(content))


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_refused(content: bytes) -> None:
    assert not accepts(in_span(content))


@pytest.mark.parametrize("field", [STRING, UNKNOWN, ATTRIBUTE, KIND])
@pytest.mark.parametrize("length", [2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**63, 2**64 - 1])
def test_a_length_beyond_the_end_is_refused_however_long(field: int, length: int) -> None:
    assert not accepts(in_span(tag(field, LENGTH) + varint(length)))


@pytest.mark.parametrize("end", [b"", tag(1, END_GROUP)], ids=["nothing", "an end of a group"])
def test_no_bytes_are_a_record_and_a_lone_end_is_none(end: bytes) -> None:
    assert accepts(end) == (not end)


@pytest.mark.parametrize(
    "content",
    [
        delimited(KIND, b"\x03"),
        fixed(KIND, 3, FIXED32),
        number_field(START, 3),
        delimited(START, b"\3" + b"\0" * 7),
        number_field(ATTRIBUTE, 3),
        group(STATUS, number_field(3, 2)),
    ],
)
def test_another_wire_type_makes_a_known_field_unknown(content: bytes) -> None:
    ((_, _, span),) = spans_of(in_span(content))

    assert (span.kind, span.start_time_unix_nano) == (0, 0)
    assert not list(span.attributes)
    assert not span.HasField("status")
    assert content in span.SerializeToString()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0, 0),
        (3, 3),
        (77, 77),
        (2**31 - 1, 2**31 - 1),
        (2**31, -(2**31)),
        (2**32 - 1, -1),
        (2**32 + 2, 2),
        (2**64 - 1, -1),
    ],
)
def test_an_enum_is_the_low_32_bits_with_a_sign(number: int, kind: int) -> None:
    assert only_span(in_span(number_field(KIND, number))).kind == kind


@pytest.mark.parametrize(
    ("varint_bytes", "read"),
    [
        (varint(0), False),
        (varint(2), True),
        (varint(2**32), True),
        (varint(2**63), True),
        (overlong(10, 2), False),
    ],
)
def test_a_bool_is_any_of_64_bits(varint_bytes: bytes, read: object) -> None:
    value = delimited(1, b"k") + delimited(2, tag(2, VARINT) + varint_bytes)

    assert only_span(in_span(delimited(ATTRIBUTE, value))).attributes == {b"k": ("bool", read)}


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (b"", ("none", None)),
        (delimited(2, b""), ("none", None)),
        (delimited(2, delimited(1, b"")), ("string", b"")),
        (delimited(2, delimited(1, b"a") + number_field(3, 5)), ("int", 5)),
        (delimited(2, delimited(1, b"a")) + delimited(2, number_field(3, 5)), ("int", 5)),
        (delimited(2, delimited(1, b"a")) + delimited(2, b""), ("string", b"a")),
        (delimited(2, delimited(1, b"a") + delimited(3, b"\x05")), ("string", b"a")),
        (delimited(2, number_field(3, 5) + delimited(5, b"")), ("other", None)),
        (delimited(2, number_field(3, 2**64 - 1)), ("int", -1)),
    ],
    ids=[
        "no value",
        "an empty value",
        "an empty string",
        "two members: the last",
        "two values: merged, the last member",
        "two values, the last empty",
        "a member of another wire type is none",
        "an array last",
        "64 bits with a sign",
    ],
)
def test_attribute_values(content: bytes, read: object) -> None:
    attribute = delimited(ATTRIBUTE, delimited(1, b"k") + content)

    assert only_span(in_span(attribute)).attributes == {b"k": read}


def test_a_submessage_that_comes_twice_is_merged_and_a_scalar_is_the_last() -> None:
    twice = delimited(STATUS, number_field(3, 2)) + delimited(STATUS, delimited(2, b"m"))
    names = delimited(STRING, b"first") + delimited(STRING, b"")

    span = only_span(in_span(twice + names))

    assert (span.status, span.name) == (2, b"")


def test_of_attributes_with_one_key_the_first_counts() -> None:
    pairs = [
        delimited(ATTRIBUTE, delimited(1, b"k") + delimited(2, number_field(3, number)))
        for number in (1, 2)
    ]

    assert only_span(in_span(b"".join(pairs))).attributes == {b"k": ("int", 1)}


def only_span(value: bytes) -> SpanFields:
    spans = read_record(value)
    assert not isinstance(spans, Malformed)
    (span,) = spans
    return span


ZEROS = bytes(16)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (delimited(1, b""), "trace_id"),
        (delimited(1, b"x" * 15), "trace_id"),
        (delimited(1, ZEROS), "trace_id"),
        (delimited(2, b""), "span_id"),
        (delimited(2, b"x" * 9), "span_id"),
        (delimited(2, ZEROS[:8]), "span_id"),
        (delimited(4, b"x" * 7), "parent_span_id"),
        (delimited(13, delimited(1, b"x")), "link_trace_id"),
        (delimited(13, delimited(2, b"x")), "link_span_id"),
    ],
)
def test_a_span_with_wrong_ids_makes_its_record_malformed(content: bytes, reason: str) -> None:
    ids = delimited(1, b"t" * 16) + delimited(2, b"s" * 8)
    value = delimited(1, delimited(2, delimited(2, ids + content)))

    assert read_record(value) == Malformed(reason)


@pytest.mark.parametrize(
    "content",
    [
        delimited(4, b""),
        delimited(4, ZEROS[:8]),
        delimited(13, b""),
        delimited(13, delimited(1, ZEROS) + delimited(2, ZEROS[:8])),
    ],
)
def test_no_parent_and_links_without_ids_are_allowed(content: bytes) -> None:
    assert only_span(in_span(content)).parent_span_id == b""


@given(records())
def test_records_are_all_taken(value: bytes) -> None:
    assert not isinstance(read_record(value), Malformed)


Found = list[SpanFields]
KINDS = ("string", "bool", "int", "double", "other", "none")


def has_value_of(kind: str) -> Callable[[Found], bool]:
    def has_value(spans: Found) -> bool:
        values = [
            value
            for span in spans
            for attributes in (span.attributes, span.resource_attributes)
            for value in attributes.values()
        ]
        return any(found == kind for found, _ in values)

    return has_value


SHAPES: dict[str, Callable[[Found], bool]] = {
    "no spans": lambda spans: not spans,
    "several traces": lambda spans: len({span.trace_id for span in spans}) > 1,
    "several resources": lambda spans: len({span.resource for span in spans}) > 1,
    "a span twice": lambda spans: len(spans) > len({span.span_id for span in spans}),
    "broken UTF-8": lambda spans: any(span.name == b"\xff\xfe" for span in spans),
    "an error": lambda spans: any(span.status == 2 for span in spans),
    "a root and a child": lambda spans: (
        {bool(span.parent_span_id) for span in spans} == {True, False}
    ),
    "end before start": lambda spans: any(span.end < span.start for span in spans),
    "trace state": lambda spans: any(b"ot=" in span.trace_state for span in spans),
    **{f"an attribute of kind {kind}": has_value_of(kind) for kind in KINDS},
}
once = settings(database=None, derandomize=True, phases=[Phase.generate], max_examples=1000)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_records_have_every_shape(shape: Callable[[Found], bool]) -> None:
    def has_shape(value: bytes) -> bool:
        spans = read_record(value)
        return not isinstance(spans, Malformed) and shape(spans)

    assert has_shape(find(records(), has_shape, settings=once))


@pytest.mark.parametrize(
    "reason",
    ["", "protobuf", "trace_id", "span_id", "parent_span_id", "link_trace_id", "link_span_id"],
)
def test_hostile_records_meet_every_fault_and_none(reason: str) -> None:
    def has_fault(value: bytes) -> bool:
        found = read_record(value)
        return reason == (found.reason if isinstance(found, Malformed) else "")

    value = find(hostile_records(), has_fault, settings=once)

    assert has_fault(value)
