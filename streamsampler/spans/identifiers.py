"""Trace and span ids: bytes in the engine, hexadecimal digits for people and in JSON."""

import re
from typing import Final

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8

_HEX: Final = re.compile(r"[0-9A-Fa-f]*", re.ASCII)
_SHOWN_CHARACTERS: Final = 48


class IdentifierError(ValueError):
    """Text or bytes that are no id; says what is wrong in a sentence."""


def trace_id_from_hex(text: str) -> bytes:
    """Read a trace id.

    Args:
        text: 32 hexadecimal digits, of either case.

    Returns:
        Its 16 bytes.

    Raises:
        IdentifierError: It is something else, or zeros only, which is no id.

    Source: OpenTelemetry specification, trace/api, SpanContext.
    """
    return _no_zeros(digits(text, TRACE_ID_BYTES, "trace id"), "trace id")


def span_id_from_hex(text: str) -> bytes:
    """Read a span id.

    Args:
        text: 16 hexadecimal digits, of either case.

    Returns:
        Its 8 bytes.

    Raises:
        IdentifierError: It is something else, or zeros only, which is no id.

    Source: OpenTelemetry specification, trace/api, SpanContext.
    """
    return _no_zeros(digits(text, SPAN_ID_BYTES, "span id"), "span id")


def trace_id_to_hex(trace_id: bytes) -> str:
    """Write a trace id as people and record keys have it.

    Args:
        trace_id: 16 bytes.

    Returns:
        32 lower-case hexadecimal digits.

    Raises:
        IdentifierError: It is not 16 bytes long.
    """
    return _to_hex(trace_id, TRACE_ID_BYTES, "trace id")


def span_id_to_hex(span_id: bytes) -> str:
    """Write a span id as people have it.

    Args:
        span_id: 8 bytes.

    Returns:
        16 lower-case hexadecimal digits.

    Raises:
        IdentifierError: It is not 8 bytes long.
    """
    return _to_hex(span_id, SPAN_ID_BYTES, "span id")


def digits(text: str, size: int, what: str) -> bytes:
    """Read an id of any value, zeros too.

    Args:
        text: Hexadecimal digits, of either case.
        size: The id's length in bytes.
        what: How a sentence names it.

    Returns:
        Its bytes.

    Raises:
        IdentifierError: There are more or fewer digits, or something else among them.
    """
    if not _HEX.fullmatch(text):
        stray = next(character for character in text if not _HEX.fullmatch(character))
        raise IdentifierError(
            f"The {what} {_shown(text)} has {stray!a} in it; "
            f"write {2 * size} hexadecimal digits, 0 to 9 and a to f.",
        )
    if len(text) != 2 * size:
        raise IdentifierError(
            f"The {what} {_shown(text)} has {len(text)} hexadecimal digits; write {2 * size}.",
        )
    return bytes.fromhex(text)


def _no_zeros(identifier: bytes, what: str) -> bytes:
    if not any(identifier):
        raise IdentifierError(f"The {what} is all zeros, which stands for none; give a real one.")
    return identifier


def _to_hex(identifier: bytes, size: int, what: str) -> str:
    if len(identifier) != size:
        raise IdentifierError(
            f"The {what} {_shown(identifier.hex())} has {len(identifier)} bytes; it takes {size}.",
        )
    return identifier.hex()


def _shown(text: str) -> str:
    short = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return ascii(short)
