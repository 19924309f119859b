"""The model's spans as OTLP JSON text, as the Collector's file exporter writes it.

Source: OTLP specification 1.x, "JSON Protobuf Encoding": ids in hex, enums as numbers, 64-bit
integers as strings.
"""

from collections.abc import Iterable
from functools import lru_cache

from streamsampler.traffic.model import Attribute, Batch, Event, Link, Resource, Scope, Span
from streamsampler.traffic.model import json_text as quoted


def _attributes(attributes: tuple[Attribute, ...]) -> str:
    texts = ",".join([attribute.json for attribute in attributes])
    return f'"attributes":[{texts}]'


@lru_cache(maxsize=4096)
def _resource(resource: Resource) -> str:
    return f'"resource":{{{_attributes(resource.attributes)}}}'


@lru_cache(maxsize=4096)
def _scope(scope: Scope) -> str:
    return f'"scope":{{"name":{quoted(scope.name)},"version":{quoted(scope.version)}}}'


@lru_cache(maxsize=4096)
def _name_and_kind(name: str, kind: int) -> str:
    return f'"name":{quoted(name)},"kind":{kind}'


@lru_cache(maxsize=4096)
def _status(code: int, message: str) -> str:
    members = ([f'"message":{quoted(message)}'] if message else []) + (
        [f'"code":{code}'] if code else []
    )
    return f'"status":{{{",".join(members)}}}'


def _event(event: Event) -> str:
    members = (
        f'"timeUnixNano":"{event.time_ns}"',
        f'"name":{quoted(event.name)}',
        _attributes(event.attributes),
    )
    return f"{{{','.join(members)}}}"


def _link(link: Link) -> str:
    ids = f'"traceId":"{link.trace_id.hex()}","spanId":"{link.span_id.hex()}"'
    return f'{{{ids},"flags":{link.flags}}}'


def span_json(span: Span) -> str:
    """Writes one span.

    Args:
        span: the span.

    Returns:
        A JSON object.
    """
    members = [f'"traceId":"{span.trace_id.hex()}","spanId":"{span.span_id.hex()}"']
    if span.trace_state:
        members.append(f'"traceState":{quoted(span.trace_state)}')
    if span.parent_id:
        members.append(f'"parentSpanId":"{span.parent_id.hex()}"')
    members += (
        f'"flags":{span.flags}',
        _name_and_kind(span.name, span.kind),
        f'"startTimeUnixNano":"{span.start_ns}","endTimeUnixNano":"{span.end_ns}"',
        _attributes(span.attributes),
    )
    if span.events:
        members.append(f'"events":[{",".join(map(_event, span.events))}]')
    if span.links:
        members.append(f'"links":[{",".join(map(_link, span.links))}]')
    members.append(_status(span.status, span.message))
    return f"{{{','.join(members)}}}"


def traces_json(batches: Iterable[Batch]) -> str:
    """Writes batches as one OTLP request.

    Args:
        batches: spans by resource and scope.

    Returns:
        A JSON object on one line, without the line's end.
    """
    return f'{{"resourceSpans":[{",".join(map(_resource_spans, batches))}]}}'


def _resource_spans(batch: Batch) -> str:
    members = [_scope(batch.scope), f'"spans":[{",".join(map(span_json, batch.spans))}]']
    if batch.scope.schema_url:
        members.append(f'"schemaUrl":{quoted(batch.scope.schema_url)}')
    return f'{{{_resource(batch.resource)},"scopeSpans":[{{{",".join(members)}}}]}}'
