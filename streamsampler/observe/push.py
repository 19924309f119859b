"""Metrics pushed at an interval, in a thread that nobody waits for."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

ABORTED_SECONDS: Final = 0.5

_log = structlog.get_logger("streamsampler.telemetry")


class MetricsPush:
    """Pushes from the moment it is made until it is closed; owns a thread and the exporter.

    An endpoint that is away costs its thread a wait; what the exporter says of it is
    `otlp.speak_for_the_library`'s to tell.

    Args:
        collect: The metrics at a moment, wall time in ns.
        exporter: Where they go.
        interval_seconds: Between two pushes.
        worker: The worker's name.
        wall_ns: Wall time.
    """

    def __init__(
        self,
        collect: Callable[[int], MetricsData],
        exporter: MetricExporter,
        interval_seconds: float,
        worker: str,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._collect = collect
        self._exporter = exporter
        self._interval_seconds = interval_seconds
        self._worker = worker
        self._wall_ns = wall_ns
        self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-push", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Push once more, and no more after that; returns at once."""
        self._stopping.set()

    def close(self, seconds: float) -> None:
        """Wait for the last push, and give it up after a while.

        Args:
            seconds: How long.
        """
        self.stop()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.warning("metrics_push_given_up", worker=self._worker)
        self._exporter.shutdown()  # ends the exporter's waits between two tries
        self._thread.join(ABORTED_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_seconds):
            self._push()
        self._push()

    def _push(self) -> None:
        try:
            result = self._exporter.export(self._collect(self._wall_ns()))
        except Exception:  # noqa: BLE001 - whatever it is, the next push may fare better
            _log.exception("metrics_push_failed", worker=self._worker)
            return
        failed = result is not MetricExportResult.SUCCESS
        if self._failing and not failed:
            _log.info("metrics_push_resumed", worker=self._worker)
        self._failing = failed
