"""Where telemetry goes, and what the library says of it."""

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from streamsampler.logs import WINDOW_SECONDS
from streamsampler.observe.otlp import Destination, speak_for_the_library, who


@pytest.fixture
def clock() -> Iterator[list[float]]:
    library = logging.getLogger("opentelemetry")
    handlers, propagates = list(library.handlers), library.propagate
    now = [1_000.0]
    speak_for_the_library("worker-1", lambda: now[0])
    yield now
    library.handlers[:] = handlers
    library.propagate = propagates


def test_what_the_library_logs_is_an_event_with_a_constant_message(clock: list[float]) -> None:
    del clock
    with capture_logs() as logs:
        logging.getLogger("opentelemetry.exporter.some").error("Failed: %s", "refused")
    assert logs == [
        {
            "event": "telemetry_trouble",
            "log_level": "warning",
            "worker": "worker-1",
            "source": "opentelemetry.exporter.some",
            "problem": "Failed: refused",
            "unsaid": 0,
        }
    ]


def test_an_endpoint_that_is_away_is_said_to_be_once_a_minute(clock: list[float]) -> None:
    library = logging.getLogger("opentelemetry.exporter.some")
    with capture_logs() as logs:
        for _ in range(60):
            library.warning("Transient error")
            clock[0] += WINDOW_SECONDS / 60
        library.warning("Transient error")
    assert [one["unsaid"] for one in logs] == [0, 59]


def test_another_part_of_the_library_is_heard_meanwhile(clock: list[float]) -> None:
    del clock
    with capture_logs() as logs:
        logging.getLogger("opentelemetry.a").error("Failed")
        logging.getLogger("opentelemetry.b").error("Failed")
    assert [one["source"] for one in logs] == ["opentelemetry.a", "opentelemetry.b"]


def test_an_exception_is_named_without_its_traceback(clock: list[float]) -> None:
    del clock
    with capture_logs() as logs:
        logging.getLogger("opentelemetry.a").error("Exporting.", exc_info=ValueError("a bug"))
    assert logs[0]["problem"] == "Exporting. ValueError('a bug')"


def test_what_is_no_warning_is_not_said(clock: list[float]) -> None:
    del clock
    with capture_logs() as logs:
        logging.getLogger("opentelemetry.a").info("Shutdown called")
    assert logs == []


def test_a_second_worker_of_a_process_does_not_double_what_is_said(clock: list[float]) -> None:
    del clock
    speak_for_the_library("worker-2")
    with capture_logs() as logs:
        logging.getLogger("opentelemetry.a").error("Failed")
    assert [one["worker"] for one in logs] == ["worker-2"]


def test_who_tells_is_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    told = dict(who("worker-1", "1.2.3").attributes or {})
    assert told["service.name"] == "streamsampler"
    assert told["service.instance.id"] == "worker-1"
    assert told["service.version"] == "1.2.3"
    assert told["deployment.environment.name"] == "prod"


def test_headers_are_nobodys_business() -> None:
    to = Destination("http://localhost:4318", "http/protobuf", 1.0, headers={"x-key": "sesame"})
    assert "sesame" not in repr(to)
