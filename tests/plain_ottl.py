"""OTTL conditions evaluated one span after the other over OTLP messages, written for clarity.

The compiled form is held to this. Strings are bytes; a bool is no number here.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any as AnyType

import numpy as np
import re2

from streamsampler.policies.ottl import ParsedCondition, SpanView
from streamsampler.policies.ottl.tree import (
    All,
    Any,
    Arithmetic,
    Call,
    Comparison,
    Literal,
    Minus,
    Not,
    Read,
    Test,
    Truth,
    Type,
    Value,
)
from streamsampler.spans.messages import AnyValue, KeyValue, Span
from streamsampler.spans.payload import spans_of
from streamsampler.spans.scan import Scan, Scanner


class Failure(Exception):  # noqa: N818 - it is an answer
    """The condition cannot be evaluated for this span."""


@dataclass(frozen=True)
class Time:
    ns: int


@dataclass(frozen=True)
class Duration:
    ns: int


@dataclass(frozen=True)
class Id:
    octets: bytes


class Opaque:
    """An array, a map or bytes."""


Context = Mapping[str, AnyType]
"""The messages span, resource, scope and perhaps spanevent."""


def view_of(records: Iterable[bytes], keys: tuple[bytes, ...]) -> tuple[SpanView, Scan]:
    """The columns of OTLP records."""
    values = list(records)
    buffer = np.frombuffer(b"".join(values) or b"\0", np.uint8)
    bounds = np.cumsum([0, *map(len, values)], dtype=np.int64)
    scan = Scanner(keys, scopes=True, events=True).scan(buffer, bounds)
    assert not scan.records["fault"].any()
    view = SpanView(
        buffer=buffer,
        spans=scan.spans,
        keys=keys,
        attributes=scan.attributes,
        resources=scan.resources,
        scopes=scan.scopes,
        scope_attributes=scan.scope_attributes,
        events=scan.events,
        event_attributes=scan.event_attributes,
    )
    return view, scan


def answers_of(parsed: ParsedCondition, records: Iterable[bytes]) -> list[int]:
    """0 false, 1 true, 2 failed; of each span, or of each event."""
    contexts: list[dict[str, AnyType]] = [
        {"span": span, "resource": resource, "scope": scope}
        for record in records
        for resource, scope, span in spans_of(record)
    ]
    if parsed.events:
        contexts = [{**c, "spanevent": e} for c in contexts for e in c["span"].events]
    return [answer(parsed.test, context) for context in contexts]


def answer(test: Test, context: Context) -> int:
    try:
        return int(holds(test, context))
    except Failure:
        return 2


def holds(test: Test, context: Context) -> bool:
    match test:
        case All():
            return all(holds(part, context) for part in test.parts)
        case Any():
            return any(holds(part, context) for part in test.parts)
        case Not():
            return not holds(test.part, context)
        case Truth():
            return value_of(test.value, context) is True
        case Comparison():
            left, right = value_of(test.left, context), value_of(test.right, context)
            return compares(test.sign, left, right)


def compares(sign: str, left: AnyType, right: AnyType) -> bool:
    if is_number(left) and is_number(right):
        if type(left) is not type(right):
            left, right = float(left), float(right)
    elif type(left) is not type(right):
        return sign == "!="
    elif isinstance(left, Opaque):
        raise Failure
    elif isinstance(left, Id) and sign not in {"==", "!="}:
        return False
    if left is None:
        return sign in {"==", "<=", ">="}
    if isinstance(left, Time | Duration):
        left, right = left.ns, right.ns
    comparisons: Mapping[str, Callable[[], bool]] = {
        "==": lambda: left == right,
        "!=": lambda: left != right,
        "<": lambda: left < right,
        "<=": lambda: left <= right,
        ">": lambda: left > right,
        ">=": lambda: left >= right,
    }
    return comparisons[sign]()


def is_number(value: AnyType) -> bool:
    return type(value) in {int, float}


def value_of(value: Value, context: Context) -> AnyType:
    match value:
        case Literal(kind, literal):
            return literal_of(kind, literal)
        case Read():
            return read(value, context)
        case Minus():
            number = value_of(value.value, context)
            if not is_number(number):
                raise Failure
            return wrapped(-number) if isinstance(number, int) else -number
        case Arithmetic():
            left, right = value_of(value.left, context), value_of(value.right, context)
            if isinstance(left, Time | Duration):
                return moved(value, left, right)
            return computed(value.sign, left, right)
        case Call():
            arguments = [value_of(argument, context) for argument in value.values]
            return called(value.name, arguments, value.settings)


def literal_of(kind: Type, value: AnyType) -> AnyType:
    if kind is Type.BOOL:
        return bool(value)
    if kind is Type.SPAN_ID:
        return Id(value.to_bytes(8, "big", signed=True))
    return Id(bytes.fromhex(value.decode())) if kind is Type.TRACE_ID else value


def wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


def computed(sign: str, left: AnyType, right: AnyType) -> AnyType:
    if not is_number(left) or not is_number(right) or (sign == "/" and right == 0):
        raise Failure
    if isinstance(left, float) or isinstance(right, float):
        with np.errstate(all="ignore"):
            a, b = np.float64(left), np.float64(right)
            return float({"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b)
    if sign == "/":
        quotient = abs(left) // abs(right)
        return wrapped(quotient if (left < 0) == (right < 0) else -quotient)
    return wrapped({"+": left + right, "-": left - right, "*": left * right}[sign])


def moved(value: Arithmetic, left: Time | Duration, right: Time | Duration) -> Time | Duration:
    ns = left.ns + right.ns if value.sign == "+" else left.ns - right.ns
    if isinstance(left, Time) and isinstance(right, Time):
        return Duration(min(max(ns, -(2**63)), 2**63 - 1))
    return (Time if value.type is Type.TIME else Duration)(wrapped(ns))


def read(path: Read, context: Context) -> AnyType:
    owner, _, rest = path.path.partition(".")
    message = context[owner]
    if rest == "attributes":
        return attribute(message.attributes, path.key)
    if owner != "span":
        return getattr(message, rest)
    if path.key:
        return member(message.trace_state, path.key)
    return of_span(rest, message)


def attribute(attributes: Iterable[KeyValue], key: bytes) -> AnyType:
    for one in attributes:
        if one.key == key:
            return of_any_value(one.value)
    return None


def of_any_value(value: AnyValue) -> AnyType:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind in {"string_value", "bool_value", "int_value", "double_value"}:
        return getattr(value, kind)
    return Opaque()


def member(state: bytes, key: bytes) -> bytes | None:
    """Only what the tests write: well-formed lists, and ones that have no = in some member."""
    members = [one.partition(b"=") for one in state.split(b",") if one]
    if any(not equals for _, equals, _ in members):
        return None
    return {name: value for name, _, value in members}.get(key, b"")


def of_span(name: str, span: Span) -> AnyType:  # noqa: C901, PLR0911 - one for each path
    kinds = [b"Unspecified", b"Internal", b"Server", b"Client", b"Producer", b"Consumer"]
    parent = span.parent_span_id or bytes(8)
    match name:
        case "name" | "kind" | "trace_state":
            return getattr(span, name)
        case "kind.string":
            return kinds[span.kind] if 0 <= span.kind < len(kinds) else b""
        case "status.code":
            return span.status.code
        case "status.message":
            return span.status.message
        case "start_time_unix_nano" | "end_time_unix_nano":
            return wrapped(getattr(span, name))
        case "start_time" | "end_time":
            return Time(wrapped(getattr(span, f"{name}_unix_nano")))
        case "trace_id" | "span_id":
            return Id(getattr(span, name))
        case "trace_id.string" | "span_id.string":
            return getattr(span, name.removesuffix(".string")).hex().encode()
        case "parent_span_id":
            return Id(parent)
        case "parent_span_id.string":
            return parent.hex().encode()
        case "is_root":
            return not any(parent)
    assert name == "events"
    return len(span.events)


def string(value: AnyType) -> bytes:
    if not isinstance(value, bytes):
        raise Failure
    return value


def text(value: AnyType) -> bytes | None:
    if isinstance(value, Opaque):
        raise Failure
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, float):
        named = {"nan": b"NaN", "inf": b"+Inf", "-inf": b"-Inf"}
        shown = str(value)
        return named.get(shown) or f"{Decimal(shown):f}".removesuffix(".0").encode()
    return str(value).encode() if isinstance(value, int) else value


def called(name: str, values: list[AnyType], settings: tuple[AnyType, ...]) -> AnyType:
    if name == "Concat":
        texts = [b"<nil>" if part is None else part for part in map(text, values)]
        return settings[0].join(texts)
    return CALLED[name](*values, *settings)


def is_match(value: AnyType, pattern: bytes) -> bool:
    subject = text(value)
    if subject is None:
        return False
    return bool(re2.search(pattern, subject.decode(errors="replace").encode()))


def to_int(value: AnyType) -> int | None:
    if isinstance(value, Opaque):
        raise Failure
    if isinstance(value, bytes):
        if not re.fullmatch(rb"[+-]?[0-9]+", value):
            return None
        return int(value) if -(2**63) <= int(value) < 2**63 else None
    if isinstance(value, float):
        return int(value) if -(2.0**63) <= value < 2.0**63 else -(2**63)
    return None if value is None else int(value)


def to_double(value: AnyType) -> float | None:
    if isinstance(value, Opaque):
        raise Failure
    try:
        return None if value is None else float(value)
    except ValueError:
        raise Failure from None


def part(value: AnyType, delimiter: bytes, place: int) -> bytes:
    parts = string(value).split(delimiter)
    if place >= len(parts):
        raise Failure
    return parts[place]


def piece(value: AnyType, start: int, length: int) -> bytes:
    found = string(value)[start : start + length]
    if len(found) != length:
        raise Failure
    return found


def duration(value: AnyType) -> Duration:
    """Only what the tests write: a whole number and one unit."""
    found = re.fullmatch(rb"([0-9]+)(ms|s)", string(value))
    if not found:
        raise Failure
    return Duration(int(found[1]) * (10**6 if found[2] == b"ms" else 10**9))


def in_case(value: AnyType, case: bytes) -> bytes:
    """Only of letters that are one letter in the other case too."""
    letters = string(value).decode(errors="replace")
    return (letters.lower() if case == b"lower" else letters.upper()).encode()


def seconds(value: Duration) -> float:
    sign = -1 if value.ns < 0 else 1
    whole, rest = divmod(abs(value.ns), 10**9)
    return float(sign * whole) + float(sign * rest) / 1e9


CALLED: Mapping[str, AnyType] = {
    "IsMatch": is_match,
    "HasPrefix": lambda value, prefix: string(value).startswith(prefix),
    "HasSuffix": lambda value, suffix: string(value).endswith(suffix),
    "IsString": lambda value: isinstance(value, bytes),
    "IsBool": lambda value: isinstance(value, bool),
    "IsInt": lambda value: type(value) is int,
    "IsDouble": lambda value: isinstance(value, float),
    "Len": lambda value: len(string(value)),
    "Len Split": lambda value, delimiter: len(string(value).split(delimiter)),
    "Int": to_int,
    "Double": to_double,
    "String": text,
    "Substring": piece,
    "ToLowerCase": lambda value: in_case(value, b"lower"),
    "ToUpperCase": lambda value: in_case(value, b"upper"),
    "ConvertCase": in_case,
    "Split": part,
    "Duration": duration,
    "Nanoseconds": lambda value: value.ns,
    "Milliseconds": lambda value: int(Decimal(value.ns) / 10**6),
    "Seconds": seconds,
    "UnixNano": lambda value: value.ns,
}
