"""Records that no honest producer writes: what a sampler must survive and account for.

Each is refused as a whole by a strict reader of OTLP, and none bears the id of a real trace.
"""

from collections.abc import Callable
from random import Random

from streamsampler.traffic.model import GeneratedRecord
from streamsampler.traffic.wire import delimited, field, key_value, varint

_SERVICE = field(1, field(1, key_value("service.name", "hostile")))
_NAME_AND_TIMES = field(5, b"hostile") + b"\x39" + bytes(8) + b"\x41" + bytes(8)
_LENGTHS = ((1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1)
_ZERO_ID = bytes(16)


def _traces_data(span: bytes) -> bytes:
    return field(1, _SERVICE + field(2, b"\x12" + delimited(span)))


def _garbage(random: Random) -> bytes:
    # 0x0f is a tag of wire type 7, which does not exist: no luck of the draw makes it valid.
    return b"\x0f" + random.randbytes(random.randint(1, 600))


def _truncated(random: Random) -> bytes:
    whole = _traces_data(field(1, random.randbytes(16)) + field(2, random.randbytes(8)))
    return whole[: random.randint(1, len(whole) - 1)]


def _empty(_: Random) -> bytes:
    return b""


def _zero_trace_id(random: Random) -> bytes:
    return _traces_data(field(1, _ZERO_ID) + field(2, random.randbytes(8)) + _NAME_AND_TIMES)


def _short_ids(random: Random) -> bytes:
    ids = random.choice(
        (
            field(1, random.randbytes(15)) + field(2, random.randbytes(8)),
            field(1, random.randbytes(16)) + field(2, random.randbytes(7)),
            field(1, random.randbytes(8)) + field(2, random.randbytes(4)),
        )
    )
    return _traces_data(ids + _NAME_AND_TIMES)


def _no_ids(_: Random) -> bytes:
    return _traces_data(_NAME_AND_TIMES)


def _huge_length(random: Random) -> bytes:
    lie = b"\x0a" + varint(random.choice(_LENGTHS)) + random.randbytes(20)
    return random.choice((lie, field(1, lie), field(1, _SERVICE + b"\x12" + lie[1:])))


FAULTS: dict[str, Callable[[Random], bytes]] = {
    "garbage": _garbage,
    "truncated": _truncated,
    "empty": _empty,
    "zero_trace_id": _zero_trace_id,
    "short_ids": _short_ids,
    "no_ids": _no_ids,
    "huge_length": _huge_length,
}
"""What can be wrong with a record, and how such a value is made."""

_JSON_SPAN = (
    '{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[{%s"name":"hostile"}]}]}]}'
)

JSON_LINES: dict[str, str] = {
    "garbage": "\x7f}{ not JSON",
    "truncated": '{"resourceSpans":[{"resource":{"attributes":[{"key":"serv',
    "empty": "",
    "zero_trace_id": _JSON_SPAN % f'"traceId":"{"0" * 32}","spanId":"00000000000000aa",',
    "short_ids": _JSON_SPAN % '"traceId":"abcd","spanId":"ef",',
    "no_ids": _JSON_SPAN % "",
    "huge_length": _JSON_SPAN % '"startTimeUnixNano":"9223372036854775808000",',
}
"""The same faults where a file holds OTLP JSON, one request a line."""


def bad_record(random: Random, time_ms: int) -> GeneratedRecord:
    """Makes a hostile record.

    Args:
        random: chance.
        time_ms: its timestamp, ms since the epoch.

    Returns:
        The record, with its fault's name.
    """
    fault = random.choice(tuple(FAULTS))
    trace_id = _ZERO_ID if fault == "zero_trace_id" else random.randbytes(16)
    value = FAULTS[fault](random)
    return GeneratedRecord(trace_id.hex().encode(), value, time_ms, fault=fault)
