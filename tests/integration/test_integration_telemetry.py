"""A worker under load pushes what it says of itself: metrics that agree with /metrics, and commits
that agree with the metrics. Where nobody answers, it works on."""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from streamsampler.config import Settings
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.sampler import Counts
from tests.fleet.traces import trace
from tests.integration.otlp_receiver import receiving
from tests.integration.sampling import (
    RunningWorker,
    Written,
    make_settings,
    make_topics,
    read_all,
    wait_until,
    write,
)
from tests.integration.telemetry_receiver import (
    TelemetryReceiver,
    metrics_of,
    receiving_telemetry,
    sums,
    told,
)
from tests.integration.test_integration_metrics import scrape
from tests.kafka_cluster import free_ports

PARTITIONS = 4
TRACES = 5_000
SPANS = 3
POLICIES = """
decision_wait: 2s
completion_grace: 1s
policies:
  - {name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}
"""
COUNTERS = ("spans", "spans_in", "traces", "records", "policy_decisions")
TIMEOUT_MS = 1_500


def settings_of(
    kafka: str, prefix: str, folder: Path, telemetry: dict[str, Any], **other: Any
) -> Settings:
    """With a health page, topics, policies and telemetry."""
    (port,) = free_ports(1)
    made = make_settings(
        kafka,
        prefix,
        folder,
        http={"address": f"127.0.0.1:{port}"},
        commit_interval_ms=100,
        telemetry={"interval_ms": 100, "commits": True, "timeout_ms": TIMEOUT_MS, **telemetry},
        **other,
    )
    make_topics(made, PARTITIONS)
    publish_policy_set(made, POLICIES, "the test")
    return made


def load(settings: Settings) -> None:
    """Traces over ten seconds of stream time, lately: what is old the broker deletes."""
    began_ms = time.time_ns() // 1_000_000 - 60_000
    records = []
    for number in range(TRACES):
        at_ms = began_ms + number * 10_000 // TRACES
        trace_id = (number * 0x9E3779B97F4A7C15 % 2**64 << 64 | number + 1).to_bytes(16, "big")
        value = trace(trace_id, number % 50, at_ms, 5.0, SPANS)
        records.append(Written(value, trace_id.hex().encode(), time_ms=at_ms))
    write(settings, settings.topics.input, records)


def all_decided(worker: RunningWorker) -> None:
    """Wait until each trace has its verdict, committed."""

    def decided(total: Counts) -> bool:
        return total.spans_in == SPANS * TRACES and total.traces_buffered == 0

    worker.wait_until(lambda: decided(worker.total), "all verdicts")


@contextmanager
def worked(settings: Settings) -> Iterator[RunningWorker]:
    """A worker that has decided all, and then stops."""
    load(settings)
    with RunningWorker(settings) as worker:
        all_decided(worker)
        yield worker


def committed(page: dict[str, dict[str, float]]) -> bool:
    return sum(page["streamsampler_spans_total"].values()) == SPANS * TRACES


@pytest.fixture
def receiver() -> Iterator[TelemetryReceiver]:
    with receiving_telemetry() as listening:
        yield listening


def result_of(span: Span) -> object:
    return told(span.attributes)["streamsampler.commit.result"]


def total_of(spans: list[Span], what: str) -> int:
    found = [told(span.attributes)[f"streamsampler.commit.{what}"] for span in spans]
    return sum(one for one in found if isinstance(one, int))


@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
def test_what_is_pushed_is_what_the_page_and_the_topics_say(
    kafka: str, prefix: str, tmp_path: Path, receiver: TelemetryReceiver, guarantee: str
) -> None:
    asked = {"endpoint": receiver.url, "headers": {"X-Key": "sesame"}}
    settings = settings_of(
        kafka, prefix, tmp_path, asked, guarantee=guarantee, instance_id="worker-7"
    )
    with worked(settings):
        wait_until(lambda: committed(scrape(settings)), "all spans to be committed")
        page = scrape(settings)
    last = metrics_of(receiver.metrics[-1])
    for name in COUNTERS:
        full = f"streamsampler_{name}_total"
        assert sums(last[full]) == page[full], full
    assert sum(sums(last["streamsampler_spans_total"]).values()) == SPANS * TRACES
    (resource,) = receiver.metrics[-1].resource_metrics
    who = told(resource.resource.attributes)
    assert (who["service.name"], who["service.instance.id"]) == ("streamsampler", "worker-7")
    assert receiver.headers["x-key"] == "sesame"
    spans = receiver.spans()
    assert {span.name for span in spans} == {"commit"}
    assert {result_of(span) for span in spans} == {"committed"}
    (took,) = last["streamsampler_commit_duration_seconds"].histogram.data_points
    assert len(spans) == took.count > 1
    assert total_of(spans, "decisions") == TRACES
    kept = read_all(settings, settings.topics.output)
    assert total_of(spans, "records") == len(kept)
    assert total_of(spans, "kept_bytes") == sum(len(one.value() or b"") for one in kept)
    transactions = {told(span.attributes)["streamsampler.commit.transaction"] for span in spans}
    assert transactions == {guarantee == "exactly_once"}


def test_counters_are_told_from_one_beginning_and_never_fall(
    kafka: str, prefix: str, tmp_path: Path, receiver: TelemetryReceiver
) -> None:
    settings = settings_of(kafka, prefix, tmp_path, {"endpoint": receiver.url, "commits": False})
    before_ns = time.time_ns()
    with worked(settings):
        wait_until(lambda: len(receiver.metrics) > 3, "some pushes")
    read = [
        metrics_of(one)["streamsampler_spans_in_total"].sum.data_points[0]
        for one in receiver.metrics
    ]
    assert {one.start_time_unix_nano for one in read} == {read[0].start_time_unix_nano}
    assert before_ns <= read[0].start_time_unix_nano < read[0].time_unix_nano
    for one, later in pairwise(read):
        assert one.as_double <= later.as_double
        assert one.time_unix_nano < later.time_unix_nano
    assert receiver.traces == []


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_takes_it(kafka: str, prefix: str, tmp_path: Path, protocol: str) -> None:
    with receiving(tmp_path) as collector:
        endpoint = collector.grpc if protocol == "grpc" else collector.http
        asked = {"endpoint": endpoint, "protocol": protocol, "timeout_ms": 10_000}
        with worked(settings_of(kafka, prefix, tmp_path, asked)):
            pass
        expected = {"streamsampler_spans_total", "streamsampler_lag_records", "commit"}
        wait_until(lambda: expected <= collector.names(), "what was pushed last")


@contextmanager
def nobody() -> Iterator[str]:
    """An endpoint where nobody listens."""
    (port,) = free_ports(1)
    yield f"127.0.0.1:{port}"


@contextmanager
def somebody_silent() -> Iterator[str]:
    """An endpoint that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def trouble(logs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in logs if one["event"] == "telemetry_trouble"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("endpoint", [nobody, somebody_silent])
def test_a_worker_that_nobody_listens_to_works_and_stops_in_time(
    kafka: str, prefix: str, tmp_path: Path, endpoint: Any, protocol: str
) -> None:
    with endpoint() as address, capture_logs() as logs:
        asked = {"endpoint": f"http://{address}", "protocol": protocol}
        settings = settings_of(kafka, prefix, tmp_path, asked)
        with worked(settings) as worker:
            worker.wait_until(lambda: bool(trouble(logs)), "a push to fail")
            assert worker.conserved
            stopped = time.monotonic()
        took = time.monotonic() - stopped
    # Leaving the group is what the rest is for.
    assert took < TIMEOUT_MS / 1_000 + 3
    sources = [one["source"] for one in trouble(logs)]
    assert len(sources) == len(set(sources))
