"""The protobuf wire format, as far as OTLP traces need it: plain values in, bytes out.

Hot where spans are written (30 fields a span), so every function is a few joins; what repeats
from span to span is encoded once by its owner and joined as it is.

Source: protocolbuffers.dev, "Encoding"; opentelemetry-proto, common/v1/common.proto, AnyValue.
"""

import struct
from collections.abc import Mapping, Sequence

AttributeValue = (
    str | bool | int | float | bytes | Sequence["AttributeValue"] | Mapping[str, "AttributeValue"]
) | None
"""What an OTLP attribute can hold: every AnyValue type, nested at will; None is the empty value."""

_DOUBLE = struct.Struct("<d")
_UINT64 = 1 << 64


def varint(number: int) -> bytes:
    """Encodes an integer of 0 to 2**64 - 1 in base 128, low groups first.

    Args:
        number: the value; a negative int64 is given as its two's complement.

    Returns:
        1 to 10 bytes.
    """
    if number < 0x80:
        return bytes((number,))
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def delimited(body: bytes) -> bytes:
    """Puts a body's length before it.

    Args:
        body: an encoded message, string or bytes.

    Returns:
        The length as a varint, then the body.
    """
    return varint(len(body)) + body


def field(number: int, body: bytes) -> bytes:
    """Encodes a length-delimited field (a message, a string or bytes).

    Args:
        number: the field's number in its message.
        body: what it holds.

    Returns:
        Tag, length, body.
    """
    return varint(number << 3 | 2) + delimited(body)


def any_value(value: AttributeValue) -> bytes:  # noqa: PLR0911 - one for each type
    """Encodes an attribute's value as the body of an AnyValue message.

    Args:
        value: any type that OTLP knows; integers must fit int64.

    Returns:
        The message's body, empty for None.
    """
    # bool stands before int, because Python's True is an int.
    match value:
        case None:
            return b""
        case str():
            return field(1, value.encode())
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case int():
            return b"\x18" + varint(value % _UINT64)
        case float():
            return b"\x21" + _DOUBLE.pack(value)
        case bytes():
            return field(7, value)
        case Mapping():
            return field(6, b"".join(field(1, key_value(k, v)) for k, v in value.items()))
        case Sequence():
            return field(5, b"".join(field(1, any_value(item)) for item in value))


def key_value(key: str, value: AttributeValue) -> bytes:
    """Encodes the body of a KeyValue message.

    Args:
        key: the attribute's name.
        value: its value.

    Returns:
        The message's body.
    """
    return field(1, key.encode()) + field(2, any_value(value))
