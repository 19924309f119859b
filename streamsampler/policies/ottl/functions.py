"""The functions that conditions call: what each takes, gives, and does to one value.

What is done to strings stands here in plain Python, as it is done once for each distinct value;
what is done to numbers, and what asks for a value's type, stands in `numbers`, for whole columns.

Source: OpenTelemetry Collector, pkg/ottl/ottlfuncs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import re2

from streamsampler.policies.ottl import go_values as go
from streamsampler.policies.ottl.tree import Type
from streamsampler.policies.predicates import readable


class Failed(Exception):  # noqa: N818 - it is no error of the program
    """A function cannot be evaluated for these values."""


Plain = bytes | bool | int | float | None
"""A value as functions see it; a duration is the whole number of its nanoseconds."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a function takes in one place.

    Attributes:
        what: In words, for sentences.
        types: What may be computed there; empty where the argument must stand in the text.
        literal: What must stand in the text: STRING or INT.
    """

    what: str
    types: frozenset[Type] = frozenset()
    literal: Type | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function.

    Attributes:
        parameters: What it takes; those that stand in the text come last.
        type: What it gives.
        apply: Does it to values and settings, and raises `Failed`; None where whole columns are
            computed at once.
    """

    parameters: tuple[Parameter, ...]
    type: Type
    apply: Callable[..., Plain] | None = None


SPLIT_COUNT: Final = "Len Split"
"""Len of what Split gives, as one function; nobody can write this name."""

_NUMBERS: Final = frozenset({Type.INT, Type.DOUBLE, Type.NUMBER, Type.ANY})
_STRING: Final = Parameter("a string", frozenset({Type.STRING, Type.ANY}))
STRING_LIKE: Final = Parameter(
    "a string, a number or a boolean", _NUMBERS | {Type.STRING, Type.BOOL, Type.NIL}
)
_VALUE: Final = STRING_LIKE
_DURATION: Final = Parameter("a duration", frozenset({Type.DURATION}))
_TIME: Final = Parameter("a time", frozenset({Type.TIME}))
TEXT: Final = Parameter("a string in quotes", literal=Type.STRING)
_COUNT: Final = Parameter("a whole number", literal=Type.INT)


def _string(value: Plain) -> bytes:
    if not isinstance(value, bytes):
        raise Failed
    return value


def string_like(value: Plain) -> bytes | None:
    """Write a value as a string.

    Args:
        value: Any.

    Returns:
        Its text; None of nil.
    """
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float):
        return go.format_double(value)
    return value


def _is_match(value: Plain, pattern: bytes) -> bool:
    text = string_like(value)
    return text is not None and _search(pattern)(readable(text)) is not None


@lru_cache(maxsize=256)
def _search(pattern: bytes) -> Callable[[bytes], object]:
    options = re2.Options()
    options.log_errors = False
    search: Callable[[bytes], object] = re2.compile(pattern, options).search
    return search


def _has_prefix(value: Plain, prefix: bytes) -> bool:
    return _string(value).startswith(prefix)


def _has_suffix(value: Plain, suffix: bytes) -> bool:
    return _string(value).endswith(suffix)


def _int(value: Plain) -> int | None:
    if isinstance(value, bytes):
        return go.parse_int(value)
    return go.int_of_double(value) if isinstance(value, float) else value


def _double(value: Plain) -> float | None:
    if isinstance(value, bytes):
        number = go.parse_double(value)
        if number is None:
            raise Failed
        return number
    return None if value is None else float(value)


def _concat(*values: Plain) -> bytes:
    *parts, delimiter = values
    assert isinstance(delimiter, bytes)
    texts = map(string_like, parts)
    return delimiter.join(b"<nil>" if text is None else text for text in texts)


def _split_part(value: Plain, delimiter: bytes, place: int) -> bytes:
    parts = _string(value).split(delimiter)
    if place >= len(parts):
        raise Failed
    return parts[place]


def _split_count(value: Plain, delimiter: bytes) -> int:
    return _string(value).count(delimiter) + 1


def _substring(value: Plain, start: int, length: int) -> bytes:
    text = _string(value)
    if start + length > len(text):
        raise Failed
    return text[start : start + length]


def _len(value: Plain) -> int:
    return len(_string(value))


def _lower(value: Plain) -> bytes:
    return go.lower(_string(value))


def _upper(value: Plain) -> bytes:
    return go.upper(_string(value))


def _convert_case(value: Plain, case: bytes) -> bytes:
    return _lower(value) if case == b"lower" else _upper(value)


def _duration(value: Plain) -> int:
    nanoseconds = go.parse_duration(_string(value))
    if nanoseconds is None:
        raise Failed
    return nanoseconds


FUNCTIONS: Final[Mapping[str, Function]] = {
    "IsMatch": Function((STRING_LIKE, TEXT), Type.BOOL, _is_match),
    "HasPrefix": Function((_STRING, TEXT), Type.BOOL, _has_prefix),
    "HasSuffix": Function((_STRING, TEXT), Type.BOOL, _has_suffix),
    "IsString": Function((STRING_LIKE,), Type.BOOL),
    "IsBool": Function((STRING_LIKE,), Type.BOOL),
    "IsInt": Function((STRING_LIKE,), Type.BOOL),
    "IsDouble": Function((STRING_LIKE,), Type.BOOL),
    "Len": Function((_STRING,), Type.INT, _len),
    "Int": Function((STRING_LIKE,), Type.ANY, _int),
    "Double": Function((STRING_LIKE,), Type.ANY, _double),
    "String": Function((STRING_LIKE,), Type.ANY, string_like),
    "Substring": Function((_STRING, _COUNT, _COUNT), Type.STRING, _substring),
    "ToLowerCase": Function((_STRING,), Type.STRING, _lower),
    "ToUpperCase": Function((_STRING,), Type.STRING, _upper),
    "ConvertCase": Function((_STRING, TEXT), Type.STRING, _convert_case),
    "Duration": Function((_STRING,), Type.DURATION, _duration),
    "Nanoseconds": Function((_DURATION,), Type.INT),
    "Milliseconds": Function((_DURATION,), Type.INT),
    "Seconds": Function((_DURATION,), Type.DOUBLE),
    "UnixNano": Function((_TIME,), Type.INT),
    "Concat": Function((), Type.STRING, _concat),
    "Split": Function((_STRING, TEXT), Type.STRING, _split_part),
    SPLIT_COUNT: Function((_STRING, TEXT), Type.INT, _split_count),
}
"""By name. Concat takes a list, and Split gives one: `call_checks` has their forms."""

SPECIAL: Final = frozenset({"IsRootSpan", "IsMap", "SpanID", "TraceID"})
"""Functions that are settled when the condition is checked."""
