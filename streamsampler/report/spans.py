"""The spans of a kept trace, reduced to what a waterfall shows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from streamsampler.report.readable import printable
from streamsampler.spans.messages import Resource
from streamsampler.spans.payload import spans_of

ERROR: Final = 2  # STATUS_CODE_ERROR of the trace schema


@dataclass(frozen=True, slots=True)
class ShownSpan:
    """A span as a waterfall shows it.

    Attributes:
        span_id: 8 bytes.
        parent_id: 8 bytes; empty for a root.
        kind: The number of its SpanKind.
        start_ns: ns since the epoch.
        end_ns: ns since the epoch; before the start where a clock is broken.
        service: Its resource's ``service.name``, printable; empty where there is none.
        name: Its operation, printable.
        error: Whether its status is ERROR.
        message: What its status says, printable.
    """

    span_id: bytes
    parent_id: bytes
    kind: int
    start_ns: int
    end_ns: int
    service: str
    name: str
    error: bool
    message: str = ""

    @property
    def duration_ns(self) -> int:
        """End minus start, ns."""
        return self.end_ns - self.start_ns


def spans_shown(values: Iterable[bytes]) -> list[ShownSpan]:
    """Read the spans of one kept trace.

    Args:
        values: The values of its output records, each an OTLP protobuf `TracesData`.

    Returns:
        Its spans, in the order in which they stand there.
    """
    return [
        ShownSpan(
            span_id=span.span_id,
            # Some writers fill an absent parent with zeros.
            parent_id=span.parent_span_id if any(span.parent_span_id) else b"",
            kind=span.kind,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            service=_service(resource),
            name=_shown(span.name),
            error=span.status.code == ERROR,
            message=_shown(span.status.message),
        )
        for value in values
        for resource, _, span in spans_of(value)
    ]


def _service(resource: Resource) -> str:
    for attribute in resource.attributes:
        if attribute.key == b"service.name":
            return _shown(attribute.value.string_value)
    return ""


def _shown(raw: bytes) -> str:
    return printable(raw.decode(errors="replace"))
