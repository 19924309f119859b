"""What the generator knows of a trace: spans, what they hang on, and the traces they make up.

Attributes, resources and scopes are shared by many spans, so each carries its own encodings,
made once.
"""

import json
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamsampler.traffic import wire
from streamsampler.traffic.wire import AttributeValue

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
"""Span kinds. Source: opentelemetry-proto, trace/v1/trace.proto, Span.SpanKind."""

UNSET, OK, ERROR = 0, 1, 2
"""Status codes. Source: opentelemetry-proto, trace/v1/trace.proto, Status.StatusCode."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A key with its value, and how it reads in either encoding.

    Attributes:
        key: the name.
        value: any OTLP type.
        wire: the KeyValue message with its length before it, ready for a tag.
        json: the KeyValue object as OTLP JSON text.
    """

    key: str
    value: AttributeValue
    wire: bytes = field(init=False, repr=False, compare=False)
    json: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        encoded = wire.delimited(wire.key_value(self.key, self.value))
        object.__setattr__(self, "wire", encoded)
        pair = {"key": self.key, "value": json_value(self.value)}
        object.__setattr__(self, "json", json_text(pair))


def json_value(value: AttributeValue) -> dict[str, Any]:  # noqa: PLR0911 - one for each type
    """Turns an attribute's value into the object that OTLP JSON has for it.

    Args:
        value: any OTLP type.

    Returns:
        The AnyValue object; 64-bit integers as strings, bytes in base64.

    Source:
        OTLP specification 1.x, "JSON Protobuf Encoding"; Protobuf's JSON mapping.
    """
    match value:
        case None:
            return {}
        case str():
            return {"stringValue": value}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            # Protobuf's JSON has words for what JSON has no numbers for.
            return {"doubleValue": value if math.isfinite(value) else _word(value)}
        case bytes():
            return {"bytesValue": b64encode(value).decode()}
        case Mapping():
            pairs = [{"key": k, "value": json_value(v)} for k, v in value.items()]
            return {"kvlistValue": {"values": pairs}}
        case Sequence():
            return {"arrayValue": {"values": [json_value(item) for item in value]}}


def _word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def json_text(value: object) -> str:
    """Writes JSON as the Collector does: no blanks, characters as they are.

    Args:
        value: what `json.dumps` takes.

    Returns:
        The text.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One running instance of a service.

    Attributes:
        service: the service's name.
        attributes: the resource's attributes.
        skew_ns: how far this host's clock is ahead of true time, ns; negative when behind.
        sampled_flag: whether its SDK writes the W3C sampled bit into span flags.
    """

    service: str
    attributes: tuple[Attribute, ...]
    skew_ns: int
    sampled_flag: bool


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """The instrumentation library that made a span.

    Attributes:
        name: the library's name.
        version: its version.
        schema_url: the semantic conventions it follows; empty when it does not say.
    """

    name: str
    version: str
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span, an exception for instance.

    Attributes:
        time_ns: when, ns since the epoch, by the clock of the span's host.
        name: what happened.
        attributes: its attributes.
    """

    time_ns: int
    name: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A tie to a span of another trace.

    Attributes:
        trace_id: the other trace, 16 bytes.
        span_id: the span in it, 8 bytes.
        flags: W3C flags and the remote bits of the other context.
    """

    trace_id: bytes
    span_id: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class Span:
    """One span as its SDK would export it.

    Attributes:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        parent_id: 8 bytes, or none for a root.
        name: the operation's name.
        kind: INTERNAL to CONSUMER.
        start_ns: ns since the epoch, by its host's clock.
        end_ns: likewise.
        status: UNSET, OK or ERROR.
        message: the status' message; only with ERROR.
        attributes: its attributes.
        events: its events.
        links: its links.
        trace_state: the W3C tracestate header; empty when there is none.
        flags: W3C flags (low byte), 0x100 parent known, 0x200 parent is remote.
        resource: where it ran.
        scope: what made it.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    message: str
    attributes: tuple[Attribute, ...]
    events: tuple[Event, ...]
    links: tuple[Link, ...]
    trace_state: str
    flags: int
    resource: Resource
    scope: Scope

    @property
    def true_end_ns(self) -> int:
        """The end by true time, ns since the epoch: the host's skew taken out."""
        return self.end_ns - self.resource.skew_ns


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace as the sampler will see it.

    Attributes:
        trace_id: 16 bytes.
        spans: those that arrive before any decision, children before parents.
        late_spans: those that arrive after it.
        records: how many keyed records carry it, copies included.
        duplicate_spans: spans in copies of records that a retrying producer writes again.
        headers: the headers on each of its records.
    """

    trace_id: bytes
    spans: tuple[Span, ...]
    late_spans: tuple[Span, ...]
    records: int
    duplicate_spans: int
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Spans of one resource and one scope, as one ResourceSpans message holds them.

    Attributes:
        resource: where they ran.
        scope: what made them.
        spans: 1 to 20 of them.
    """

    resource: Resource
    scope: Scope
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class GeneratedRecord:
    """One Kafka record.

    Attributes:
        key: the trace id as 32 lower-case hex digits, or none.
        value: OTLP protobuf TracesData, or hostile bytes.
        time_ms: the record's timestamp, ms since the epoch.
        headers: its headers.
        batches: what the value holds; none in a hostile record.
        late: whether its spans come after their trace's decision.
        duplicate: whether it is the copy that a retry wrote; disorder may bring it first.
        fault: what is wrong with a hostile record; none in all others.
    """

    key: bytes | None
    value: bytes
    time_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()
    batches: tuple[Batch, ...] = ()
    late: bool = False
    duplicate: bool = False
    fault: str | None = None

    @property
    def spans(self) -> tuple[Span, ...]:
        """Its spans in the order in which they stand in the value."""
        return tuple(span for batch in self.batches for span in batch.spans)

    @property
    def trace_ids(self) -> tuple[bytes, ...]:
        """The traces that it carries, each once, in order of appearance."""
        return tuple(dict.fromkeys(span.trace_id for span in self.spans))
