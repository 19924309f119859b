"""YAML or JSON text as plain data that remembers where each value stood.

Read as the Collector's YAML library (Go, yaml.v3) reads it, which is YAML 1.2: `no` and `on` are
strings, `1:30` is a string, `010` is eight. Text comes from a topic that tenants may write to, so
size, depth and number of values are limited, aliases counted as what they stand for.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from streamsampler.policies.errors import PolicyError

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 40
MAX_VALUES: Final = 20_000

Path = tuple[str | int, ...]

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float")}
_CONSTANTS: Final[Mapping[str, object]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})", re.ASCII)
_BASED = re.compile(r"[-+]?0(?:x[0-9a-fA-F]{1,16}|b[01]{1,64}|o[0-7]{1,21})", re.ASCII)
_OLD_OCTAL = re.compile(r"[-+]?0[0-7]{1,21}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the text; line and column are counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read.

    Attributes:
        source: What the text is called in sentences, a file name for example.
        value: The data: dict, list, str, int, float, bool or None.
        places: Where the value at a path stands; empty where the text was not readable as YAML.
        keys: Where the key of the value at a path stands.
    """

    source: str
    value: object
    places: Mapping[Path, Place] = field(default_factory=dict)
    keys: Mapping[Path, Place] = field(default_factory=dict)

    def at(self, path: Path, *, key: bool = False) -> Place | None:
        """The place of a value, or of the nearest thing around it.

        Args:
            path: Keys and indices from the document's top.
            key: Rather the place of the value's key, where it has one.

        Returns:
            None where no place is known.
        """
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path)

    def cite(self, place: Place | None) -> str:
        """A place as it stands before a sentence.

        Args:
            place: As at() gave it.

        Returns:
            source:line:column, or the source where no place is known.
        """
        return _cite(self.source, place)


def read_document(text: str, source: str) -> Document:
    """Reads one YAML or JSON document.

    Args:
        text: The text.
        source: What to call it in sentences.

    Returns:
        The data with its places.

    Raises:
        PolicyError: It is neither, too large, nested too deeply, or says a key twice.
    """
    text = text.removeprefix("\ufeff")
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise PolicyError([f"{source}: the text has {size} bytes; {MAX_BYTES} is the limit."])
    try:
        document = _read_yaml(text, source)
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        from_json = _read_json(text, source)
        if from_json is None:
            raise PolicyError([_unreadable(error, source)]) from error
        return from_json
    from_json = _read_json(text, source) if text.lstrip().startswith("{") else None
    return replace(document, value=from_json.value) if from_json else document


def _unreadable(error: yaml.YAMLError | UnicodeEncodeError, source: str) -> str:
    mark = getattr(error, "problem_mark", None)
    place = Place(mark.line + 1, mark.column + 1) if mark is not None else None
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "bad characters"
    return f"{_cite(source, place)}: this is not readable as YAML: {reason}."


def _cite(source: str, place: Place | None) -> str:
    return source if place is None else f"{source}:{place.line}:{place.column}"


# JSON is YAML but for what YAML's readers refuse, as surrogate pairs in escapes, and what they
# read otherwise, as U+2028 within a string. So JSON gives the values, YAML the places if it can.


def _read_json(text: str, source: str) -> Document | None:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        entries: dict[str, object] = {}
        for key, value in pairs:
            if key in entries:
                raise PolicyError([f"{source}: the key {key!r} is there twice; keep one."])
            entries[key] = value
        return entries

    try:
        value = json.loads(text, object_pairs_hook=unique)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text
    except PolicyError:
        raise
    except (ValueError, RecursionError):
        return None
    _check_extent(value, source)
    return Document(source, value)


def _check_extent(value: object, source: str) -> None:
    """Refuses what is nested too deeply or has too many values, without recursion."""
    level, values = [value], 1
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _within(outer)]
        values += len(level)
        if values > MAX_VALUES:
            raise PolicyError([f"{source}: the text has more than {MAX_VALUES} values."])
        if not level:
            return
    raise PolicyError([f"{source}: this is nested more than {MAX_DEPTH} levels deep."])


def _within(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


# YAML: events to nodes, nodes to data. Nodes are shared by aliases, data is not.


@dataclass(frozen=True, slots=True)
class _Scalar:
    place: Place
    value: object
    text: str
    merges: bool


@dataclass(frozen=True, slots=True)
class _Sequence:
    place: Place
    items: "list[_Node]"


@dataclass(frozen=True, slots=True)
class _Mapping:
    place: Place
    items: "list[tuple[_Node, _Node]]"


_Node = _Scalar | _Sequence | _Mapping


def _read_yaml(text: str, source: str) -> Document:
    nodes = _Composer(source, yaml.parse(text, Loader=_Loader))
    root = nodes.document()
    builder = _Builder(source)
    value = None if root is None else builder.build(root, ())
    return Document(source, value, builder.places, builder.keys)


class _Composer:
    """Events to nodes; refuses what is nested too deeply before it recurses."""

    def __init__(self, source: str, events: Iterator[Event]) -> None:
        self._source = source
        self._events = events
        self._anchors: dict[str, _Node] = {}
        self._nodes = 0

    def document(self) -> _Node | None:
        root: _Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refusal(event, "a second document begins; keep one to a file")
                root = self._node(next(self._events), 0)
        return root

    def _refusal(self, event: Event, reason: str) -> PolicyError:
        return PolicyError([f"{_cite(self._source, _place(event))}: {reason}."])

    def _node(self, event: Event, depth: int) -> _Node:
        self._nodes += 1
        if self._nodes > 2 * MAX_VALUES:  # with keys; before time goes into building them
            raise self._refusal(event, f"the text has more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise self._refusal(event, f"this is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, AliasEvent):
            return self._aliased(event)
        node: _Node
        if isinstance(event, ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, SequenceStartEvent):
            self._check_tag(event, "seq")
            node = _Sequence(_place(event), list(self._sequence(depth)))
        else:
            assert isinstance(event, MappingStartEvent)
            self._check_tag(event, "map")
            node = _Mapping(_place(event), list(self._mapping(depth)))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: AliasEvent) -> _Node:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            raise self._refusal(event, f"*{event.anchor} stands for nothing that ends before it")
        return node

    def _sequence(self, depth: int) -> Iterator[_Node]:
        while not isinstance(event := next(self._events), SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _mapping(self, depth: int) -> Iterator[tuple[_Node, _Node]]:
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._node(event, depth + 1)
            yield key, self._node(next(self._events), depth + 1)

    def _scalar(self, event: ScalarEvent) -> _Scalar:
        plain = event.implicit[0]
        if event.tag is None or event.tag == "!":
            value = _resolve(event.value) if plain else event.value
        elif event.tag in _PLAIN_TAGS:
            value = _resolve(event.value)
        else:
            self._check_tag(event, "str")
            value = event.value
        return _Scalar(_place(event), value, event.value, plain and event.value == "<<")

    def _check_tag(self, event: ScalarEvent | CollectionStartEvent, own: str) -> None:
        if event.tag not in (None, "!", f"{_TAG}{own}"):
            raise self._refusal(event, f"the tag {event.tag!r} has no meaning here; leave it out")


def _place(event: Event) -> Place:
    assert event.start_mark is not None
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _resolve(text: str) -> object:
    """The value of a scalar without quotes.

    Source: YAML 1.2, core schema; Go yaml.v3 for underscores and octal numbers.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    digits = text.replace("_", "")
    if _DECIMAL.fullmatch(digits):
        return int(digits)
    if _BASED.fullmatch(digits):
        return int(digits, 0)
    if _OLD_OCTAL.fullmatch(digits):
        return int(digits, 8)
    if _FLOAT.fullmatch(digits):
        return float(digits)
    return text


class _Builder:
    """Nodes to data, noting the place of each; aliases are written out and so counted."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._values = 0
        self.places: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}

    def build(self, node: _Node, path: Path) -> object:
        self._count(node, len(path))
        self.places[path] = node.place
        if isinstance(node, _Scalar):
            return node.value
        if isinstance(node, _Sequence):
            return [self.build(item, (*path, i)) for i, item in enumerate(node.items)]
        return {
            key.text: self.build(value, (*path, key.text))
            for key, value in self._entries(node, path, len(path))
        }

    def _count(self, node: _Node, depth: int) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._refusal(
                node, f"with aliases written out, the text has more than {MAX_VALUES} values"
            )
        if depth > MAX_DEPTH:
            raise self._refusal(
                node, f"with aliases written out, this is nested more than {MAX_DEPTH} levels deep"
            )

    def _entries(self, node: _Mapping, path: Path, depth: int) -> list[tuple[_Scalar, _Node]]:
        """A mapping's own entries and then what its merge keys bring; its own come first."""
        entries: dict[str, tuple[_Scalar, _Node]] = {}
        merged: list[_Node] = []
        for key, value in node.items:
            if not isinstance(key, _Scalar):
                raise self._refusal(key, "a key is a list or a mapping; write a word")
            if key.merges:
                merged += value.items if isinstance(value, _Sequence) else [value]
            elif key.text in entries:
                first = entries[key.text][0].place.line
                raise self._refusal(
                    key, f"the key {key.text!r} is there twice, first in line {first}; keep one"
                )
            else:
                entries[key.text] = (key, value)
                self.keys[(*path, key.text)] = key.place
        for source in merged:
            if not isinstance(source, _Mapping):
                raise self._refusal(source, "<< merges mappings; this is none")
            self._count(source, depth + 1)
            for key, value in self._entries(source, path, depth + 1):
                self._count(key, depth)
                entries.setdefault(key.text, (key, value))
        return list(entries.values())

    def _refusal(self, node: _Node, reason: str) -> PolicyError:
        return PolicyError([f"{_cite(self._source, node.place)}: {reason}."])


def strings_within(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Find every string in plain data.

    Args:
        value: The data.
        path: Where it stands.

    Yields:
        Each string with its path.
    """
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings_within(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from strings_within(inner, (*path, i))
