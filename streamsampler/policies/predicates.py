"""Span predicates: what the scan asks of each span, one bit of the trace for each.

A predicate is data, frozen and hashable, so that policies that ask the same share a bit. The
scan compares numbers itself; a string test is asked once for each distinct value of its key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import re2

from streamsampler.spans.trace_context import TraceContextError, parse_tracestate

_LONGEST_REASON: Final = 80  # characters; RE2 repeats what may be a whole expression


@dataclass(frozen=True, slots=True)
class StatusIn:
    """True of a span whose status code is one of these.

    Attributes:
        codes: OTLP numbers: 0 UNSET, 1 OK, 2 ERROR.
    """

    codes: frozenset[int]


@dataclass(frozen=True, slots=True)
class StringTest:
    """True of a span that has, itself or on its resource, a string attribute that matches.

    Exactly one of values and patterns is given.

    Attributes:
        key: The attribute's key, UTF-8.
        values: The values that match, whole and UTF-8.
        patterns: RE2 expressions, UTF-8, any of which matches somewhere in the value.
    """

    key: bytes
    values: frozenset[bytes] | None
    patterns: tuple[bytes, ...] | None

    def __post_init__(self) -> None:
        assert (self.values is None) != (self.patterns is None)

    def matches(self, value: bytes) -> bool:
        """Whether an attribute value matches.

        Args:
            value: The attribute's bytes as they came; UTF-8 or not.

        Returns:
            False for an empty value, whatever the test.

        Source: Collector, tailsamplingprocessor, string_attribute.
        """
        if not value:
            return False
        if self.values is not None:
            return value in self.values
        assert self.patterns is not None
        text = readable(value)
        return any(search(text) is not None for search in _searches(self.patterns))


@dataclass(frozen=True, slots=True)
class NumberTest:
    """True of a span that has, itself or on its resource, an integer attribute within bounds.

    Attributes:
        key: The attribute's key, UTF-8.
        least: The smallest that matches; None: no bound.
        most: The largest that matches; None: no bound.
    """

    key: bytes
    least: int | None
    most: int | None


@dataclass(frozen=True, slots=True)
class BoolTest:
    """True of a span that has, itself or on its resource, this boolean attribute."""

    key: bytes
    value: bool


@dataclass(frozen=True, slots=True)
class HasKey:
    """True of a span that has, itself or on its resource, an attribute of this key."""

    key: bytes


@dataclass(frozen=True, slots=True)
class StateTest:
    """True of a span whose W3C tracestate has a member with one of these values."""

    key: bytes
    values: frozenset[bytes]

    def matches(self, state: bytes) -> bool:
        """Whether a tracestate has such a member.

        Args:
            state: The whole list, as it stands in a span.

        Returns:
            False for a list that breaks a rule anywhere.

        Source: Collector, tailsamplingprocessor, trace_state; W3C Trace Context Level 2, 3.3.1.
        """
        if self.key + b"=" not in state:
            return False  # most by far
        try:
            members = parse_tracestate(state)
        except TraceContextError:
            return False
        key = self.key.decode(errors="replace")
        return any(name == key and value.encode() in self.values for name, value in members)


@dataclass(frozen=True, slots=True)
class FlagsTest:
    """True of a span whose flags share a bit with the mask."""

    mask: int


@dataclass(frozen=True, slots=True)
class IsRoot:
    """True of a span that names no parent."""


@dataclass(frozen=True, slots=True)
class Condition:
    """True of a span for which an OTTL condition is true; or of one of its events, if it says so.

    Attributes:
        text: The condition, checked.
        events: Whether it is asked of each event of the span.
    """

    text: str
    events: bool


@dataclass(frozen=True, slots=True)
class ConditionFails:
    """True of a span for which an OTTL condition cannot be evaluated."""

    text: str
    events: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    """True of a span for which all of these are true."""

    tests: "tuple[SpanPredicate, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True of a span for which one of these is true."""

    tests: "tuple[SpanPredicate, ...]"


@dataclass(frozen=True, slots=True)
class Negated:
    """True of a span for which this is not true."""

    test: "SpanPredicate"


SpanPredicate = (
    StatusIn
    | StringTest
    | NumberTest
    | BoolTest
    | HasKey
    | StateTest
    | FlagsTest
    | IsRoot
    | Condition
    | ConditionFails
    | AllOf
    | AnyOf
    | Negated
)


def check_pattern(pattern: str) -> str | None:
    """What is wrong with an RE2 expression.

    Args:
        pattern: The expression.

    Returns:
        RE2's own words, or None where it compiles.
    """
    try:
        compile_pattern(pattern.encode())
    except re2.error as error:
        return bytes(error.args[0]).decode(errors="replace")[:_LONGEST_REASON]
    return None


def readable(value: bytes) -> bytes:
    """A value as a regular expression is to see it: every byte that is no UTF-8 as U+FFFD.

    Go matches such a byte as U+FFFD, RE2 by itself not at all.

    Args:
        value: Bytes, UTF-8 or not.

    Returns:
        Valid UTF-8.
    """
    try:
        value.decode()
    except UnicodeDecodeError:
        text = value.decode(errors="surrogateescape")
        return "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in text).encode()
    return value


@lru_cache(maxsize=256)
def _searches(patterns: tuple[bytes, ...]) -> tuple[Callable[[bytes], object], ...]:
    return tuple(compile_pattern(pattern).search for pattern in patterns)


def compile_pattern(pattern: bytes) -> re2._Regexp:
    """Make an RE2 expression ready.

    Args:
        pattern: UTF-8.

    Raises:
        re2.error: It is none.
    """
    options = re2.Options()
    options.log_errors = False  # the caller says it in a sentence with the place
    return re2.compile(pattern, options)
