"""An OTLP endpoint on the loopback that keeps what it is told of metrics and spans."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Value = str | bool | int | float | list["Value"]


@dataclass
class TelemetryReceiver:
    """What came.

    Attributes:
        url: Where it listens.
        metrics: Each push.
        traces: Likewise.
        headers: Of the last request, names in lower case.
    """

    url: str
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def spans(self) -> list[Span]:
        """All of them."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def metrics_of(push: ExportMetricsServiceRequest) -> dict[str, Metric]:
    """A push's metrics by name."""
    (resource,) = push.resource_metrics
    (scope,) = resource.scope_metrics
    return {one.name: one for one in scope.metrics}


def sums(metric: Metric) -> dict[str, float]:
    """A counter's values, by those of its labels, which come in the order of their names."""
    return {
        " ".join(str(value) for _, value in sorted(told(point.attributes).items())): point.as_double
        for point in metric.sum.data_points
    }


def told(attributes: object) -> dict[str, Value]:
    """Attributes as plain values."""
    found: dict[str, Value] = {}
    for one in attributes:  # type: ignore[attr-defined]  # a repeated field has no public type
        assert isinstance(one, KeyValue)
        found[one.key] = _plain(one.value)
    return found


def _plain(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    assert kind is not None
    plain = getattr(value, kind)
    assert isinstance(plain, str | bool | int | float)
    return plain


@contextmanager
def receiving_telemetry() -> Iterator[TelemetryReceiver]:
    """Listen on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                receiver.metrics.append(ExportMetricsServiceRequest.FromString(body))
            else:
                assert self.path == "/v1/traces"
                receiver.traces.append(ExportTraceServiceRequest.FromString(body))
            receiver.headers.update({name.lower(): text for name, text in self.headers.items()})
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = TelemetryReceiver(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
