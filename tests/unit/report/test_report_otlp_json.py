"""Kept traces as OTLP JSON lines: what the Collector's file exporter would have written."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from streamsampler.report.otlp_json import trace_line
from streamsampler.spans.payload import new_traces

REAL = Path(__file__).parents[2] / "data" / "real"


def test_a_span_is_written_with_hex_ids_numbers_for_enums_and_strings_for_large_numbers() -> None:
    traces = TracesData()
    resource_spans = traces.resource_spans.add(schema_url="https://example.com/1")
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "größe"
    span = resource_spans.scope_spans.add().spans.add(
        trace_id=bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
        span_id=bytes.fromhex("00f067aa0ba902b7"),
        name="GET /",
        kind=3,
        flags=257,
        start_time_unix_nano=1_795_459_754_838_697_010,
    )
    span.status.code = Status.STATUS_CODE_ERROR
    for key, field, value in [
        ("int", "int_value", -(2**63)),
        ("zero", "int_value", 0),
        ("bool", "bool_value", False),
        ("double", "double_value", 1.5),
        ("bytes", "bytes_value", b"\0\xff"),
    ]:
        setattr(span.attributes.add(key=key).value, field, value)
    span.attributes.add(key="list").value.array_value.values.add().string_value = "a"
    span.attributes.add(key="empty").value.SetInParent()

    assert json.loads(trace_line([traces.SerializeToString()])) == {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": "größe"}}]
                },
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "0af7651916cd43dd8448eb211c80319c",
                                "spanId": "00f067aa0ba902b7",
                                "name": "GET /",
                                "kind": 3,
                                "flags": 257,
                                "startTimeUnixNano": "1795459754838697010",
                                "status": {"code": 2},
                                "attributes": [
                                    {"key": "int", "value": {"intValue": str(-(2**63))}},
                                    {"key": "zero", "value": {"intValue": "0"}},
                                    {"key": "bool", "value": {"boolValue": False}},
                                    {"key": "double", "value": {"doubleValue": 1.5}},
                                    {"key": "bytes", "value": {"bytesValue": "AP8="}},
                                    {
                                        "key": "list",
                                        "value": {"arrayValue": {"values": [{"stringValue": "a"}]}},
                                    },
                                    {"key": "empty", "value": {}},
                                ],
                            }
                        ]
                    }
                ],
                "schemaUrl": "https://example.com/1",
            }
        ]
    }


@given(st.sampled_from([float("inf"), float("-inf"), float("nan")]))
def test_numbers_that_json_lacks_are_strings(number: float) -> None:
    traces = TracesData()
    span = traces.resource_spans.add().scope_spans.add().spans.add()
    span.attributes.add(key="x").value.double_value = number

    line = json.loads(trace_line([traces.SerializeToString()]), parse_constant=lambda word: word)
    value = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"][0]["value"]
    assert value["doubleValue"] in {"Infinity", "-Infinity", "NaN"}
    assert isinstance(value["doubleValue"], str)


def test_a_trace_of_several_records_is_one_line() -> None:
    traces = [TracesData(), TracesData()]
    for name, each in zip(("first", "second"), traces, strict=True):
        each.resource_spans.add().scope_spans.add().spans.add(name=f"{name}\n")

    line = trace_line(each.SerializeToString() for each in traces)

    assert "\n" not in line
    assert [
        resource["scopeSpans"][0]["spans"][0]["name"]
        for resource in json.loads(line)["resourceSpans"]
    ] == ["first\n", "second\n"]


def test_broken_utf_8_becomes_replacement_characters() -> None:
    traces = new_traces()
    traces.resource_spans.add().scope_spans.add().spans.add().name = b"caf\xff"
    assert "caf�" in trace_line([traces.SerializeToString()])


def test_real_records_read_as_the_collector_wrote_them() -> None:
    """Every span of the Collector's Kafka records, against its file of the same spans."""
    ours: dict[str, object] = {}
    with gzip.open(REAL / "otlp-proto.jsonl.gz") as records:
        for record in records:
            value = base64.b64decode(json.loads(record)["value"])
            ours |= _spans_by_id(json.loads(trace_line([value])))
    theirs: dict[str, object] = {}
    with gzip.open(REAL / "traces.jsonl.gz") as lines:
        for line in lines:
            theirs |= _spans_by_id(json.loads(line))

    assert len(ours) == 3258
    assert ours == theirs


def _spans_by_id(request: Any) -> dict[str, object]:
    found: dict[str, object] = {}
    for resource_spans in request["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                shell = {key: scope_spans[key] for key in scope_spans if key != "spans"}
                found[span["spanId"]] = (resource_spans["resource"], shell, span)
    return found
