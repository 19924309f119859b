"""Metrics are pushed at an interval and once at the end; an endpoint that is away is waited for by
nobody."""

import time
from collections.abc import Callable
from threading import Event

import pytest
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from structlog.testing import capture_logs

from streamsampler.observe.push import MetricsPush

NEVER = 3_600.0
SOON = 0.001
PATIENCE = 10.0


class Endpoint(MetricExporter):
    """Remembers what it was sent, and answers as it is told."""

    def __init__(self, answer: Callable[[int], MetricExportResult] | None = None) -> None:
        super().__init__()
        self._answer = answer or (lambda _: MetricExportResult.SUCCESS)
        self.got: list[MetricsData] = []
        self.shut = Event()
        self.third = Event()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 0, **_: object
    ) -> MetricExportResult:
        del timeout_millis
        self.got.append(metrics_data)
        if len(self.got) >= 3:
            self.third.set()
        return self._answer(len(self.got))

    def force_flush(self, timeout_millis: float = 0) -> bool:
        raise NotImplementedError

    def shutdown(self, timeout_millis: float = 0, **_: object) -> None:
        del timeout_millis
        self.shut.set()


def pushing(
    endpoint: Endpoint,
    interval: float,
    collect: Callable[[int], MetricsData] = lambda _: MetricsData([]),
) -> MetricsPush:
    return MetricsPush(collect, endpoint, interval, "worker-1", wall_ns=lambda: 7)


def test_it_collects_anew_for_each_push() -> None:
    times: list[int] = []

    def collect(now_ns: int) -> MetricsData:
        times.append(now_ns)
        return MetricsData([])

    endpoint = Endpoint()
    push = pushing(endpoint, SOON, collect)
    assert endpoint.third.wait(PATIENCE)
    push.close(PATIENCE)
    assert len(times) == len(endpoint.got)
    assert set(times) == {7}


def test_it_pushes_at_its_end_whatever_the_interval() -> None:
    endpoint = Endpoint()
    pushing(endpoint, NEVER).close(PATIENCE)
    assert len(endpoint.got) == 1
    assert endpoint.shut.is_set()


def test_what_it_says_is_given_up_after_a_while() -> None:
    endpoint = Endpoint(lambda _: _hang())
    released = endpoint.shut

    def _hang() -> MetricExportResult:
        released.wait(PATIENCE)  # as the exporter's wait between two tries
        return MetricExportResult.FAILURE

    began = time.monotonic()
    with capture_logs() as logs:
        pushing(endpoint, NEVER).close(0.05)
    assert time.monotonic() - began < 5
    assert [one["event"] for one in logs] == ["metrics_push_given_up"]


@pytest.mark.parametrize("problem", [ValueError("a bug"), OSError("no such host")])
def test_a_push_that_raises_is_said_and_the_next_one_comes(problem: Exception) -> None:
    def answer(number: int) -> MetricExportResult:
        if number == 1:
            raise problem
        return MetricExportResult.SUCCESS

    endpoint = Endpoint(answer)
    with capture_logs() as logs:
        push = pushing(endpoint, SOON)
        assert endpoint.third.wait(PATIENCE)
        push.close(PATIENCE)
    assert [one["event"] for one in logs] == ["metrics_push_failed"]


def test_it_is_said_when_the_endpoint_is_back() -> None:
    def answer(number: int) -> MetricExportResult:
        return MetricExportResult.FAILURE if number <= 2 else MetricExportResult.SUCCESS

    endpoint = Endpoint(answer)
    with capture_logs() as logs:
        push = pushing(endpoint, SOON)
        assert endpoint.third.wait(PATIENCE)
        push.close(PATIENCE)
    assert [one["event"] for one in logs] == ["metrics_push_resumed"]
