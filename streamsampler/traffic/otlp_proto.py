"""The model's spans as OTLP protobuf, encoded by hand: about 4 µs a span.

Source: opentelemetry-proto, trace/v1/trace.proto (TracesData, ResourceSpans, ScopeSpans, Span).
"""

import struct
from collections.abc import Iterable
from functools import lru_cache

from streamsampler.traffic.model import Batch, Event, Link, Resource, Scope, Span
from streamsampler.traffic.wire import delimited, field, varint

_TIMES = struct.Struct("<BQBQ")  # start_time_unix_nano = 7, end_time_unix_nano = 8, both fixed64
_START, _END = 7 << 3 | 1, 8 << 3 | 1
_FLAGS = struct.Struct("<2sI")
_SPAN_FLAGS = varint(16 << 3 | 5)
_FIXED64 = struct.Struct("<BQ")
_LINK_FLAGS = struct.Struct("<BI")


@lru_cache(maxsize=4096)
def resource_bytes(resource: Resource) -> bytes:
    """Encodes a resource as the first field of a ResourceSpans message.

    Args:
        resource: the instance.

    Returns:
        The field, tag included.
    """
    return field(1, b"".join(b"\x0a" + attribute.wire for attribute in resource.attributes))


@lru_cache(maxsize=4096)
def scope_bytes(scope: Scope) -> bytes:
    """Encodes a scope as the first field of a ScopeSpans message.

    Args:
        scope: the library.

    Returns:
        The field, tag included.
    """
    return field(1, field(1, scope.name.encode()) + field(2, scope.version.encode()))


@lru_cache(maxsize=4096)
def _name_and_kind(name: str, kind: int) -> bytes:
    return field(5, name.encode()) + bytes((6 << 3, kind))


@lru_cache(maxsize=4096)
def _status(code: int, message: str) -> bytes:
    # The Collector writes the status message even when it is empty.
    text = field(2, message.encode()) if message else b""
    return field(15, text + (bytes((3 << 3, code)) if code else b""))


def _event(event: Event) -> bytes:
    attributes = b"".join([b"\x1a" + attribute.wire for attribute in event.attributes])
    time = _FIXED64.pack(1 << 3 | 1, event.time_ns)
    return field(11, time + field(2, event.name.encode()) + attributes)


def _link(link: Link) -> bytes:
    flags = _LINK_FLAGS.pack(6 << 3 | 5, link.flags)
    return field(13, field(1, link.trace_id) + field(2, link.span_id) + flags)


def span_bytes(span: Span) -> bytes:
    """Encodes one span.

    Args:
        span: the span.

    Returns:
        The body of a Span message.
    """
    parts = [b"\x0a\x10", span.trace_id, b"\x12\x08", span.span_id]
    if span.trace_state:
        parts.append(field(3, span.trace_state.encode()))
    if span.parent_id:
        parts += (b"\x22\x08", span.parent_id)
    parts += (
        _name_and_kind(span.name, span.kind),
        _TIMES.pack(_START, span.start_ns, _END, span.end_ns),
    )
    for attribute in span.attributes:
        parts += (b"\x4a", attribute.wire)
    if span.events:
        parts += map(_event, span.events)
    if span.links:
        parts += map(_link, span.links)
    parts += (_status(span.status, span.message), _FLAGS.pack(_SPAN_FLAGS, span.flags))
    return b"".join(parts)


def traces_data(batches: Iterable[Batch]) -> bytes:
    """Encodes batches as the value of one Kafka record.

    Args:
        batches: one from the Collector with its traces partitioned by id, many without.

    Returns:
        A TracesData message.
    """
    return b"".join(map(_resource_spans, batches))


def _resource_spans(batch: Batch) -> bytes:
    scope_spans = [scope_bytes(batch.scope)]
    for span in batch.spans:
        scope_spans += (b"\x12", delimited(span_bytes(span)))
    if batch.scope.schema_url:
        scope_spans.append(field(3, batch.scope.schema_url.encode()))
    return field(1, resource_bytes(batch.resource) + field(2, b"".join(scope_spans)))
