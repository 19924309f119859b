"""OTLP JSON to OTLP protobuf, led by the field descriptors of ``opentelemetry-proto``.

Protobuf's own JSON reader would take ids for base64, has no place for bytes that are no UTF-8, and
needs five times as long.

Source: OpenTelemetry protocol specification, JSON Protobuf Encoding: hexadecimal ids, enums as
numbers, unknown fields ignored, names in lowerCamelCase; the rest is protobuf's JSON mapping. Enums
by name are taken too, as some libraries write them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.spans.json_values import (
    ReadText,
    WrongValueError,
    read_base64,
    read_bool,
    read_double,
    read_enum,
    read_id,
    read_integer,
    read_raw_text,
    read_text,
)
from streamsampler.spans.malformed import MalformedRecord
from streamsampler.spans.payload import new_traces

_DEEPEST: Final = 100  # messages in messages, as protobuf's readers have it
_NO_SPACE: Final = re.compile(r"[^ \t\r\n]")
_DECODER: Final = json.JSONDecoder()
_ID_SIZES: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}


@dataclass(frozen=True, slots=True)
class _Field:
    """How a JSON member is read.

    Attributes:
        name: The field in the message.
        repeated: Whether the JSON value is a list.
        message: The submessage's type; empty for a single value.
        read: Turns a single JSON value into the field's; None for a submessage.
    """

    name: str
    repeated: bool
    message: str
    read: Callable[[object], object] | None


_Plan = Mapping[str, Mapping[str, _Field]]  # per message type, per JSON name


def otlp_json_to_proto(value: bytes) -> bytes:
    """Translate a record's value.

    Args:
        value: One OTLP JSON request, or several, as a rule one a line. In strings, bytes that are
            no UTF-8 come out as they went in, half a surrogate pair as U+FFFD.

    Returns:
        The OTLP protobuf `TracesData` of all of them together.

    Raises:
        MalformedRecord: It is no JSON, or JSON that is no OTLP traces.
    """
    text, plan = _decode(value)
    traces = new_traces()
    for start, document in _documents(text):
        try:
            _check_is_request(document)
            _fill(traces, document, plan, TracesData.DESCRIPTOR.full_name, 0)
        except WrongValueError as wrong:
            line = text.count("\n", 0, start) + 1
            raise MalformedRecord(
                wrong.reason,
                f"Line {line}{wrong.place and ', '}{wrong.place.lstrip('.')}: {wrong.sentence}",
            ) from wrong
    return traces.SerializeToString(deterministic=True)


def _decode(value: bytes) -> tuple[str, _Plan]:
    try:
        return value.decode("utf-8-sig"), _CLEAN
    except UnicodeDecodeError:
        return value.decode("utf-8-sig", "surrogateescape"), _RAW


def _documents(text: str) -> Iterator[tuple[int, Any]]:
    """Read one JSON document after the other, with the place of each in the text."""
    following = _NO_SPACE.search(text)
    if following is None:
        raise MalformedRecord("bad_json", "The value is empty; OTLP JSON is expected.")
    while following is not None:
        start = following.start()
        try:
            document, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            place = f"Line {error.lineno}, column {error.colno}"
            raise MalformedRecord("bad_json", f"{place}: no JSON: {error.msg}.") from error
        except (RecursionError, ValueError) as error:
            line = text.count("\n", 0, start) + 1
            what = "nesting" if isinstance(error, RecursionError) else "a number"
            raise MalformedRecord("bad_json", f"Line {line}: {what} beyond all use.") from error
        yield start, document
        following = _NO_SPACE.search(text, end)


def _check_is_request(document: object) -> None:
    if isinstance(document, dict) and document and "resourceSpans" not in document:
        names = ", ".join(ascii(name)[:40] for name in list(document)[:3])
        raise WrongValueError(f"no resourceSpans in here, but {names}.", "not_traces")


def _fill(message: Any, value: object, plan: _Plan, kind: str, depth: int) -> None:
    """Copy a JSON object into a message of that kind; null and unknown members are passed over."""
    if not isinstance(value, dict):
        raise WrongValueError.expected("an object", value)
    if depth > _DEEPEST:
        raise WrongValueError(f"more than {_DEEPEST} messages in each other.")
    fields = plan[kind]
    for name, member in value.items():
        field = fields.get(name)
        if field is None or member is None:
            continue
        try:
            if field.repeated:
                _fill_list(getattr(message, field.name), member, plan, field, depth)
            elif field.read is None:
                submessage = getattr(message, field.name)
                submessage.SetInParent()
                _fill(submessage, member, plan, field.message, depth + 1)
            else:
                setattr(message, field.name, field.read(member))
        except WrongValueError as wrong:
            wrong.place = f".{name}{wrong.place}"
            raise


def _fill_list(items: Any, value: object, plan: _Plan, field: _Field, depth: int) -> None:
    if not isinstance(value, list):
        raise WrongValueError.expected("a list", value)
    for at, item in enumerate(value):
        try:
            if field.read is None:
                _fill(items.add(), item, plan, field.message, depth + 1)
            else:
                items.append(field.read(item))
        except WrongValueError as wrong:
            wrong.place = f"[{at}]{wrong.place}"
            raise


_NUMBERS: Final[Mapping[int, Callable[[object], object]]] = {
    FieldDescriptor.TYPE_BOOL: read_bool,
    FieldDescriptor.TYPE_DOUBLE: read_double,
    FieldDescriptor.TYPE_INT32: read_integer(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: read_integer(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: read_integer(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: read_integer(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED64: read_integer(0, 2**64 - 1),
}


def _reader(field: FieldDescriptor, text: ReadText) -> Callable[[object], object]:
    """Choose how a single value of a field is read."""
    if field.enum_type is not None:
        return read_enum({value.name: value.number for value in field.enum_type.values})
    if field.type == FieldDescriptor.TYPE_STRING:
        return text
    if field.type == FieldDescriptor.TYPE_BYTES:
        return read_id(_ID_SIZES[field.name]) if field.name in _ID_SIZES else read_base64
    return _NUMBERS[field.type]


def _plan(root: Descriptor, text: ReadText) -> _Plan:
    """Plan the reading of a message and of all that it may hold."""
    plan: dict[str, dict[str, _Field]] = {}
    waiting = [root]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in plan:
            continue
        fields = plan[descriptor.full_name] = {}
        for field in descriptor.fields:
            message = field.message_type
            if message is not None:
                waiting.append(message)
            fields[field.json_name] = _Field(
                name=field.name,
                repeated=field.is_repeated,
                message="" if message is None else message.full_name,
                read=_reader(field, text) if message is None else None,
            )
    return plan


_CLEAN: Final = _plan(TracesData.DESCRIPTOR, read_text)
_RAW: Final = _plan(TracesData.DESCRIPTOR, read_raw_text)
