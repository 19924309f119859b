"""The OTLP trace schema as a table that a kernel can walk.

A *context* is a message type at a place that matters: a `KeyValue` under a span is another
context than one under an event, as only the first may hold an attribute that a policy reads.
The table is made from the descriptors of ``opentelemetry-proto``, so a field that a newer schema
adds is checked like the rest.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

Grammar = npt.NDArray[np.int16]

# What a field holds; a value of MESSAGE or more is MESSAGE + the context of the submessage.
UNKNOWN: Final = 0
VARINT: Final = 1
FIXED64: Final = 2
FIXED32: Final = 3
BYTES: Final = 4
MESSAGE: Final = 16

# The contexts in which the scan does more than check. The others are numbered behind them.
TRACES: Final = 0
RESOURCE_SPANS: Final = 1
RESOURCE: Final = 2
SCOPE_SPANS: Final = 3
SCOPE: Final = 4
SPAN: Final = 5
LINK: Final = 6
STATUS: Final = 7
EVENT: Final = 8
SPAN_ATTRIBUTE: Final = 9
RESOURCE_ATTRIBUTE: Final = 10
SCOPE_ATTRIBUTE: Final = 11
EVENT_ATTRIBUTE: Final = 12
SPAN_VALUE: Final = 13
RESOURCE_VALUE: Final = 14
SCOPE_VALUE: Final = 15
EVENT_VALUE: Final = 16
# All attributes, and all of their values, whosoever they are; and the first of the others.
ATTRIBUTES: Final = SPAN_ATTRIBUTE
VALUES: Final = SPAN_VALUE
PLAIN: Final = 17

# (context of the parent, field number) of each place that has a context of its own.
_PLACES: Final = {
    (TRACES, 1): RESOURCE_SPANS,
    (RESOURCE_SPANS, 1): RESOURCE,
    (RESOURCE_SPANS, 2): SCOPE_SPANS,
    (RESOURCE, 1): RESOURCE_ATTRIBUTE,
    (RESOURCE_ATTRIBUTE, 2): RESOURCE_VALUE,
    (SCOPE_SPANS, 1): SCOPE,
    (SCOPE_SPANS, 2): SPAN,
    (SCOPE, 3): SCOPE_ATTRIBUTE,
    (SCOPE_ATTRIBUTE, 2): SCOPE_VALUE,
    (SPAN, 9): SPAN_ATTRIBUTE,
    (SPAN, 11): EVENT,
    (SPAN, 13): LINK,
    (SPAN, 15): STATUS,
    (SPAN_ATTRIBUTE, 2): SPAN_VALUE,
    (EVENT, 3): EVENT_ATTRIBUTE,
    (EVENT_ATTRIBUTE, 2): EVENT_VALUE,
}

_WIRE: Final = {
    FieldDescriptor.TYPE_BOOL: VARINT,
    FieldDescriptor.TYPE_BYTES: BYTES,
    FieldDescriptor.TYPE_DOUBLE: FIXED64,
    FieldDescriptor.TYPE_ENUM: VARINT,
    FieldDescriptor.TYPE_FIXED32: FIXED32,
    FieldDescriptor.TYPE_FIXED64: FIXED64,
    FieldDescriptor.TYPE_INT32: VARINT,
    FieldDescriptor.TYPE_INT64: VARINT,
    FieldDescriptor.TYPE_STRING: BYTES,
    FieldDescriptor.TYPE_UINT32: VARINT,
}


def _contexts(passed_over: frozenset[int]) -> list[tuple[Descriptor, dict[int, int]]]:
    """Number every context: its descriptor and, per submessage field, the child's context."""
    contexts: dict[int, Descriptor] = {TRACES: TracesData.DESCRIPTOR}
    for (parent, number), child in sorted(_PLACES.items(), key=lambda place: place[1]):
        message = contexts[parent].fields_by_number[number].message_type
        assert message is not None
        contexts[child] = message
    children: list[dict[int, int]] = []
    plain: dict[str, int] = {}
    at = 0
    while at < len(contexts):
        links: dict[int, int] = {}
        for field in contexts[at].fields:
            if field.message_type is None:
                continue
            child = _PLACES.get((at, field.number), -1)
            if child < 0 or child in passed_over:
                child = plain.setdefault(field.message_type.full_name, len(contexts))
                contexts.setdefault(child, field.message_type)
            links[field.number] = child
        children.append(links)
        at += 1
    return [(contexts[number], children[number]) for number in range(len(contexts))]


def trace_grammar(*, scopes: bool, events: bool) -> Grammar:
    """Make the table of the installed schema.

    Args:
        scopes: Whether instrumentation scopes are wanted; if not, they are only checked.
        events: Whether the spans' events are wanted, likewise.

    Returns:
        ``int16[contexts, fields]``: what field f holds in context c, by the constants above.
        A field number beyond the table is unknown.

    Raises:
        KeyError: The schema uses a field type that the scan has no wire type for.
    """
    wanted = {SCOPE: scopes, EVENT: events}
    contexts = _contexts(frozenset(place for place, want in wanted.items() if not want))
    highest = max(field.number for descriptor, _ in contexts for field in descriptor.fields)
    table = np.zeros((len(contexts), highest + 1), np.int16)
    for context, (descriptor, links) in enumerate(contexts):
        for field in descriptor.fields:
            child = links.get(field.number)
            table[context, field.number] = _WIRE[field.type] if child is None else MESSAGE + child
    return table
