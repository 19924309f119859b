"""The wire formats of spans: how one record's value becomes OTLP protobuf.

A new format is one module with one function, and one entry here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from streamsampler.spans.malformed import MalformedRecord
from streamsampler.spans.otlp_json import otlp_json_to_proto

__all__ = ["FORMATS", "MalformedRecord", "Translate"]

Translate = Callable[[bytes], bytes]
"""Turns a record's value into OTLP protobuf `TracesData`; raises MalformedRecord."""


def _as_it_is(value: bytes) -> bytes:
    """Hand OTLP protobuf on; the scan is its judge."""
    return value


FORMATS: Final[Mapping[str, Translate]] = MappingProxyType(
    {
        "otlp_proto": _as_it_is,
        "otlp_json": otlp_json_to_proto,
    },
)
