"""Paths judged: which value of the span, its resource, scope or event one reads."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from streamsampler.policies.ottl.errors import ConditionError
from streamsampler.policies.ottl.paths import CONTEXTS, NOT_SUPPORTED, known_paths
from streamsampler.policies.ottl.tree import Read, Type
from streamsampler.policies.sentences import did_you_mean, listed, shorten

Key: TypeAlias = bytes | int


@dataclass(frozen=True, slots=True)
class Field:
    """A word of a path.

    Attributes:
        name: The word.
        column: Where it stands.
        keys: What stands in brackets behind it, each with its column.
    """

    name: str
    column: int
    keys: tuple[tuple[Key, int], ...] = ()


Path: TypeAlias = tuple[Field, ...]

ATTRIBUTES: Final = "attributes"
"""Whole attributes: nothing is known of them but that they are a map."""


def check_path(path: Path, *, events: bool) -> Read:
    """Judge a path.

    Args:
        path: One or more words.
        events: Whether the condition is asked of events.

    Returns:
        What is read. Its path has the context before it: span.name.

    Raises:
        ConditionError: There is no such path here.
    """
    owner, rest = _context(path, events=events)
    names = CONTEXTS[owner][1]
    name = ".".join(field.name for field in rest)
    for field in rest[:-1]:
        if field.keys:
            raise ConditionError(field.column, f"{shorten(field.name)} has nothing in brackets")
    keys = rest[-1].keys if rest else ()
    if name == ATTRIBUTES:
        return Read(Type.ANY, f"{owner}.attributes", _one_key("attributes", rest[-1]))
    if name == "trace_state" and owner == "span" and keys:
        return Read(Type.ANY, "span.trace_state", _one_key("trace_state", rest[-1]))
    if name not in names:
        raise ConditionError(path[0].column, _unknown(path, events=events))
    if keys:
        raise ConditionError(keys[0][1], f"{name} has nothing in brackets")
    return Read(names[name], f"{owner}.{name}")


def is_map(path: Path, *, events: bool) -> bool:
    """Whether a path is all attributes of something.

    Args:
        path: One or more words.
        events: Whether the condition is asked of events.
    """
    _, rest = _context(path, events=events)
    return len(rest) == 1 and rest[0].name == ATTRIBUTES and not rest[0].keys


def is_events(path: Path, *, events: bool) -> bool:
    """Whether a path is all events of the span.

    Args:
        path: One or more words.
        events: Whether the condition is asked of events.
    """
    owner, rest = _context(path, events=events)
    return owner == "span" and len(rest) == 1 and rest[0].name == "events" and not rest[0].keys


def _context(path: Path, *, events: bool) -> tuple[str, Path]:
    first = path[0]
    if first.name in CONTEXTS and len(path) > 1 and not first.keys:
        owner = CONTEXTS[first.name][0]
        if owner == "spanevent" and not events:
            sentence = "a span's condition does not see one event; write it under spanevent"
            raise ConditionError(first.column, sentence)
        return owner, path[1:]
    return ("spanevent" if events else "span"), path


def _one_key(name: str, field: Field) -> bytes:
    if not field.keys:
        sentence = f'{name} as a whole is not supported here; write {name}["key"]'
        raise ConditionError(field.column, sentence)
    (key, column), *more = field.keys
    if isinstance(key, int):
        raise ConditionError(column, f"the key of {name} is a string in double quotes")
    if more:
        sentence = "looking into an array or a map is not supported here; leave it out"
        raise ConditionError(more[0][1], sentence)
    return key


def _unknown(path: Path, *, events: bool) -> str:
    written = shorten(".".join(field.name for field in path))
    if path[-1].name in NOT_SUPPORTED:
        return f"{written} is not supported here"
    known = known_paths(events=events)
    if events and f"span.{written}" in known:
        return f"an event has no {written}; did you mean span.{written}?"
    if path[0].name == ATTRIBUTES and len(path) == 2:
        return f'{written} is no path; write attributes["{shorten(path[1].name)}"]'
    if question := did_you_mean(written, known):
        return f"{written} is unknown; {question}"
    return f"{written} is unknown or not supported; known here: {listed(known)}"
