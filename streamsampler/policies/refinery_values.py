"""Values in Refinery's conditions: what they are made before they are compared, and as OTTL.

Refinery makes a text of anything by Go's rules where `Datatype: string` stands, and for `in`: the
attribute 500 equals the text "500" there. So a text that a number or a boolean turns into stands
for all of them here.

Source: Refinery, config/sampler_config.go.
"""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from math import isfinite
from typing import Final, TypeVar

from streamsampler.policies.predicates import check_pattern
from streamsampler.policies.sentences import shown

DATATYPES: Final = ("string", "int", "float", "bool")
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_LARGEST: Final = 2**63 - 1
_Number = TypeVar("_Number", int, float)

Scalar = str | int | float | bool


class UnmappedError(Exception):
    """Something has no counterpart here; the text follows the path in a sentence.

    Attributes:
        key: Where within the condition; None: all of it.
    """

    def __init__(self, reason: str, key: str | None = None) -> None:
        """Keeps the place.

        Args:
            reason: What follows the path in the sentence.
            key: Where within the condition; None: all of it.
        """
        super().__init__(reason)
        self.key = key


def typed(value: object, datatype: str) -> Scalar:
    """What an attribute is compared with.

    Args:
        value: As it stands in the condition.
        datatype: What it is to be made; empty: left as it is.

    Returns:
        The value in that type.

    Raises:
        UnmappedError: It cannot be made that.
    """
    if datatype == "int":
        return as_int(value)
    if datatype == "float":
        return _as_float(value)
    if datatype == "bool":
        return as_bool(value)
    if not isinstance(value, str | int | float):
        raise UnmappedError(f"is {shown(value)}: expected a text, a number or a boolean", "Value")
    return as_text(value) if datatype == "string" else value


def typed_list(value: object, datatype: str) -> Sequence[Scalar]:
    """What an attribute is to be one of.

    Args:
        value: A list, or one value that stands for a list.
        datatype: What each is to be made; empty: a text.

    Returns:
        The values in that type, one at least.

    Raises:
        UnmappedError: One cannot be made that, or there is none.
    """
    given = value if isinstance(value, list) else [value]
    if datatype == "bool" or not given:
        raise UnmappedError("is no list of texts or numbers", "Value")
    makers: dict[str, Callable[[object], Scalar]] = {"int": as_int, "float": _as_float}
    return [makers.get(datatype, as_text)(each) for each in given]


def pattern_of(operator: str, value: object) -> str:
    """The RE2 expression that asks what a textual operator asks.

    Args:
        operator: matches, starts-with, or one that looks for a text anywhere.
        value: As it stands in the condition.

    Returns:
        An expression, found anywhere in a text.

    Raises:
        UnmappedError: It is none.
    """
    text = as_text(value)
    if operator == "matches":
        if reason := check_pattern(text):
            raise UnmappedError(f"is no RE2 expression: {reason}", "Value")
        return text
    escaped = "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)
    return f"^{escaped}" if operator == "starts-with" else escaped


def as_text(value: object) -> str:
    """A value as Go prints it.

    Args:
        value: A text, a number or a boolean.

    Raises:
        UnmappedError: It is none of these.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        whole = isinstance(value, float) and value.is_integer()
        return json.dumps(int(value) if whole else value)
    raise UnmappedError(f"is {shown(value)}: expected a text or a number", "Value")


def as_int(value: object) -> int:
    """A value as a whole number, fractions cut.

    Args:
        value: A number, or a text that holds one.

    Raises:
        UnmappedError: It is none, or more than an attribute can hold.
    """
    number = _read(int, value, "a whole number")
    if abs(number) >= _LARGEST:
        raise UnmappedError(f"is {number}, which no attribute can hold", "Value")
    return number


def _as_float(value: object) -> float:
    return _read(float, value, "a number")


def _read(kind: Callable[[str | float], _Number], value: object, expected: str) -> _Number:
    refusal = UnmappedError(f"is {shown(value)}: expected {expected}", "Value")
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise refusal
    try:
        return kind(value)
    except (ValueError, OverflowError):
        raise refusal from None


def as_bool(value: object) -> bool:
    """Whether Go's ParseBool takes a value for true.

    Args:
        value: Anything; what is no boolean is false.
    """
    return (json.dumps(value) if isinstance(value, bool | int) else str(value)) in _TRUE


def _number_in(text: str) -> int | float | None:
    """The number that is turned into this text."""
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        if isfinite(number) and as_text(number) == text:
            return number
    return None


def only_text(text: str) -> bool:
    """Whether no number and no boolean is turned into this text.

    Args:
        text: Any.
    """
    return text not in ("true", "false") and _number_in(text) is None


def equal_forms(value: Scalar, *, as_texts: bool) -> list[str]:
    """The OTTL literals that a value equals.

    Args:
        value: What is compared with.
        as_texts: Whether both sides are made texts before, so that a number equals its digits.
    """
    if not isinstance(value, str) or not as_texts:
        return [literal(value)]
    number = _number_in(value)
    forms = [quoted(value)]
    if number is not None:
        forms.append(literal(number))
    if value in ("true", "false"):
        forms.append(value)
    return forms


def literal(value: Scalar) -> str:
    """A value as OTTL writes it.

    Args:
        value: Any.

    Raises:
        UnmappedError: It is a number that is not finite.
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool | int):
        return json.dumps(value)
    if not isfinite(value):
        raise UnmappedError("is no finite number", "Value")
    digits = f"{Decimal(repr(value)):f}"  # never with an exponent
    return digits if "." in digits else f"{digits}.0"


def quoted(text: str) -> str:
    """A text as OTTL writes it.

    Args:
        text: Any.
    """
    return json.dumps(text, ensure_ascii=False)
