"""Text to values and back as Go does it, where Python does it otherwise.

Source: Go's strconv (Unquote, ParseInt, ParseFloat, FormatFloat), strings (ToLower, ToUpper) and
time (ParseDuration).
"""

import math
import re
from decimal import Decimal
from typing import Final

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1

_INT: Final = re.compile(rb"[+-]?[0-9]+")
_DOUBLE: Final = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NAMED_DOUBLE: Final = re.compile(rb"[+-]?inf(inity)?|nan", re.IGNORECASE)
_HEX_DOUBLE: Final = re.compile(
    rb"[+-]?0x([0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)p[+-]?[0-9]+", re.IGNORECASE
)
_LONGEST_NUMBER: Final = 400  # characters; a longer one is no number that anybody writes

_DURATION_STEP: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}

_SIMPLE: Final = {
    "a": b"\a", "b": b"\b", "f": b"\f", "n": b"\n", "r": b"\r", "t": b"\t", "v": b"\v",
    "\\": b"\\", '"': b'"',
}  # fmt: skip
_ESCAPE: Final = re.compile(
    r"\\(?:([abfnrtv\\\"])|([0-3][0-7]{2})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)


def unquote(inside: str) -> bytes | int:
    """The bytes of a string in double quotes.

    Args:
        inside: What stands between the quotes.

    Returns:
        Its bytes; or the place of the first character that Go does not take, from 0.
    """
    found: list[bytes] = []
    at = 0
    while at < len(inside):
        if inside[at] == "\n":
            return at
        if inside[at] != "\\":
            stop = next((i for i in range(at, len(inside)) if inside[i] in "\\\n"), len(inside))
            found.append(inside[at:stop].encode(errors="replace"))
            at = stop
            continue
        escape = _ESCAPE.match(inside, at)
        if escape is None:
            return at
        simple, octal, byte, short, long = escape.groups()
        if simple:
            found.append(_SIMPLE[simple])
        elif octal or byte:
            found.append(bytes([int(octal, 8) if octal else int(byte, 16)]))
        else:
            code = int(short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                return at
            found.append(chr(code).encode())
        at = escape.end()
    return b"".join(found)


def parse_int(text: bytes) -> int | None:
    """Read a whole number in base ten.

    Args:
        text: The digits, with a sign or without.

    Returns:
        64 bits with a sign; None where it is no number or too large.
    """
    if len(text) > _LONGEST_NUMBER or not _INT.fullmatch(text):
        return None
    number = int(text)
    return number if _LEAST <= number <= _MOST else None


def parse_double(text: bytes) -> float | None:
    """Read a number.

    Args:
        text: Decimal or hexadecimal, or a name of infinity or of no number.

    Returns:
        The nearest double; None where it is no number or too large.
    """
    if len(text) > _LONGEST_NUMBER:
        return None
    if _NAMED_DOUBLE.fullmatch(text):
        return float(text)
    try:
        if _DOUBLE.fullmatch(text):
            number = float(text)
        elif _HEX_DOUBLE.fullmatch(text):
            number = float.fromhex(text.decode())
        else:
            return None
    except OverflowError:
        return None
    return None if math.isinf(number) else number


def format_double(number: float) -> bytes:
    """Write a number in full, with as few digits as tell it from others.

    Args:
        number: Any double.

    Returns:
        Never with an exponent.
    """
    if math.isnan(number):
        return b"NaN"
    if math.isinf(number):
        return b"+Inf" if number > 0 else b"-Inf"
    return format(Decimal(repr(number)), "f").removesuffix(".0").encode()


def int_of_double(number: float) -> int:
    """The whole part of a double, as amd64 converts it.

    Args:
        number: Any double.

    Returns:
        64 bits with a sign; the least of all where it does not fit.
    """
    if math.isfinite(number) and _LEAST <= (whole := math.trunc(number)) <= _MOST:
        return whole
    return _LEAST


def parse_duration(text: bytes) -> int | None:
    """Read a duration such as 1h15m30.5s.

    Args:
        text: Numbers with units, ns us ms s m h, and a sign before them or none; or 0.

    Returns:
        Nanoseconds, cut towards zero; None where it is no duration or too long.
    """
    try:
        rest = text.decode()
    except UnicodeDecodeError:
        return None
    negative = rest.startswith("-")
    rest = rest[1:] if rest[:1] in {"-", "+"} else rest
    if rest == "0":
        return 0
    if not rest or len(rest) > _LONGEST_NUMBER:
        return None
    at = total = 0
    while at < len(rest):
        step = _DURATION_STEP.match(rest, at)
        if step is None or not (step[1] or step[2]):
            return None
        unit = _UNITS[step[3]]
        total += int(step[1] or 0) * unit
        if step[2]:
            digits = step[2][:18]  # Go computes with doubles here, and stops at 63 bits
            total += math.trunc(float(int(digits)) * (unit / 10.0 ** len(digits)))
        at = step.end()
    total = -total if negative else total
    return total if _LEAST <= total <= _MOST else None


def lower(text: bytes) -> bytes:
    """Write letter by letter in lower case.

    Args:
        text: UTF-8.

    Returns:
        As many letters; one that has several for its lower case is taken as its first.
    """
    if text.isascii():
        return text.lower()
    return "".join(letter.lower()[0] for letter in text.decode(errors="replace")).encode()


def upper(text: bytes) -> bytes:
    """Write letter by letter in upper case.

    Args:
        text: UTF-8.

    Returns:
        As many letters; one that only several could stand for stays.
    """
    if text.isascii():
        return text.upper()
    return "".join(_upper(letter) for letter in text.decode(errors="replace")).encode()


def _upper(letter: str) -> str:
    forms = (letter.upper(), letter.title())
    return next((form for form in forms if len(form) == 1), letter)
