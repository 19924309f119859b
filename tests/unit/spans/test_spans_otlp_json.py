"""OTLP JSON to protobuf: by the specification, held to protobuf's own reader and the Collector."""

import base64
import gzip
import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.spans.formats import FORMATS, MalformedRecord
from streamsampler.spans.messages import AnyValue
from streamsampler.spans.payload import parse, spans_of
from tests.oracle_otlp import Malformed, read_record, records
from tests.real_records import TRACES, real_records

translate = FORMATS["otlp_json"]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
ID_FIELDS = {"traceId", "spanId", "parentSpanId"}


def request(**span: object) -> bytes:
    """One request with one span of these fields."""
    whole = {"traceId": TRACE, "spanId": SPAN} | span
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [whole]}]}]}).encode()


def request_with_value(value: object) -> bytes:
    return request(attributes=[{"key": "k", "value": value}])


def value_in(proto: bytes) -> AnyValue:
    (span,) = [span for _, _, span in spans_of(proto)]
    return span.attributes[0].value


def all_spans(values: Iterable[bytes]) -> list[tuple[bytes, ...]]:
    return sorted(
        tuple(message.SerializeToString(deterministic=True) for message in messages)
        for value in values
        for messages in spans_of(value)
    )


class TestAgainstOthers:
    def test_it_gives_what_the_collector_writes_as_protobuf(self) -> None:
        of_json = [translate(record.value) for record in real_records("otlp-json")]

        assert all_spans(of_json) == all_spans(record.value for record in real_records())

    def test_lines_of_a_file_may_come_one_by_one_or_all_in_one_value(self) -> None:
        with gzip.open(TRACES) as file:
            whole = file.read()
        one_by_one = b"".join(translate(line) for line in whole.splitlines())

        assert translate(whole) == parse(one_by_one).SerializeToString(deterministic=True)
        assert all_spans([one_by_one]) == all_spans(record.value for record in real_records())

    @given(value=records(), numbered=st.booleans())
    def test_it_reads_what_protobuf_writes(self, value: bytes, *, numbered: bool) -> None:
        message = TracesData.FromString(only_known_utf8(value))
        document = json_format.MessageToDict(message, use_integers_for_enums=numbered)
        ids_to_hex(document)

        assert translate(json.dumps(document).encode() or b"{}") == message.SerializeToString(
            deterministic=True,
        )


def only_known_utf8(value: bytes) -> bytes:
    """Drop from a record what JSON cannot say: unknown fields, bytes that are no UTF-8, odd NaN."""
    return _only_known_utf8(parse(value), TracesData()).SerializeToString()


def _only_known_utf8(source: Any, target: Message) -> Message:
    for field in target.DESCRIPTOR.fields:
        items = getattr(source, field.name)
        if not field.is_repeated:
            items = [items] if not field.has_presence or source.HasField(field.name) else []
        for item in items:
            if field.message_type is not None:
                holder: Any = getattr(target, field.name)
                submessage = holder.add() if field.is_repeated else holder
                submessage.SetInParent()
                _only_known_utf8(item, submessage)
                continue
            plain = _sayable(item, is_text=field.type == field.TYPE_STRING)
            if field.is_repeated:
                getattr(target, field.name).append(plain)
            else:
                setattr(target, field.name, plain)
    return target


def _sayable(item: Any, *, is_text: bool) -> Any:
    if is_text:
        return item.decode(errors="replace")
    return (
        math.nan if isinstance(item, float) and math.isnan(item) else item
    )  # of the many NaN, JSON has one


def ids_to_hex(document: Any) -> None:
    match document:
        case dict():
            for name, value in document.items():
                if name in ID_FIELDS:
                    document[name] = base64.b64decode(value).hex()
                else:
                    ids_to_hex(value)
        case list():
            for value in document:
                ids_to_hex(value)


class TestAccepted:
    @pytest.mark.parametrize("start", [1795459754838697010, "1795459754838697010"])
    def test_64_bit_numbers_come_as_numbers_or_strings(self, start: object) -> None:
        (found,) = parsed(request(startTimeUnixNano=start))

        assert found.start == 1795459754838697010

    @pytest.mark.parametrize("kind", [3, "SPAN_KIND_CLIENT", 3.0])
    def test_enums_come_as_numbers_or_names(self, kind: object) -> None:
        (found,) = parsed(request(kind=kind, status={"code": "STATUS_CODE_ERROR"}))

        assert (found.kind, found.status) == (3, 2)

    def test_an_enum_number_of_the_future_stays(self) -> None:
        (found,) = parsed(request(kind=77))

        assert found.kind == 77

    def test_ids_are_hexadecimal_in_either_case_and_may_be_empty(self) -> None:
        (found,) = parsed(request(traceId=TRACE.upper(), parentSpanId="", links=[{"traceId": ""}]))

        assert (found.trace_id.hex(), found.parent_span_id) == (TRACE, b"")

    @pytest.mark.parametrize(
        ("value", "member", "read"),
        [
            ({"stringValue": "caf\u00e9"}, "string_value", "caf\u00e9".encode()),
            ({"stringValue": ""}, "string_value", b""),
            ({"stringValue": "a\0b"}, "string_value", b"a\0b"),
            ({"boolValue": False}, "bool_value", False),
            ({"intValue": "-9223372036854775808"}, "int_value", -(2**63)),
            ({"intValue": 7.0}, "int_value", 7),
            ({"doubleValue": 1}, "double_value", 1.0),
            ({"doubleValue": "1.5e3"}, "double_value", 1500.0),
            ({"doubleValue": "-Infinity"}, "double_value", float("-inf")),
            ({"bytesValue": "_-8="}, "bytes_value", b"\xff\xef"),
            ({"bytesValue": "/+8"}, "bytes_value", b"\xff\xef"),
            ({"stringValue": "a", "intValue": 1}, "int_value", 1),
            ({"stringValue": "a", "intValue": None}, "string_value", b"a"),
        ],
    )
    def test_attribute_values(self, value: object, member: str, read: object) -> None:
        found = value_in(translate(request_with_value(value)))

        assert found.WhichOneof("value") == member
        assert getattr(found, member) == read

    @pytest.mark.parametrize("value", [{}, None, {"stringValue": None}, {"unknownValue": 1}])
    def test_an_attribute_may_have_no_value(self, value: object) -> None:
        assert value_in(translate(request_with_value(value))).WhichOneof("value") is None

    def test_nested_values_keep_their_form(self) -> None:
        value: dict[str, object] = {"stringValue": "leaf"}
        for _ in range(10):
            value = {"arrayValue": {"values": [value, {}]}}
            value = {"kvlistValue": {"values": [{"key": "k", "value": value}]}}
        proto = translate(request_with_value(value))

        assert json_format.MessageToDict(TracesData.FromString(proto))["resourceSpans"][0][
            "scopeSpans"
        ][0]["spans"][0]["attributes"] == [{"key": "k", "value": value}]

    def test_unknown_members_are_passed_over_snake_case_too(self) -> None:
        plain = request()
        document = json.loads(request(new={"a": [1]}, trace_state="x", parent_span_id="no hex"))
        document["partialSuccess"] = {}

        assert translate(json.dumps(document).encode()) == translate(plain)

    def test_several_requests_in_one_value_are_joined(self) -> None:
        pretty = json.dumps(json.loads(request(name="b")), indent=2).encode()
        proto = translate(b"\xef\xbb\xbf" + request(name="a") + b"\r\n\n" + pretty + b"{}\n")

        assert [span.name for _, _, span in spans_of(proto)] == [b"a", b"b"]

    def test_bytes_that_are_no_utf8_come_out_as_they_went_in(self) -> None:
        broken = request(name="NAME").replace(b"NAME", b"caf\xe9 \xff \xed\xa0\x80 \\u00e9")
        (found,) = parsed(broken)

        assert found.name == b"caf\xe9 \xff \xed\xa0\x80 \xc3\xa9"

    @pytest.mark.parametrize("byte", [b"", b"\xff"], ids=["UTF-8", "no UTF-8"])
    def test_half_a_surrogate_pair_becomes_the_replacement_character(self, byte: bytes) -> None:
        name = rb"\ud800 \udfff \ud83d\ude00" + byte
        (found,) = parsed(request(name="NAME").replace(b"NAME", name))

        assert found.name == "\ufffd \ufffd \U0001f600".encode() + byte

    def test_what_the_scan_is_to_judge_is_left_to_it(self) -> None:
        assert read_record(translate(request(traceId="0" * 32))) == Malformed("trace_id")
        assert read_record(translate(request(spanId=""))) == Malformed("span_id")


def parsed(value: bytes) -> list[Any]:
    spans = read_record(translate(value))
    assert not isinstance(spans, Malformed)
    return spans


IN_SPAN = "Line 1, resourceSpans[0].scopeSpans[0].spans[0]"


class TestRefused:
    @pytest.mark.parametrize(
        ("value", "reason", "detail"),
        [
            (b"", "bad_json", "The value is empty"),
            (b" \n", "bad_json", "The value is empty"),
            (b"{", "bad_json", "Line 1, column 2: no JSON"),
            (b'{"resourceSpans": []}\n{"resour', "bad_json", "Line 2, column 2: no JSON"),
            (b"\x0a\x00", "bad_json", "Line 2, column 1: no JSON"),
            ("{}".encode("utf-16"), "bad_json", "Line 1, column 1: no JSON"),
            (b"[" * 200_000, "bad_json", "Line 1: nesting beyond all use."),
            (b'\n{"a":' + b"1" * 5000 + b"}", "bad_json", "Line 2: a number beyond all use."),
            (b"7", "bad_otlp_json", "Line 1: an object is expected, not 7."),
            (b"{}\n[]", "bad_otlp_json", "Line 2: an object is expected, not []."),
            (
                b'{"resourceLogs": [], "x": 1}',
                "not_traces",
                "Line 1: no resourceSpans in here, but 'resourceLogs', 'x'.",
            ),
            (
                b'{"resourceSpans": {}}',
                "bad_otlp_json",
                "Line 1, resourceSpans: a list is expected, not {}.",
            ),
            (
                b'{"resourceSpans": [{}, {"resource": 1}]}',
                "bad_otlp_json",
                "Line 1, resourceSpans[1].resource: an object is expected, not 1.",
            ),
            (
                b'{"resourceSpans": [{"resource": {"entityRefs": [{"idKeys": ["a", 1]}]}}]}',
                "bad_otlp_json",
                (
                    "Line 1, resourceSpans[0].resource.entityRefs[0].idKeys[1]: "
                    "a string is expected, not 1."
                ),
            ),
        ],
    )
    def test_what_is_no_request_is_said_with_its_place(
        self,
        value: bytes,
        reason: str,
        detail: str,
    ) -> None:
        refused = refusal(value)

        assert refused.reason == reason
        assert refused.detail.startswith(detail)

    @pytest.mark.parametrize(
        ("span", "detail"),
        [
            ({"traceId": 7}, ".traceId: a string is expected, not 7."),
            (
                {"spanId": "xy"},
                (
                    ".spanId: The id 'xy' has 'x' in it; "
                    "write 16 hexadecimal digits, 0 to 9 and a to f."
                ),
            ),
            (
                {"traceId": SPAN},
                f".traceId: The id '{SPAN}' has 16 hexadecimal digits; write 32.",
            ),
            (
                {"links": [{}, {"spanId": "ab"}]},
                ".links[1].spanId: The id 'ab' has 2 hexadecimal digits; write 16.",
            ),
            ({"name": {}}, ".name: a string is expected, not {}."),
            ({"events": [None]}, ".events[0]: an object is expected, not None."),
            (
                {"kind": "SERVER"},
                (
                    ".kind: a number or one of SPAN_KIND_UNSPECIFIED, SPAN_KIND_INTERNAL, "
                    "SPAN_KIND_SERVER, SPAN_KIND_CLIENT, SPAN_KIND_PRODUCER, SPAN_KIND_CONSUMER "
                    "is expected, not 'SERVER'."
                ),
            ),
            (
                {"startTimeUnixNano": "soon"},
                (
                    ".startTimeUnixNano: an integer from 0 to 18446744073709551615 "
                    "is expected, not 'soon'."
                ),
            ),
            (
                {"flags": 2**32},
                ".flags: an integer from 0 to 4294967295 is expected, not 4294967296.",
            ),
        ],
    )
    def test_a_field_that_does_not_fit_is_named(self, span: dict[str, object], detail: str) -> None:
        refused = refusal(request(**span))

        assert refused.reason == "bad_otlp_json"
        assert refused.detail == IN_SPAN + detail

    @pytest.mark.parametrize(
        "value",
        [
            "text",
            {"stringValue": 1},
            {"boolValue": "true"},
            {"boolValue": 0},
            {"intValue": True},
            {"intValue": 1.5},
            {"intValue": "1.0"},
            {"intValue": " 1"},
            {"intValue": "\u0661"},
            {"intValue": 2**63},
            {"intValue": float("nan")},
            {"doubleValue": True},
            {"doubleValue": "one"},
            {"doubleValue": "1_0"},
            {"doubleValue": 10**400},
            {"bytesValue": "a"},
            {"bytesValue": "\u00e9\u00e9\u00e9\u00e9"},
            {"bytesValue": "a b="},
            {"arrayValue": []},
            {"kvlistValue": {"values": {}}},
        ],
    )
    def test_an_attribute_value_that_does_not_fit_is_refused(self, value: object) -> None:
        refused = refusal(request_with_value(value))

        assert refused.detail.startswith(f"{IN_SPAN}.attributes[0].value")
        assert "is expected, not " in refused.detail

    def test_messages_nested_deeper_than_any_reader_goes_are_refused(self) -> None:
        def tower(pairs: int) -> bytes:
            value: dict[str, object] = {}
            for _ in range(pairs):
                value = {"arrayValue": {"values": [value]}}
            return request_with_value(value)

        assert read_record(translate(tower(47))) != Malformed("protobuf")
        assert "more than 100 messages in each other." in refusal(tower(48)).detail

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["resourceSpans", "scopeSpans", "spans", "traceId", "attributes", "value"],
                    ),
                    inner,
                    max_size=3,
                )
            ),
        ),
    )
    def test_any_json_is_translated_or_refused(self, document: object) -> None:
        translated_or_refused(json.dumps(document).encode())

    @given(st.binary(max_size=30), st.integers(0, 300), st.integers(0, 9))
    def test_any_bytes_are_translated_or_refused(self, piece: bytes, at: int, gone: int) -> None:
        whole = request(name="a", kind=2, attributes=[{"key": "k", "value": {"intValue": "7"}}])

        translated_or_refused(whole[:at] + piece + whole[at + gone :])


def refusal(value: bytes) -> MalformedRecord:
    with pytest.raises(MalformedRecord) as raised:
        translate(value)
    return raised.value


def translated_or_refused(value: bytes) -> None:
    try:
        translated = translate(value)
    except MalformedRecord as error:
        refused = error
    else:
        assert read_record(translated) != Malformed("protobuf")
        return
    assert refused.reason in {"bad_json", "bad_otlp_json", "not_traces"}
    assert refused.detail.endswith(".")
