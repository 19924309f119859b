"""What an endpoint's answer to an export request means.

Source: OpenTelemetry protocol specification 1.x, OTLP/gRPC response and OTLP/HTTP response.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import Final

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse


class Fate(Enum):
    """What becomes of a request."""

    ACCEPTED = "accepted"  # but for spans that the endpoint says it rejects
    AGAIN = "again"  # the endpoint cannot take it now
    REFUSED = "refused"  # the endpoint will never take it
    STOP = "stop"  # a setting is wrong: it would take none


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        fate: What becomes of the request.
        words: What the endpoint said, where it did not accept all.
        rejected: Of an accepted request, the spans that the endpoint does not take.
        wait_ms: How long the endpoint wants to be left alone; None: it did not say.
    """

    fate: Fate
    words: str = ""
    rejected: int = 0
    wait_ms: int | None = None


_AGAIN: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_STOP: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
    }
)
_CODES_AGAIN: Final = frozenset(
    {
        StatusCode.CANCELLED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.ABORTED,
        StatusCode.OUT_OF_RANGE,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
_CODES_STOP: Final = frozenset(
    {StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED, StatusCode.UNIMPLEMENTED}
)
_SHOWN: Final = 200


def of_http(status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> Answer:
    """Read an answer over HTTP.

    Args:
        status: Its status.
        headers: Its headers; names in lower case.
        body: Its body.
        now_ms: Wall time, for a date in `Retry-After`.

    Returns:
        What it means.
    """
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return of_response(_parsed(body))
    words = f"HTTP {status}: {body[:_SHOWN].decode(errors='replace').strip()}"
    if status in _AGAIN:
        return Answer(Fate.AGAIN, words, wait_ms=_retry_after(headers.get("retry-after"), now_ms))
    return Answer(Fate.STOP if status in _STOP else Fate.REFUSED, words)


def _parsed(body: bytes) -> ExportTraceServiceResponse:
    try:
        return ExportTraceServiceResponse.FromString(body)
    except DecodeError:  # accepted is accepted, whatever the endpoint says besides
        return ExportTraceServiceResponse()


def _retry_after(value: str | None, now_ms: int) -> int | None:
    """RFC 9110, section 10.2.3: seconds or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return int(value) * 1_000
    try:
        return max(0, round(parsedate_to_datetime(value).timestamp() * 1_000) - now_ms)
    except ValueError:
        return None


def of_response(response: ExportTraceServiceResponse) -> Answer:
    """Read the response of an endpoint that accepted a request.

    Args:
        response: The response.

    Returns:
        What it means.
    """
    partial = response.partial_success
    return Answer(Fate.ACCEPTED, partial.error_message[:_SHOWN], max(0, partial.rejected_spans))


def of_grpc(code: StatusCode, words: str, details: bytes) -> Answer:
    """Read a failure over gRPC.

    Args:
        code: Its code.
        words: What it says.
        details: A serialized `google.rpc.Status`; empty: there is none.

    Returns:
        What it means.
    """
    words = f"gRPC {code.name}: {words[:_SHOWN]}"
    wait_ms = _retry_info(details)
    if code in _CODES_AGAIN or (code is StatusCode.RESOURCE_EXHAUSTED and wait_ms is not None):
        return Answer(Fate.AGAIN, words, wait_ms=wait_ms)
    return Answer(Fate.STOP if code in _CODES_STOP else Fate.REFUSED, words)


def _retry_info(details: bytes) -> int | None:
    try:
        status = Status.FromString(details)
    except DecodeError:
        return None
    for detail in status.details:
        info = RetryInfo()
        if detail.Unpack(info):
            return max(0, int(info.retry_delay.ToMilliseconds()))
    return None
