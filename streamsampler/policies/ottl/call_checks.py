"""Function calls judged: which function, how many arguments, and of which types."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamsampler.policies.ottl.errors import ConditionError
from streamsampler.policies.ottl.functions import (
    FUNCTIONS,
    SPECIAL,
    SPLIT_COUNT,
    STRING_LIKE,
    TEXT,
    Parameter,
)
from streamsampler.policies.ottl.go_values import parse_duration
from streamsampler.policies.ottl.path_checks import Field, Path, check_path, is_events, is_map
from streamsampler.policies.ottl.tree import Call, Literal, Read, Type, Value
from streamsampler.policies.predicates import check_pattern
from streamsampler.policies.sentences import did_you_mean, listed, shorten

_IDS: Final = {"SpanID": (8, Type.SPAN_ID), "TraceID": (16, Type.TRACE_ID)}
_CASES: Final = (b"lower", b"upper")


@dataclass(frozen=True, slots=True)
class Argument:
    """What stands in one place of a call; exactly one besides the column.

    Attributes:
        column: Where it begins.
        value: A value.
        path: A path, not judged yet.
        parts: The values of a list.
        digits: The hexadecimal digits of bytes.
    """

    column: int
    value: Value | None = None
    path: Path | None = None
    parts: tuple[Value, ...] | None = None
    digits: str | None = None


def check_call(function: Field, arguments: Sequence[Argument], *, events: bool) -> Value:
    """Judge a call.

    Args:
        function: Its name, and what stands in brackets behind it.
        arguments: What it is called with.
        events: Whether the condition is asked of events.

    Returns:
        What it gives.

    Raises:
        ConditionError: There is no such function, or it does not take these arguments.
    """
    name = function.name
    if name not in FUNCTIONS and name not in SPECIAL:
        known = sorted((FUNCTIONS.keys() - {SPLIT_COUNT}) | SPECIAL)
        question = did_you_mean(name, known) or f"known here: {listed(known)}"
        sentence = f"{shorten(name)} is unknown or not supported; {question}"
        raise ConditionError(function.column, sentence)
    if function.keys and name != "Split":
        raise ConditionError(function.keys[0][1], f"{name} gives no list to take a part of")
    if name == "IsRootSpan":
        return _is_root(function, arguments, events=events)
    if name == "IsMap":
        return _is_map(function, arguments, events=events)
    if name in _IDS:
        return _id(function, arguments)
    if name == "Concat":
        return _concat(function, arguments, events=events)
    if name == "Len" and len(arguments) == 1 and (counted := _counted(arguments[0], events=events)):
        return counted
    return _plain(function, arguments, events=events)


def _counted(argument: Argument, *, events: bool) -> Value | None:
    """What Len counts that is no string; None where it is one."""
    if argument.path is not None and is_events(argument.path, events=events):
        return Read(Type.INT, "span.events")
    value = argument.value
    if isinstance(value, Call) and value.type is Type.LIST:
        return Call(Type.INT, SPLIT_COUNT, value.values, value.settings)
    return None


def _count(function: Field, arguments: Sequence[Argument], wanted: int) -> None:
    if len(arguments) != wanted:
        takes = f"{wanted} argument{'' if wanted == 1 else 's'}"
        sentence = f"{function.name} takes {takes}, not {len(arguments)}"
        raise ConditionError(function.column, sentence)


def _is_root(function: Field, arguments: Sequence[Argument], *, events: bool) -> Value:
    _count(function, arguments, 0)
    if events:
        sentence = "an event is no span; write span.parent_span_id == SpanID(0x0000000000000000)"
        raise ConditionError(function.column, sentence)
    return Read(Type.BOOL, "span.is_root")


def _is_map(function: Field, arguments: Sequence[Argument], *, events: bool) -> Value:
    _count(function, arguments, 1)
    path = arguments[0].path
    if path is None or not is_map(path, events=events):
        sentence = "IsMap is supported of attributes as a whole, and they are always one"
        raise ConditionError(arguments[0].column, sentence)
    return Literal(Type.BOOL, 1)


def _id(function: Field, arguments: Sequence[Argument]) -> Value:
    _count(function, arguments, 1)
    size, kind = _IDS[function.name]
    digits = arguments[0].digits
    if digits is None or len(digits) != 2 * size:
        sentence = f"{function.name} takes 0x and {2 * size} hexadecimal digits"
        raise ConditionError(arguments[0].column, sentence)
    if kind is Type.TRACE_ID:
        return Literal(kind, digits.lower().encode())
    return Literal(kind, int.from_bytes(bytes.fromhex(digits), "big", signed=True))


def _concat(function: Field, arguments: Sequence[Argument], *, events: bool) -> Value:
    _count(function, arguments, 2)
    written, delimiter = arguments
    if written.parts is None:
        raise ConditionError(written.column, "Concat takes a list first, as in [name, kind.string]")
    values = tuple(
        _computed(function, STRING_LIKE, Argument(written.column, value=part), events=events)
        for part in written.parts
    )
    return Call(Type.STRING, "Concat", values, (_setting(function, TEXT, delimiter),))


def _plain(function: Field, arguments: Sequence[Argument], *, events: bool) -> Value:
    name = function.name
    described = FUNCTIONS[name]
    _count(function, arguments, len(described.parameters))
    values: list[Value] = []
    settings: list[bytes | int] = []
    for parameter, argument in zip(described.parameters, arguments, strict=True):
        if parameter.literal is None:
            values.append(_computed(function, parameter, argument, events=events))
        else:
            settings.append(_setting(function, parameter, argument))
            if sentence := _objection(name, settings):
                raise ConditionError(argument.column, sentence)
    if name == "Duration" and isinstance(values[0], Literal):
        _check_duration(values[0], arguments[0].column)
    if name == "Split":
        return _split(function, values[0], settings)
    return Call(described.type, name, tuple(values), tuple(settings))


def _split(function: Field, value: Value, settings: list[bytes | int]) -> Value:
    if not function.keys:
        return Call(Type.LIST, "Split", (value,), tuple(settings))
    (place, column), *more = function.keys
    if isinstance(place, bytes) or more:
        column = more[0][1] if more else column
        raise ConditionError(column, "a part of Split is taken by one number from 0")
    return Call(Type.STRING, "Split", (value,), (*settings, place))


def _computed(function: Field, parameter: Parameter, argument: Argument, *, events: bool) -> Value:
    value = argument.value
    if argument.path is not None:
        value = check_path(argument.path, events=events)
    if value is None or value.type not in parameter.types:
        raise ConditionError(argument.column, f"{function.name} takes {parameter.what} here")
    return value


def _setting(function: Field, parameter: Parameter, argument: Argument) -> bytes | int:
    value = argument.value
    if not isinstance(value, Literal) or value.type is not parameter.literal:
        raise ConditionError(argument.column, f"{function.name} takes {parameter.what} here")
    assert isinstance(value.value, bytes | int)
    return value.value


def _objection(name: str, settings: list[bytes | int]) -> str | None:
    """What is wrong with the last of a function's settings."""
    last = settings[-1]
    if isinstance(last, int):
        if last < 0:
            return "Substring begins at 0 or later"
        return "Substring takes 1 byte or more" if len(settings) == 2 and last == 0 else None
    if name == "IsMatch" and (reason := check_pattern(last.decode(errors="replace"))):
        return f"this is no RE2 expression; RE2 says: {reason}"
    if name == "ConvertCase" and last not in _CASES:
        return 'ConvertCase knows "lower" and "upper" here'
    return "Split takes a delimiter that is not empty" if name == "Split" and not last else None


def _check_duration(value: Literal, column: int) -> None:
    assert isinstance(value.value, bytes)
    if parse_duration(value.value) is None:
        raise ConditionError(column, 'this is no duration; write it like "1.5s" or "100ms"')
