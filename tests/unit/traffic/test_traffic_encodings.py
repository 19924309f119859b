"""Records parse back, by the official schema, to exactly what the model says."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.traffic import GeneratedRecord, Span, Traffic, TrafficSettings
from streamsampler.traffic.files import kafka_jsonl, otlp_json, otlp_proto
from streamsampler.traffic.model import Attribute
from streamsampler.traffic.wire import AttributeValue, key_value, varint

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def plain(value: AnyValue) -> AttributeValue:
    """An AnyValue as the model writes it."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
        case name:
            scalar: AttributeValue = getattr(value, name)
            return scalar


def pairs(attributes: Sequence[KeyValue]) -> list[tuple[str, AttributeValue]]:
    return [(pair.key, plain(pair.value)) for pair in attributes]


def model_pairs(attributes: Sequence[Attribute]) -> list[tuple[str, AttributeValue]]:
    return [(attribute.key, attribute.value) for attribute in attributes]


def fields_of_message(span: trace_pb2.Span) -> Mapping[str, Any]:
    return {
        "ids": (span.trace_id, span.span_id, span.parent_span_id),
        "name": (span.name, span.kind),
        "times": (span.start_time_unix_nano, span.end_time_unix_nano),
        "status": (span.status.code, span.status.message),
        "attributes": pairs(span.attributes),
        "events": [(e.time_unix_nano, e.name, pairs(e.attributes)) for e in span.events],
        "links": [(link.trace_id, link.span_id, link.flags) for link in span.links],
        "context": (span.trace_state, span.flags),
    }


def fields_of_model(span: Span) -> Mapping[str, Any]:
    return {
        "ids": (span.trace_id, span.span_id, span.parent_id),
        "name": (span.name, span.kind),
        "times": (span.start_ns, span.end_ns),
        "status": (span.status, span.message),
        "attributes": model_pairs(span.attributes),
        "events": [(e.time_ns, e.name, model_pairs(e.attributes)) for e in span.events],
        "links": [(link.trace_id, link.span_id, link.flags) for link in span.links],
        "context": (span.trace_state, span.flags),
    }


def assert_reads_as_the_model(data: TracesData, record: GeneratedRecord) -> None:
    assert len(data.resource_spans) == len(record.batches)
    for message, batch in zip(data.resource_spans, record.batches, strict=True):
        assert pairs(message.resource.attributes) == model_pairs(batch.resource.attributes)
        (scope_spans,) = message.scope_spans
        assert scope_spans.scope.name == batch.scope.name
        assert scope_spans.scope.version == batch.scope.version
        assert scope_spans.schema_url == batch.scope.schema_url
        assert [fields_of_message(span) for span in scope_spans.spans] == [
            fields_of_model(span) for span in batch.spans
        ]


def some_records(seed: int, traces: int = 12) -> Iterator[GeneratedRecord]:
    shares = {"late_share": 0.3, "broken_share": 0.3, "tracestate_share": 0.5}
    return Traffic(TrafficSettings(traces=traces, seed=seed, **shares)).records()  # type: ignore[arg-type] # shares are floats


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_protobuf_parses_back_to_the_model_for_any_seed(seed: int) -> None:
    for record in some_records(seed):
        assert_reads_as_the_model(TracesData.FromString(record.value), record)


def with_base64_ids(value: Any) -> Any:
    """OTLP JSON has ids in hex where Protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            name: base64.b64encode(bytes.fromhex(item)).decode()
            if name in {"traceId", "spanId", "parentSpanId"}
            else with_base64_ids(item)
            for name, item in value.items()
        }
    return value


@given(st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_json_says_the_same_as_protobuf_for_any_seed(seed: int) -> None:
    for record in some_records(seed):
        document = with_base64_ids(json.loads(otlp_json(record)))
        assert json_format.ParseDict(document, TracesData()) == TracesData.FromString(record.value)


@given(st.text(max_size=10), _VALUES)
def test_an_attribute_of_any_type_and_depth_parses_back(key: str, value: AttributeValue) -> None:
    pair = KeyValue.FromString(key_value(key, value))
    assert (pair.key, plain(pair.value)) == (key, value)
    document = json.loads(Attribute(key, value).json)
    assert json_format.ParseDict(document, KeyValue()) == pair


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (2**64 - 1, b"\xff" * 9 + b"\x01"),
    ],
)
def test_varints_are_base_128_low_groups_first(number: int, encoded: bytes) -> None:
    assert varint(number) == encoded


def test_a_kafka_line_holds_key_time_headers_and_value() -> None:
    record = GeneratedRecord(b"ab" * 16, b"\x00\xff", 1234, (("tenant", "ü".encode()),))
    assert json.loads(kafka_jsonl(record)) == {
        "partition": None,
        "timestamp_ms": 1234,
        "key": "ab" * 16,
        "headers": [["tenant", "ü"]],
        "value": base64.b64encode(b"\x00\xff").decode(),
    }
    assert json.loads(kafka_jsonl(GeneratedRecord(None, b"", 0)))["key"] is None


def test_a_protobuf_file_has_the_length_before_each_message() -> None:
    assert otlp_proto(GeneratedRecord(None, b"abc", 0)) == b"\x00\x00\x00\x03abc"
