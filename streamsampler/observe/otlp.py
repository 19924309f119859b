"""Where a worker pushes what it tells of itself: the OTLP exporters, and what they say goes wrong.

The modules of this package that import the SDK (`otlp`, `otlp_metrics`, `push`, `tracing`) are
imported only where something is pushed.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypedDict

import grpc
import structlog
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetricExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetricExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter

from streamsampler.logs import RateLimit

SERVICE: Final = "streamsampler"

_log = structlog.get_logger("streamsampler.telemetry")


@dataclass(frozen=True, slots=True)
class Destination:
    """An OTLP endpoint, and how to speak to it.

    Attributes:
        endpoint: Over HTTP a URL without the path of a signal; over gRPC host and port, or a URL.
        protocol: Of OTLP.
        timeout_seconds: For a request, with all tries.
        headers: Of each request; may be secret.
        gzip: Whether requests are compressed.
        ca_file: Whom to trust, PEM; None: the system's.
        cert_file: For mutual TLS, PEM.
        key_file: Its key.
        insecure: gRPC without TLS.
    """

    endpoint: str
    protocol: Literal["http/protobuf", "grpc"]
    timeout_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    gzip: bool = True
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False


def who(worker: str, version: str) -> Resource:
    """Say who tells; what `OTEL_RESOURCE_ATTRIBUTES` says besides is taken up.

    Args:
        worker: The worker's name.
        version: Of streamsampler.

    Returns:
        The resource.
    """
    named = {"service.name": SERVICE, "service.instance.id": worker, "service.version": version}
    return Resource.create(named)


def metric_exporter(to: Destination) -> MetricExporter:
    """Make what sends metrics.

    Args:
        to: Where to.

    Returns:
        The exporter; its opener shuts it down.

    Raises:
        OSError: A file of certificates cannot be read.
    """
    if to.protocol == "grpc":
        return GrpcMetricExporter(to.endpoint, **_over_grpc(to))
    return HttpMetricExporter(_url(to, "metrics"), **_over_http(to))


def span_exporter(to: Destination) -> SpanExporter:
    """Make what sends spans.

    Args:
        to: Where to.

    Returns:
        The exporter; its opener shuts it down.

    Raises:
        OSError: A file of certificates cannot be read.
    """
    if to.protocol == "grpc":
        return GrpcSpanExporter(to.endpoint, **_over_grpc(to))
    return HttpSpanExporter(_url(to, "traces"), **_over_http(to))


def _url(to: Destination, signal: str) -> str:
    return f"{to.endpoint.rstrip('/')}/v1/{signal}"


class _Http(TypedDict):
    """What the exporters over HTTP take alike."""

    certificate_file: str | None
    client_key_file: str | None
    client_certificate_file: str | None
    headers: dict[str, str]
    timeout: float
    compression: Compression


class _Grpc(TypedDict):
    """What the exporters over gRPC take alike."""

    insecure: bool
    credentials: grpc.ChannelCredentials | None
    headers: dict[str, str]
    timeout: float
    compression: grpc.Compression


def _over_http(to: Destination) -> _Http:
    return {
        "certificate_file": _text(to.ca_file),
        "client_key_file": _text(to.key_file),
        "client_certificate_file": _text(to.cert_file),
        "headers": dict(to.headers),
        "timeout": to.timeout_seconds,
        "compression": Compression.Gzip if to.gzip else Compression.NoCompression,
    }


def _over_grpc(to: Destination) -> _Grpc:
    return {
        "insecure": _insecure(to),
        "credentials": _credentials(to),
        "headers": {name.lower(): value for name, value in to.headers.items()},
        "timeout": to.timeout_seconds,
        "compression": grpc.Compression.Gzip if to.gzip else grpc.Compression.NoCompression,
    }


def _text(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _insecure(to: Destination) -> bool:
    return to.insecure or to.endpoint.startswith("http://")


def _credentials(to: Destination) -> grpc.ChannelCredentials | None:
    files = (to.ca_file, to.key_file, to.cert_file)
    if _insecure(to) or not any(files):
        return None
    return grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))


def speak_for_the_library(
    worker: str, monotonic_seconds: Callable[[], float] = time.monotonic
) -> None:
    """Let what the OpenTelemetry library logs become events of ours, once a minute at most.

    It holds for the process: requests that are still under way when their worker has ended are
    spoken for, too.

    Args:
        worker: The worker's name.
        monotonic_seconds: The clock.
    """
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_Spokesman(worker, monotonic_seconds)]
    logger.propagate = False


class _Spokesman(logging.Handler):
    """Says of each part of the library the first of its warnings within a while."""

    def __init__(self, worker: str, monotonic_seconds: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._worker = worker
        self._limit = RateLimit(1, monotonic_seconds)

    def emit(self, record: logging.LogRecord) -> None:
        unsaid = self._limit.admit(record.name)
        if unsaid is None:
            return
        problem = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            problem = f"{problem} {record.exc_info[1]!r}"
        _log.warning(
            "telemetry_trouble",
            source=record.name,
            problem=problem,
            unsaid=unsaid,
            worker=self._worker,
        )
