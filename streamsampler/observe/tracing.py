"""Spans of the worker's own, pushed in batches by a thread that nobody waits for."""

import threading
from typing import Final

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

MOST_WAITING: Final = 2_048
"""Spans that wait for the endpoint; with more, the oldest are dropped."""
BATCH: Final = 512
DELAY_MS: Final = 5_000
ABORTED_SECONDS: Final = 0.5

_log = structlog.get_logger("streamsampler.telemetry")


class Tracing:
    """Takes spans from the moment it is made until it is closed; owns threads and the exporter.

    Args:
        exporter: Where spans go.
        resource: Who tells.
        ratio: The share of traces that are told.
        worker: The worker's name.
        version: Of streamsampler.

    Attributes:
        tracer: For spans.
    """

    def __init__(
        self, exporter: SpanExporter, resource: Resource, ratio: float, worker: str, version: str
    ) -> None:
        self._exporter = exporter
        self._worker = worker
        self._provider = TracerProvider(TraceIdRatioBased(ratio), resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, MOST_WAITING, DELAY_MS, BATCH)
        )
        self._closing = threading.Thread(
            target=self._provider.shutdown, name="spans-flush", daemon=True
        )
        self.tracer = self._provider.get_tracer("streamsampler", version)

    def stop(self) -> None:
        """Push what there is, and take no more; returns at once."""
        self._closing.start()

    def close(self, seconds: float) -> None:
        """Wait for the last push, and give it up after a while.

        Args:
            seconds: How long.
        """
        self._closing.join(seconds)
        if self._closing.is_alive():
            _log.warning("spans_push_given_up", worker=self._worker)
            self._exporter.shutdown()  # ends the exporter's waits between two tries
            self._closing.join(ABORTED_SECONDS)
