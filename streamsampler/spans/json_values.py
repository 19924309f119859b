"""Single values of protobuf's JSON mapping, each read into what the message's field takes."""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final, Self

from streamsampler.spans.identifiers import IdentifierError, digits
from streamsampler.spans.malformed import Refusal

ReadText = Callable[[object], bytes]

_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?Infinity|NaN")
_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")
_HALF_PAIR_BUT_NO_BYTE: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_SHOWN_CHARACTERS: Final = 48


class WrongValueError(ValueError):
    """A JSON value that its field cannot take.

    Attributes:
        sentence: What was expected and what is there.
        reason: A snake_case word for it.
        place: Names and indexes from the outside in, filled in on the way out.
    """

    def __init__(self, sentence: str, reason: Refusal = "bad_otlp_json") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.reason: Refusal = reason
        self.place = ""

    @classmethod
    def expected(cls, what: str, value: object) -> Self:
        """Make the error for a value that is something else than expected.

        Args:
            what: What was expected, with its article.
            value: What JSON holds instead.

        Returns:
            The error.
        """
        shown = ascii(value)
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[:_SHOWN_CHARACTERS] + "..."
        return cls(f"{what} is expected, not {shown}.")


def read_text(value: object) -> bytes:
    """Read a string.

    Args:
        value: A string.

    Returns:
        Its UTF-8; half a surrogate pair, which has none, becomes U+FFFD.

    Raises:
        WrongValueError: It is no string.
    """
    text = _text(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _HALF_PAIR.sub("\ufffd", text).encode()


def read_raw_text(value: object) -> bytes:
    """Read a string from JSON that holds bytes which are no UTF-8.

    Args:
        value: A string, with such bytes as Python's ``surrogateescape`` gives them.

    Returns:
        Its bytes as they came.

    Raises:
        WrongValueError: It is no string.
    """
    text = _HALF_PAIR_BUT_NO_BYTE.sub("\ufffd", _text(value))
    return text.encode("utf-8", "surrogateescape")


def read_id(size: int) -> Callable[[object], bytes]:
    """Make the reader of an id.

    Args:
        size: The id's length in bytes.

    Returns:
        A function from a string of hexadecimal digits, or an empty one, to the id's bytes.
    """

    def read(value: object) -> bytes:
        text = _text(value)
        try:
            return digits(text, size, "id") if text else b""
        except IdentifierError as error:
            raise WrongValueError(str(error)) from error

    return read


def read_base64(value: object) -> bytes:
    """Read bytes.

    Args:
        value: Base64 of either alphabet, with or without padding.

    Returns:
        The bytes.

    Raises:
        WrongValueError: It is no base64.
    """
    text = _text(value).translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise WrongValueError.expected("base64", value) from error


def read_bool(value: object) -> bool:
    """Read a truth value.

    Args:
        value: True or false.

    Returns:
        The same.

    Raises:
        WrongValueError: It is something else.
    """
    if not isinstance(value, bool):
        raise WrongValueError.expected("true or false", value)
    return value


def read_double(value: object) -> float:
    """Read a double.

    Args:
        value: A number, or a string of one, or one of the names that JSON has no number for.

    Returns:
        The number.

    Raises:
        WrongValueError: It is something else, or too large.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise WrongValueError.expected("a double", value) from error
    raise WrongValueError.expected("a number", value)


def read_integer(least: int, most: int) -> Callable[[object], int]:
    """Make the reader of an integer.

    Args:
        least: The smallest that the field holds.
        most: The largest.

    Returns:
        A function from a number without a fraction, or a string of decimal digits, to it.
    """

    def read(value: object) -> int:
        number = _integer(value)
        if number is None or not least <= number <= most:
            raise WrongValueError.expected(f"an integer from {least} to {most}", value)
        return number

    return read


def read_enum(numbers: Mapping[str, int]) -> Callable[[object], int]:
    """Make the reader of an enum.

    Args:
        numbers: Its names and their numbers.

    Returns:
        A function from a name or any 32-bit number to the number.
    """
    read_number = read_integer(-(2**31), 2**31 - 1)

    def read(value: object) -> int:
        if not isinstance(value, str):
            return read_number(value)
        if value not in numbers:
            raise WrongValueError.expected(f"a number or one of {', '.join(numbers)}", value)
        return numbers[value]

    return read


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise WrongValueError.expected("a string", value)
    return value


def _integer(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if _INTEGER.fullmatch(value):
            return int(value)
        case _:
            return None
