"""What a worker pushes of itself, from its settings: metrics, and its commits as traces."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from streamsampler import __version__
from streamsampler.config import ConfigError, Settings, Telemetry
from streamsampler.kafka.outbox import Outbox
from streamsampler.kafka.traced_outbox import TracedOutbox
from streamsampler.observe import Vitals
from streamsampler.observe.otlp import (
    Destination,
    metric_exporter,
    span_exporter,
    speak_for_the_library,
    who,
)
from streamsampler.observe.otlp_metrics import OtlpMetrics
from streamsampler.observe.push import MetricsPush
from streamsampler.observe.tracing import Tracing

MS_PER_SECOND: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")

_log = structlog.get_logger("streamsampler.telemetry")


@contextmanager
def pushed(settings: Settings, vitals: Vitals) -> Iterator[Callable[[Outbox], Outbox]]:
    """Push, for as long as the context lasts, and once more at its end.

    The end waits for the endpoint for `telemetry.timeout_ms`, and no longer.

    Args:
        settings: The settings; `telemetry.endpoint` is set.
        vitals: The worker's view of itself.

    Yields:
        Takes an outbox; gives one whose commits are traced, or the same where they are not.

    Raises:
        ConfigError: A setting cannot be used.
    """
    asked, worker = settings.telemetry, settings.worker_id
    to = destination(asked)
    speak_for_the_library(worker)
    resource = who(worker, __version__)
    push = tracing = None
    if asked.metrics:
        metrics = OtlpMetrics(
            vitals.metrics.registry.collect, resource, __version__, time.time_ns()
        )
        interval_seconds = asked.interval_ms / MS_PER_SECOND
        push = MetricsPush(metrics.at, metric_exporter(to), interval_seconds, worker)
    if asked.commits:
        tracing = Tracing(span_exporter(to), resource, asked.commits_ratio, worker, __version__)
    _log.info(
        "telemetry_pushed", endpoint=to.endpoint, metrics=asked.metrics, commits=asked.commits
    )
    try:
        yield lambda outbox: _traced(outbox, tracing, settings)
    finally:
        _close([one for one in (push, tracing) if one is not None], to.timeout_seconds)


def destination(asked: Telemetry) -> Destination:
    """Tell where it goes.

    Args:
        asked: The settings.

    Returns:
        The destination.

    Raises:
        ConfigError: The endpoint is none for the protocol, a header cannot be sent, or there is
            no such file.
    """
    scheme, _, rest = asked.endpoint.rpartition("://")
    if asked.protocol == "http/protobuf" and scheme not in {"http", "https"}:
        raise ConfigError(
            f"telemetry.endpoint is {asked.endpoint}: expected a URL, such as "
            "http://localhost:4318, or telemetry.protocol: grpc."
        )
    if "/v1/" in rest:
        raise ConfigError(
            f"telemetry.endpoint is {asked.endpoint}: expected it without /v1 and what follows, "
            "which is added for metrics and for traces."
        )
    for name, value in asked.headers.items():
        # The libraries would say so later, again and again, and show the value.
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or value != value.strip():
            raise ConfigError(
                f"telemetry.headers.{name} cannot be sent: expected a name of letters, digits, "
                "dots and hyphens, and a value of printable ASCII without a space or a new line "
                "at its ends."
            )
    for name in ("ca_file", "cert_file", "key_file"):
        file = getattr(asked.tls, name)
        if file is not None and not file.is_file():
            raise ConfigError(f"telemetry.tls.{name} is {file}: there is no such file.")
    return Destination(
        asked.endpoint,
        asked.protocol,
        asked.timeout_ms / MS_PER_SECOND,
        headers=asked.headers,
        gzip=asked.compression == "gzip",
        ca_file=asked.tls.ca_file,
        cert_file=asked.tls.cert_file,
        key_file=asked.tls.key_file,
        insecure=asked.tls.insecure,
    )


def _traced(outbox: Outbox, tracing: Tracing | None, settings: Settings) -> Outbox:
    if tracing is None:
        return outbox
    transactions = settings.guarantee == "exactly_once"
    return TracedOutbox(outbox, tracing.tracer, settings.group_id, transactions=transactions)


def _close(pushing: list[MetricsPush | Tracing], seconds: float) -> None:
    """End all at once: one endpoint that does not answer keeps a worker that stops but once."""
    deadline = time.monotonic() + seconds
    for one in pushing:
        one.stop()
    for one in pushing:
        one.close(max(0.0, deadline - time.monotonic()))
