"""Span predicates: what the scan asks of each span, one bit of the trace for each.

A predicate is data, frozen and hashable, so that policies that ask the same share a bit. The
scan compares numbers itself; a string test is asked once for each distinct value of its key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import re2

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


SpanPredicate = StatusIn | StringTest


def check_pattern(pattern: str) -> str | None:
    """What is wrong with an RE2 expression.

    Args:
        pattern: The expression.

    Returns:
        RE2's own words, or None where it compiles.
    """
    try:
        _compile(pattern.encode())
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
    return tuple(_compile(pattern).search for pattern in patterns)


def _compile(pattern: bytes) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False  # the caller says it in a sentence with the place
    return re2.compile(pattern, options)
