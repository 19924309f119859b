"""A kept trace as a line of OTLP JSON, the way the Collector's file exporter writes one.

Source: OTLP specification 1.x, "JSON Protobuf Encoding": lowerCamelCase names, trace and span ids
in hex, other bytes in base64, enums as numbers, 64-bit integers as strings. Numbers that JSON does
not have are strings, as Protocol Buffers' JSON mapping writes them.
"""

import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.spans.payload import parse

_IDS: Final = {"trace_id", "span_id", "parent_span_id"}
_LARGE: Final = {
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_SFIXED64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_UINT64,
}

Write = Callable[[Any], object]


def trace_line(values: Iterable[bytes]) -> str:
    """Write one kept trace.

    Args:
        values: The values of its records, each an OTLP protobuf `TracesData`.

    Returns:
        One JSON object without a line break. What JSON cannot hold is lost: fields that the schema
        does not know, and bytes that are no UTF-8 in a string, which become U+FFFD.

    Raises:
        MalformedPayloadError: A value is no such message.
    """
    message = parse(b"".join(values))  # messages of one type concatenate
    tree = _plain(message, TracesData.DESCRIPTOR)
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _plain(message: Any, descriptor: Descriptor) -> dict[str, object]:
    """Turn a message into plain data; its own schema has strings as bytes, `descriptor` knows."""
    fields = _fields(descriptor)
    plain: dict[str, object] = {}
    for field, value in message.ListFields():
        name, repeated, write = fields[field.number]
        plain[name] = [write(item) for item in value] if repeated else write(value)
    return plain


@cache
def _fields(descriptor: Descriptor) -> dict[int, tuple[str, bool, Write]]:
    return {
        field.number: (str(field.json_name), bool(field.is_repeated), _write(field))
        for field in descriptor.fields
    }


def _write(field: FieldDescriptor) -> Write:
    nested = field.message_type
    if nested is not None:
        return lambda value: _plain(value, nested)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _IDS else lambda value: b64encode(value).decode()
    if field.type == FieldDescriptor.TYPE_STRING:
        return lambda value: value.decode(errors="replace")
    if field.type in _LARGE:
        return str
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return _double
    return lambda value: value


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
