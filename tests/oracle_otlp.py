"""The plain, slow twin of the scan: what a record holds, by upb, one field after the other.

`records` and `hostile_records` are the strategies that scan and twin are compared on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from streamsampler.spans.messages import AnyValue, KeyValue, Span
from streamsampler.spans.payload import MalformedPayloadError, parse
from tests.otlp_records import hostile_records, records

__all__ = ["Attributes", "Malformed", "SpanFields", "hostile_records", "read_record", "records"]

Kind = Literal["string", "bool", "int", "double", "other", "none"]
Value = tuple[Kind, bytes | bool | int | float | None]
Attributes = dict[bytes, Value]

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that goes to the dead letters, whole."""

    reason: str


@dataclass(frozen=True, slots=True)
class SpanFields:
    """What the scan has to find of one span.

    `parent_span_id` is empty for a root, also where the record has zeros. `resource` counts the
    record's ResourceSpans from 0. Of attributes with one key the first counts.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    start: int
    end: int
    kind: int
    status: int
    flags: int
    trace_state: bytes
    name: bytes
    resource: int
    resource_attributes: Attributes = field(default_factory=dict)
    attributes: Attributes = field(default_factory=dict)
    message: bytes = b""
    scope: tuple[bytes, bytes, Attributes] = (b"", b"", {})
    events: tuple[tuple[bytes, Attributes], ...] = ()


def read_record(value: bytes) -> list[SpanFields] | Malformed:
    try:
        traces = parse(value)
    except MalformedPayloadError:
        return Malformed("protobuf")
    spans = []
    for number, resource_spans in enumerate(traces.resource_spans):
        shared = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope
            named = scope.name, scope.version, _attributes(scope.attributes)
            for span in scope_spans.spans:
                fault = _fault_of(span)
                if fault:
                    return Malformed(fault)
                spans.append(replace(_fields(span, number, shared), scope=named))
    return spans


def _fault_of(span: Span) -> str:
    if len(span.trace_id) != TRACE_ID_BYTES or not any(span.trace_id):
        return "trace_id"
    if len(span.span_id) != SPAN_ID_BYTES or not any(span.span_id):
        return "span_id"
    if len(span.parent_span_id) not in {0, SPAN_ID_BYTES}:
        return "parent_span_id"
    for link in span.links:
        if len(link.trace_id) not in {0, TRACE_ID_BYTES}:
            return "link_trace_id"
        if len(link.span_id) not in {0, SPAN_ID_BYTES}:
            return "link_span_id"
    return ""


def _fields(span: Span, resource: int, resource_attributes: Attributes) -> SpanFields:
    return SpanFields(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id if any(span.parent_span_id) else b"",
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        kind=span.kind,
        status=span.status.code,
        flags=span.flags,
        trace_state=span.trace_state,
        name=span.name,
        resource=resource,
        resource_attributes=resource_attributes,
        attributes=_attributes(span.attributes),
        message=span.status.message,
        events=tuple((event.name, _attributes(event.attributes)) for event in span.events),
    )


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    first: Attributes = {}
    for pair in pairs:
        first.setdefault(pair.key, _value(pair.value))
    return first


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case None:
            return ("none", None)
        case "string_value":
            return ("string", value.string_value)
        case "bool_value":
            return ("bool", value.bool_value)
        case "int_value":
            return ("int", value.int_value)
        case "double_value":
            return ("double", value.double_value)
        case _:
            return ("other", None)
