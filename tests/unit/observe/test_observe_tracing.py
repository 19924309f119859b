"""Spans of the worker's own: all or a share of them, and an end that does not wait for ever."""

import time
from collections.abc import Sequence
from threading import Event

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from streamsampler.observe.otlp import who
from streamsampler.observe.tracing import Tracing

PATIENCE = 10.0
SPANS = 400


class Endpoint(SpanExporter):
    """Takes spans, or hangs until it is shut down."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs
        self.got: list[ReadableSpan] = []
        self.shut = Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._hangs:
            self.shut.wait(PATIENCE)
            return SpanExportResult.FAILURE
        self.got += spans
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.shut.set()


def tracing(endpoint: Endpoint, ratio: float) -> Tracing:
    return Tracing(endpoint, who("worker-1", "1.2.3"), ratio, "worker-1", "1.2.3")


def told(ratio: float) -> list[ReadableSpan]:
    """What comes of spans, each a trace."""
    endpoint = Endpoint()
    made = tracing(endpoint, ratio)
    for _ in range(SPANS):
        made.tracer.start_span("commit").end()
    made.stop()
    made.close(PATIENCE)
    assert endpoint.shut.is_set()
    return endpoint.got


def test_what_there_is_at_the_end_is_pushed_with_who_tells() -> None:
    spans = told(1.0)
    assert len(spans) == SPANS
    assert spans[0].resource.attributes["service.instance.id"] == "worker-1"


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (0.5, 120, 280)])
def test_a_share_is_a_share(ratio: float, least: int, most: int) -> None:
    assert least <= len(told(ratio)) <= most  # 8 standard errors either way


def test_an_endpoint_that_hangs_is_given_up_after_a_while() -> None:
    endpoint = Endpoint(hangs=True)
    made = tracing(endpoint, 1.0)
    made.tracer.start_span("commit").end()
    began = time.monotonic()
    with capture_logs() as logs:
        made.stop()
        made.close(0.05)
    assert time.monotonic() - began < 5
    assert [one["event"] for one in logs] == ["spans_push_given_up"]
    assert endpoint.shut.is_set()
