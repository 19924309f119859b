"""Whole OTLP messages: the way for the few kept records that cannot go out as they came in.

The schema is opentelemetry-proto's with every ``string`` field as ``bytes``: both are encoded
alike, but bytes are not checked, so a name in broken UTF-8 comes out as it went in. Unknown
fields are kept at every level. The copy lives in a descriptor pool of its own, so that it does not
meet the original.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, cast

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from streamsampler.spans.messages import (
    Resource,
    ResourceSpans,
    Scope,
    ScopeSpans,
    Span,
    TracesData,
)

Identity = tuple[bytes, int, int]
"""What tells a span from the others of its trace: its id, kind and start."""


class MalformedPayloadError(ValueError):
    """Bytes that are no OTLP protobuf `TracesData`."""


@dataclass(frozen=True, slots=True)
class ScopeParts:
    """A scope taken apart.

    Attributes:
        shell: The ScopeSpans without its spans.
        spans: Its spans, in order.
    """

    shell: ScopeSpans
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ResourceParts:
    """A resource taken apart.

    Attributes:
        shell: The ResourceSpans without its scopes.
        scopes: Its scopes, in order.
    """

    shell: ResourceSpans
    scopes: tuple[ScopeParts, ...]


@dataclass(frozen=True, slots=True)
class RecordParts:
    """A record taken apart, to be put together again with some of its spans.

    Attributes:
        shell: The TracesData without its resources.
        resources: Its resources, in order.
    """

    shell: TracesData
    resources: tuple[ResourceParts, ...]


def _strings_to_bytes(message: DescriptorProto) -> None:
    for field in message.field:
        if field.type == FieldDescriptorProto.TYPE_STRING:
            field.type = FieldDescriptorProto.TYPE_BYTES
    for nested in message.nested_type:
        _strings_to_bytes(nested)


def _schema(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Copy files, each after those that it imports, into a pool of their own."""
    pool = DescriptorPool()
    for original in files:
        file = FileDescriptorProto()
        original.CopyToProto(file)
        for message in file.message_type:
            _strings_to_bytes(message)
        pool.Add(file)
    return pool


_POOL: Final = _schema(
    (common_pb2.DESCRIPTOR, resource_pb2.DESCRIPTOR, trace_pb2.DESCRIPTOR),
)
_TRACES_DATA: Final = GetMessageClass(
    _POOL.FindMessageTypeByName(trace_pb2.TracesData.DESCRIPTOR.full_name),
)


def new_traces() -> TracesData:
    """Make an empty message.

    Returns:
        A `TracesData` without spans.
    """
    return cast("TracesData", _TRACES_DATA())


def parse(value: bytes) -> TracesData:
    """Decode a record's value.

    Args:
        value: An OTLP protobuf `TracesData`; an ``ExportTraceServiceRequest`` has the same form.

    Returns:
        The message, strings as bytes.

    Raises:
        MalformedPayloadError: The bytes are no such message.
    """
    try:
        return cast("TracesData", _TRACES_DATA.FromString(value))
    except DecodeError as error:
        raise MalformedPayloadError(
            f"These {len(value)} bytes are no OTLP protobuf TracesData; "
            "check the encoding of whoever wrote them.",
        ) from error


def spans_of(value: bytes) -> Iterator[tuple[Resource, Scope, Span]]:
    """Go through a record's spans.

    Args:
        value: An OTLP protobuf `TracesData`.

    Yields:
        Resource, scope and span, in the order of the record.

    Raises:
        MalformedPayloadError: The bytes are no such message.
    """
    for resource_spans in parse(value).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield resource_spans.resource, scope_spans.scope, span


def take_apart(value: bytes) -> RecordParts:
    """Decode a record that several traces are to be cut from, once for all of them.

    Args:
        value: An OTLP protobuf `TracesData`.

    Returns:
        Its parts, for `put_together`.

    Raises:
        MalformedPayloadError: The bytes are no such message.
    """
    traces = parse(value)
    resources = []
    for resource_spans in traces.resource_spans:
        scopes = []
        for scope_spans in resource_spans.scope_spans:
            spans = tuple(scope_spans.spans)
            del scope_spans.spans[:]
            scopes.append(ScopeParts(scope_spans, spans))
        del resource_spans.scope_spans[:]
        resources.append(ResourceParts(resource_spans, tuple(scopes)))
    del traces.resource_spans[:]
    return RecordParts(traces, tuple(resources))


def put_together(
    records: Iterable[RecordParts], trace_id: bytes, seen: set[Identity] | None = None
) -> tuple[bytes, int]:
    """Write the spans of one trace as one record.

    A span that has the id, kind and start of one before it is a duplicate and left out; the same
    id with another kind is a span that two sides of a call share, and stays.

    Args:
        records: The parts of the trace's records, in the order in which they came. They are
            copied from, not changed.
        trace_id: 16 bytes.
        seen: Spans of the trace that were written before, which are duplicates here; those
            written now are added. None: none were.

    Returns:
        The OTLP protobuf `TracesData` and its number of spans. Resources, scopes, schema URLs and
        unknown fields are kept, those that are left without a span are not; spans keep their
        order. Equal arguments give equal bytes.
    """
    traces = new_traces()
    seen = set() if seen is None else seen
    earlier = len(seen)
    for record in records:
        before = len(seen)
        for resource in record.resources:
            _add_resource(traces, resource, trace_id, seen)
        if len(seen) > before:
            traces.MergeFrom(record.shell)
    return traces.SerializeToString(deterministic=True), len(seen) - earlier


def split(value: bytes, trace_id: bytes, most_bytes: int) -> list[tuple[bytes, int]]:
    """Cut a trace's record between its spans, so that no part is too large.

    Args:
        value: An OTLP protobuf `TracesData` with spans of one trace, each once.
        trace_id: 16 bytes.
        most_bytes: The largest part; a single span may be larger.

    Returns:
        Each part and its number of spans, in their order; each has the resources, scopes and
        schema URLs of its spans, and what the record has beside them is in the first.

    Raises:
        MalformedPayloadError: The bytes are no such message.
    """
    return list(_split(take_apart(value), trace_id, most_bytes))


def _split(record: RecordParts, trace_id: bytes, most_bytes: int) -> Iterator[tuple[bytes, int]]:
    value, spans = put_together([record], trace_id)
    if len(value) <= most_bytes or spans < 2:
        yield value, spans
        return
    half = spans // 2
    yield from _split(_some(record, 0, half, record.shell), trace_id, most_bytes)
    yield from _split(_some(record, half, spans, new_traces()), trace_id, most_bytes)


def _some(record: RecordParts, start: int, stop: int, shell: TracesData) -> RecordParts:
    """A record with some of its spans alone, by their places in it."""
    resources, place = [], 0
    for resource in record.resources:
        scopes = []
        for scope in resource.scopes:
            first, behind = max(start - place, 0), max(stop - place, 0)
            scopes.append(replace(scope, spans=scope.spans[first:behind]))
            place += len(scope.spans)
        resources.append(replace(resource, scopes=tuple(scopes)))
    return RecordParts(shell, tuple(resources))


def _add_resource(
    traces: TracesData,
    resource: ResourceParts,
    trace_id: bytes,
    seen: set[Identity],
) -> None:
    target: ResourceSpans | None = None
    for scope in resource.scopes:
        spans = _first_of_each(scope.spans, trace_id, seen)
        if not spans:
            continue
        if target is None:
            target = traces.resource_spans.add()
            target.CopyFrom(resource.shell)
        scope_spans = target.scope_spans.add()
        scope_spans.CopyFrom(scope.shell)
        scope_spans.spans.extend(spans)


def _first_of_each(
    spans: Iterable[Span],
    trace_id: bytes,
    seen: set[Identity],
) -> list[Span]:
    """Find the trace's spans that are not yet in `seen`, and add them to it."""
    first = []
    for span in spans:
        if span.trace_id != trace_id:
            continue
        identity = (span.span_id, span.kind, span.start_time_unix_nano)
        if identity not in seen:
            seen.add(identity)
            first.append(span)
    return first
