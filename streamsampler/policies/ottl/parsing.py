"""The text of a condition to what can be evaluated, and what it reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from streamsampler.policies.ottl.checking import check
from streamsampler.policies.ottl.grammar import read
from streamsampler.policies.ottl.tree import (
    Arithmetic,
    Call,
    Comparison,
    Literal,
    Minus,
    Not,
    Read,
    Test,
    Truth,
    Value,
)


@dataclass(frozen=True, slots=True)
class ParsedCondition:
    """A condition that can be evaluated.

    Attributes:
        text: As it was written.
        events: Whether it is asked of each event of a span.
        test: What it asks.
        keys: Keys of the attributes that it reads, of spans, resources, scopes and events.
        reads_scopes: Whether it reads instrumentation scopes.
        reads_events: Whether it reads events, or counts them.
        reads_message: Whether it reads status messages.
    """

    text: str
    events: bool
    test: Test
    keys: frozenset[bytes]
    reads_scopes: bool
    reads_events: bool
    reads_message: bool


@lru_cache(maxsize=1024)
def parse_condition(text: str, *, events: bool) -> ParsedCondition:
    """Read and judge a condition.

    Args:
        text: The condition.
        events: Whether it is asked of each event of a span.

    Returns:
        The condition, ready to be compiled.

    Raises:
        ConditionError: It is no OTTL, or has a part that is not supported.
    """
    test = check(read(text), events=events)
    reads = set(_reads(test))
    return ParsedCondition(
        text,
        events,
        test,
        keys=frozenset(one.key for one in reads if one.path.endswith(".attributes")),
        reads_scopes=any(one.path.startswith("scope.") for one in reads),
        reads_events=events or any(one.path == "span.events" for one in reads),
        reads_message=any(one.path == "span.status.message" for one in reads),
    )


def _reads(part: Test | Value) -> Iterator[Read]:
    if isinstance(part, Read):
        yield part
    elif not isinstance(part, Literal):
        for inner in _parts(part):
            yield from _reads(inner)


def _parts(part: Test | Value) -> tuple[Test | Value, ...]:
    match part:
        case Comparison() | Arithmetic():
            return (part.left, part.right)
        case Truth() | Minus():
            return (part.value,)
        case Not():
            return (part.part,)
        case Call():
            return part.values
        case Literal() | Read():
            return ()
    return part.parts
