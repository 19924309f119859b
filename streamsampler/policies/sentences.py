"""Words for what is wrong with a setting: the path, the value, what was expected, the mend."""

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from streamsampler.policies.document import Path

_EXPECTED: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a mapping",
    "string_type": "a string",
    "tuple_type": "a list",
}
_LISTS: Final = frozenset({"list_type", "tuple_type"})
_NUMBERS: Final = frozenset({"float_type", "int_type"})
_SPOKEN_BOOLS: Final = {"true": "true", "yes": "true", "on": "true"} | dict.fromkeys(
    ("false", "no", "off"), "false"
)
_LONGEST_SHOWN: Final = 60  # characters


def path_text(path: Path) -> str:
    """A path as it is written in sentences.

    Args:
        path: Keys and indices.

    Returns:
        Such as policies[2].latency.threshold_ms.
    """
    steps = (f"[{step}]" if isinstance(step, int) else f".{shorten(step)}" for step in path)
    return "".join(steps).removeprefix(".")


def shown(value: object) -> str:
    """A value as it is shown in sentences: short, and in one line.

    Args:
        value: Plain data.
    """
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    return shorten(json.dumps(value, ensure_ascii=False))


def shorten(text: str) -> str:
    """A text in at most 60 characters.

    Args:
        text: Any.
    """
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def listed(names: Iterable[str]) -> str:
    """Names in a row: a, b and c.

    Args:
        names: One or more.
    """
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """A question after the candidate that is nearest to a name.

    Args:
        name: What was written.
        candidates: What may be written.

    Returns:
        The question, or None where none is near.
    """
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    near = get_close_matches(name.casefold()[:_LONGEST_SHOWN], by_folded, n=1)
    return f"did you mean {by_folded[near[0]]}?" if near else None


def no_such_key(name: str, candidates: Iterable[str]) -> str:
    """That a key is unknown, and which one may have been meant.

    Args:
        name: The key as it was written.
        candidates: The keys that there are.

    Returns:
        What follows the path in the sentence.
    """
    known = sorted(candidates)
    if question := did_you_mean(name, known):
        return f"is unknown; {question}"
    return f"is unknown; known here: {', '.join(known)}" if known else "is unknown; leave it out"


def explain(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What pydantic found wrong, in our words.

    Args:
        error: One of its errors; not of the type extra_forbidden.
        model: The model that was to be filled.

    Returns:
        What follows the path in the sentence.
    """
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return f"is missing; expected {_expected(error, model)}"
    if kind == "value_error":
        return f"is {shown(value)}: {error['ctx']['error']}"
    mend = _mend(kind, value)
    if kind == "literal_error" and isinstance(value, str):
        words = str(error["ctx"]["expected"]).replace(" or ", ", ").split(", ")
        mend = did_you_mean(value, [word.strip("'") for word in words])
    return f"is {shown(value)}: expected {_expected(error, model)}{f'; {mend}' if mend else ''}"


def _expected(error: ErrorDetails, model: type[BaseModel]) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"]).replace("'", "")
    described, _ = _below(model, error["loc"])
    if described is not None and described.description:
        return described.description
    return _EXPECTED.get(error["type"], error["msg"])


def fields_at(model: type[BaseModel], path: Path) -> frozenset[str]:
    """The names of the settings in a block, or in a block within it.

    Args:
        model: The block's model.
        path: The way from there to the inner block; empty for the block itself.
    """
    _, block = _below(model, path)
    assert isinstance(block, type)
    assert issubclass(block, BaseModel)
    return frozenset(block.model_fields)


def _below(model: type[BaseModel], path: Path) -> tuple[FieldInfo | None, object]:
    """The field that a path ends on, None for an item of a list, and the type of what is there."""
    found: FieldInfo | None = None
    inner: object = model
    for step in path:
        if isinstance(step, int) and get_origin(inner) is tuple:
            found, inner = None, get_args(inner)[0]
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            found = inner.model_fields.get(str(step))
            inner = _given(found.annotation) if found else None
        else:
            return None, None
    return found, inner


def _given(annotation: object) -> object:
    """The type of what may be left out, where it is not."""
    if get_origin(annotation) in (Union, UnionType):
        return next(one for one in get_args(annotation) if one is not NoneType)
    return annotation


def _mend(kind: str, value: object) -> str | None:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'write it in quotes: "{json.dumps(value)}"'
    if kind in _NUMBERS and isinstance(value, str) and value.replace(".", "", 1).isdecimal():
        return f"write {value} without quotes"
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _SPOKEN_BOOLS:
        return f"write {_SPOKEN_BOOLS[value.lower()]}"
    if kind in _LISTS and isinstance(value, str | int | float):
        return f"write [{value}]"
    return None
