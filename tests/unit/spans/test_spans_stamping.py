"""Kept records with new thresholds, against a plain twin that rewrites the wire field by field.

Source: OpenTelemetry specification, tracestate handling; a threshold only ever rises.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates.threshold import MODULUS, NO_THRESHOLD, decode, encode, raised
from streamsampler.spans.messages import Span, TracesData
from streamsampler.spans.payload import MalformedPayloadError, parse
from streamsampler.spans.stamping import (
    ADJUSTED_COUNT_KEY,
    POLICY_KEY,
    span_attributes,
    stamp,
)
from streamsampler.spans.trace_context import read_ot, with_threshold
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
    hostile_records,
    in_span,
    number_field,
    records,
    tag,
    varint,
)

HALF, QUARTER = MODULUS // 2, MODULUS // 4 * 3
RV = "8201e273ab4876"
STATE, NAME, ATTRIBUTE = 3, 5, 9
KEYS = (POLICY_KEY, ADJUSTED_COUNT_KEY)
ADDED = span_attributes("set/policy", 2.0)


def stamped(
    values: Sequence[bytes], thresholds: Sequence[int], attributes: Sequence[bytes] | None = None
) -> list[bytes]:
    before = b"before"
    bounds = np.cumsum([len(before), *map(len, values)])
    body = np.frombuffer(before + b"".join(values), np.uint8)
    out, ends = stamp(body, bounds, np.array(thresholds, np.uint64), attributes)
    raw = out.tobytes()
    assert ends[0] == 0
    assert ends[-1] == len(raw)
    return [raw[start:end] for start, end in pairwise(ends.tolist())]


# The plain twin.


def number_at(value: bytes, at: int) -> tuple[int, int]:
    number, shift = value[at] & 0x7F, 7
    while value[at] & 0x80:
        at += 1
        number |= (value[at] & 0x7F) << shift
        shift += 7
    return number, at + 1


def behind_payload(value: bytes, at: int, number: int, wire: int) -> int:
    if wire == VARINT:
        return number_at(value, at)[1]
    if wire in {FIXED32, FIXED64}:
        return at + (4 if wire == FIXED32 else 8)
    if wire == LENGTH:
        size, at = number_at(value, at)
        return at + size
    assert wire == START_GROUP
    while True:
        key, at = number_at(value, at)
        if key & 7 == END_GROUP:
            assert key >> 3 == number
            return at
        at = behind_payload(value, at, key >> 3, key & 7)


def fields_of(value: bytes) -> Iterator[tuple[int, bytes, bytes, bytes]]:
    """Go through a message: field number, where it has a length; tag; payload; all of it."""
    at = 0
    while at < len(value):
        key, behind_tag = number_at(value, at)
        end = behind_payload(value, behind_tag, key >> 3, key & 7)
        if key & 7 == LENGTH:
            payload = value[number_at(value, behind_tag)[1] : end]
            yield key >> 3, value[at:behind_tag], payload, value[at:end]
        else:
            yield 0, b"", b"", value[at:end]
        at = end


def expected_state(state: bytes, threshold: int) -> bytes:
    verdict = None if threshold == NO_THRESHOLD else threshold
    incoming = read_ot(state).threshold
    out = raised(None if incoming is None else decode(incoming), verdict)
    return with_threshold(state, None if out is None else encode(out))


def plain_span(span: bytes, threshold: int, added: bytes | None) -> bytes:
    fields = list(fields_of(span))
    states = [row for row, field in enumerate(fields) if field[0] == STATE]
    before = fields[states[-1]][2] if states else b""
    after = expected_state(before, threshold)
    if after == before and added is None:
        return span
    if after == before:
        new = fields[states[-1]][3] if states else b""
    else:
        new = delimited(STATE, after) if after else b""
    out = b""
    for row, (number, _, payload, whole) in enumerate(fields):
        if number == STATE:
            out += new if row == states[-1] else b""
        elif not (added is not None and number == ATTRIBUTE and key_of(payload) in KEYS):
            out += whole
    return out + (b"" if states else new) + (added or b"")


def key_of(attribute: bytes) -> bytes:
    return ([b""] + [payload for number, _, payload, _ in fields_of(attribute) if number == 1])[-1]


def plain(value: bytes, threshold: int, added: bytes | None = None, level: int = 0) -> bytes:
    if level == 3:
        return plain_span(value, threshold, added)
    out = b""
    for number, key, payload, whole in fields_of(value):
        new = payload
        if number == (1, 2, 2)[level]:
            new = plain(payload, threshold, added, level + 1)
        out += whole if new == payload else key + varint(len(new)) + new
    return out


# Messages, as protobuf reads them.


def spans_in(traces: TracesData) -> Iterator[Span]:
    for resource_spans in traces.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            yield from scope_spans.spans


def check_messages(before: bytes, after: bytes, threshold: int, added: bytes | None) -> None:
    """Nothing but the tracestates and the attributes added is another message."""
    expected, out = parse(before), parse(after)
    for span in spans_in(expected):
        span.trace_state = expected_state(span.trace_state, threshold)
        if added is not None:
            kept = [pair for pair in span.attributes if pair.key not in KEYS]
            more = next(spans_in(parse(in_span(added)))).attributes
            del span.attributes[:]
            span.attributes.extend([*kept, *more])
    assert out.SerializeToString(deterministic=True) == expected.SerializeToString(
        deterministic=True
    )


def state_of(value: bytes) -> bytes:
    (span,) = spans_in(parse(value))
    return span.trace_state


TABLE = [
    ("", 0, "ot=th:0"),
    ("", HALF, "ot=th:8"),
    ("", NO_THRESHOLD, ""),
    ("vendor=x", MODULUS // 32, "ot=th:08,vendor=x"),
    ("ot=th:8", QUARTER, "ot=th:c"),
    ("ot=th:c", HALF, "ot=th:c"),
    ("ot=th:c", NO_THRESHOLD, ""),
    (f"ot=rv:{RV};th:8", NO_THRESHOLD, f"ot=rv:{RV}"),
    (f"a=1, ot=rv:{RV};k:v ,b=2", MODULUS - 1, f"ot=th:ffffffffffffff;rv:{RV};k:v,a=1,b=2"),
    ("ot=th:80", HALF, "ot=th:8"),
    ("ot=th:C;k:v", HALF, "ot=th:8;k:v"),
    ("a=1 ,, ot=k:v;th:8", HALF, "a=1 ,, ot=k:v;th:8"),
    ("a=1 ,ot=k:v", NO_THRESHOLD, "a=1 ,ot=k:v"),
    (" , ,", HALF, "ot=th:8"),
]


@pytest.mark.parametrize(("before", "threshold", "after"), TABLE)
def test_tracestates(before: str, threshold: int, after: str) -> None:
    (out,) = stamped([in_span(delimited(STATE, before.encode()))], [threshold])
    assert state_of(out) == after.encode() == expected_state(before.encode(), threshold)


PAIRS = st.one_of(
    st.sampled_from(
        ["th:8", "th:", "th", "th:C", "th:80", f"rv:{RV}", "rv:1", "a:b", "a:c", "a:?", "A:b"]
    ),
    st.sampled_from(["k:" + "x" * 100, "l:" + "x" * 130, "l:" + "y" * 129, "m:" + "z" * 900]),
    st.from_regex(r"[a-c]{1,2}:[A-Z._\-0-9]{0,3}", fullmatch=True),
    st.text("thrv:;a0F. -", max_size=6),
)
OT = st.lists(PAIRS, max_size=7).map(lambda pairs: "ot=" + ";".join(pairs))
MEMBERS = st.one_of(OT, st.sampled_from(["", "v=x", "ot", "ota=1", "x=" + "y" * 300, "\x7f"]))
BLANKS = st.sampled_from(["", "", "", " ", "\t "])
LISTS = st.lists(st.tuples(BLANKS, MEMBERS, BLANKS).map("".join), max_size=4)
STATES = st.one_of(
    st.tuples(LISTS, st.sampled_from([0, 0, 0, 40]))
    .map(lambda drawn: ",".join([*drawn[0], *(f"k{n}=v" for n in range(drawn[1]))]))
    .map(str.encode),
    st.binary(max_size=20),
)
THRESHOLDS = st.one_of(
    st.sampled_from([0, HALF, QUARTER, MODULUS - 1, MODULUS // 32, NO_THRESHOLD]),
    st.integers(0, MODULUS - 1),
)


@given(STATES, THRESHOLDS)
def test_any_tracestate_is_written_as_the_twin_does(state: bytes, threshold: int) -> None:
    (out,) = stamped([in_span(delimited(STATE, state))], [threshold])
    assert state_of(out) == expected_state(state, threshold)


@given(st.lists(PAIRS, min_size=20, max_size=200), THRESHOLDS)
def test_of_a_far_too_long_member_only_sampling_is_taken(pairs: list[str], threshold: int) -> None:
    state = ("ot=" + ";".join(pairs)).encode()
    (out,) = stamped([in_span(delimited(STATE, state))], [threshold])
    assert state_of(out) == expected_state(state, threshold)


VALUES = st.sampled_from([b"", number_field(5, 1), delimited(2, delimited(1, b"v"))])
ATTRIBUTES = st.tuples(
    st.sampled_from([*KEYS, b"", b"k", b"sampling.policies", b"sampling.adjusted_counT"]), VALUES
).map(lambda drawn: delimited(ATTRIBUTE, delimited(1, drawn[0]) + group(7) + drawn[1]))
ODD_ATTRIBUTES = st.tuples(st.sampled_from([*KEYS, b"k"]), st.sampled_from([*KEYS, b"k"])).map(
    lambda keys: delimited(ATTRIBUTE, delimited(1, keys[0]) + delimited(1, keys[1], pad=1))
)
OTHERS = st.sampled_from(
    [
        delimited(NAME, b"name", pad=1),
        number_field(6, 2),
        fixed(7, 1, FIXED64),
        fixed(STATE, 9, FIXED32),
        group(STATE, delimited(STATE, b"ot=th:1")),
        group(ATTRIBUTE, number_field(1, 1)),
        delimited(11, delimited(2, b"event")),
        delimited(1000, b"\xff"),
        tag(20, VARINT, 1) + b"\x01",
    ]
)
SPAN_FIELDS = st.one_of(
    STATES.map(lambda state: delimited(STATE, state)),
    STATES.map(lambda state: delimited(STATE, state, pad=1)),
    OTHERS,
    ATTRIBUTES,
    ODD_ATTRIBUTES,
)
SPANS = st.lists(SPAN_FIELDS, max_size=5).map(b"".join)


@st.composite
def nested(draw: st.DrawFn) -> bytes:
    """Draw spans in scopes in resources, with other fields around them and padded lengths."""
    around = st.sampled_from([b"", b"", delimited(1, b""), delimited(3, b"url"), group(2)])
    pads = st.sampled_from([0, 0, 0, 1])
    value = b""
    for _ in range(draw(st.integers(0, 2))):
        resource = draw(around)
        for _ in range(draw(st.integers(0, 2))):
            scope = draw(around)
            for _ in range(draw(st.integers(0, 3))):
                scope += delimited(2, draw(SPANS), draw(pads)) + draw(around)
            resource += delimited(2, scope, draw(pads)) + draw(around)
        value += delimited(1, resource, draw(pads)) + draw(st.sampled_from([b"", group(1)]))
    return value


MORE = st.sampled_from([b"", ADDED, span_attributes("p", None)])


@given(st.lists(st.tuples(st.one_of(nested(), records()), THRESHOLDS, MORE), max_size=3), st.data())
def test_records_are_written_as_the_twin_does(
    drawn: list[tuple[bytes, int, bytes]], data: st.DataObject
) -> None:
    values, thresholds = [value for value, _, _ in drawn], [threshold for _, threshold, _ in drawn]
    adding = data.draw(st.booleans())
    attributes = [added for _, _, added in drawn] if adding else None
    out = stamped(values, thresholds, attributes)
    for after, (before, threshold, added) in zip(out, drawn, strict=True):
        more = added if adding else None
        assert after == plain(before, threshold, more)
        check_messages(before, after, threshold, more)
    assert stamped(out, thresholds, attributes) == out


def test_what_reads_as_it_should_leaves_as_it_came() -> None:
    span = in_span(delimited(STATE, b"ot=th:c", pad=1) + delimited(STATE, b"a=1,ot=th:8", pad=2))
    assert stamped([span, span], [HALF, 0]) == [span, span]
    padded = delimited(1, delimited(2, delimited(2, delimited(STATE, b"ot=th:8"), pad=1), pad=3))
    assert stamped([padded, span], [HALF, 0], [b"", b""])[0] == padded
    assert stamped([b"", in_span(b"")], [HALF, NO_THRESHOLD]) == [b"", in_span(b"")]
    assert stamped([], []) == []


def test_the_tracestate_that_counts_is_the_last_and_the_one_that_is_written() -> None:
    name = delimited(NAME, b"name")
    span = in_span(delimited(STATE, b"ot=th:c") + name + delimited(STATE, b"a=1"))
    assert stamped([span], [HALF]) == [in_span(name + delimited(STATE, b"ot=th:8,a=1"))]


def test_attributes_of_the_same_keys_go() -> None:
    other = delimited(ATTRIBUTE, delimited(1, b"k"))
    old = span_attributes("old", 7.0)
    (out,) = stamped([in_span(old + other + old)], [NO_THRESHOLD], [span_attributes("new", None)])
    (span,) = spans_in(parse(out))
    assert [pair.key for pair in span.attributes] == [b"k", POLICY_KEY]
    assert span.attributes[1].value.string_value == b"new"
    (out,) = stamped([in_span(old)], [0], [ADDED])
    (span,) = spans_in(parse(out))
    assert [pair.key for pair in span.attributes] == [*KEYS]
    assert span.attributes[1].value.double_value == 2.0


def test_room_is_made_for_what_does_not_fit() -> None:
    dense = delimited(1, delimited(2, delimited(2, b"") * 5000))
    long = in_span(delimited(STATE, b"v=" + b"x" * 100_000))
    cut = in_span(ADDED * 3000)
    values = [dense, long, cut, dense]
    for attributes in (None, [ADDED] * 4):
        more = [None] * 4 if attributes is None else attributes
        expected = [plain(value, 1, added) for value, added in zip(values, more, strict=True)]
        assert stamped(values, [1] * 4, attributes) == expected


@given(
    st.lists(hostile_records(), min_size=1, max_size=3), THRESHOLDS, st.sampled_from([None, ADDED])
)
def test_what_is_no_record_is_refused_or_left_in_place(
    values: list[bytes], threshold: int, added: bytes | None
) -> None:
    attributes = None if added is None else [added] * len(values)
    try:
        out = stamped(values, [threshold] * len(values), attributes)
    except MalformedPayloadError:
        return
    assert out == [plain(value, threshold, added) for value in values]


def test_a_truncated_record_is_refused() -> None:
    with pytest.raises(MalformedPayloadError, match="Record 1 of 2"):
        stamped([in_span(b""), in_span(b"")[:-1]], [0, 0])


def test_bytes_that_may_be_written_are_stamped_like_those_that_may_not() -> None:
    value = in_span(b"")
    bounds, thresholds = np.array([0, len(value)]), np.array([HALF], np.uint64)
    made = [
        stamp(body, bounds, thresholds)[0].tobytes()
        for body in (np.frombuffer(value, np.uint8), np.frombuffer(bytearray(value), np.uint8))
    ]
    assert made == [plain(value, HALF)] * 2
    assert bounds.flags.writeable  # the caller's own stays as it is
