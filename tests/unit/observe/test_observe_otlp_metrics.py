"""A registry as OTLP: the same series with the same values, each with its beginning."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamsampler.observe.otlp_metrics import OtlpMetrics
from tests.metrics_page import worker_vitals

BEGAN, NOW = 1_000, 5_000
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
Key = tuple[str, frozenset[tuple[str, str]]]


def metrics_of(families: Iterable[Family]) -> OtlpMetrics:
    held = list(families)
    return OtlpMetrics(lambda: held, Resource({"service.name": "s"}), "1.2.3", BEGAN)


def on_the_wire(data: MetricsData) -> dict[str, Metric]:
    """By name, as the official encoder writes them."""
    (resource,) = encode_metrics(data).resource_metrics
    (scope,) = resource.scope_metrics
    return {one.name: one for one in scope.metrics}


def wire(*families: Family) -> dict[str, Metric]:
    return on_the_wire(metrics_of(families).at(NOW))


def attributes(point: object) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}  # type: ignore[attr-defined]  # of three kinds of points


def test_a_counter_is_a_sum_that_only_grows_since_the_worker_began() -> None:
    family = CounterMetricFamily("spans", "Spans.", labels=["fate"])
    family.add_metric(["kept"], 7)
    metric = wire(family)["spans_total"]
    assert metric.description == "Spans."
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == CUMULATIVE
    (point,) = metric.sum.data_points
    assert (point.as_double, attributes(point)) == (7, {"fate": "kept"})
    assert (point.start_time_unix_nano, point.time_unix_nano) == (BEGAN, NOW)


def test_when_a_counter_was_made_is_no_series() -> None:
    registry = CollectorRegistry()
    Counter("restarts_total", "Restarts.", registry=registry).inc()
    assert list(wire(*registry.collect())) == ["restarts_total"]


def test_a_gauge_is_a_gauge_and_a_truth_is_a_number() -> None:
    metric = wire(GaugeMetricFamily("ready", "Ready.", value=True))["ready"]
    (point,) = metric.gauge.data_points
    assert (point.as_double, point.time_unix_nano) == (1.0, NOW)


def test_an_info_is_a_gauge_of_one_with_what_it_says() -> None:
    metric = wire(InfoMetricFamily("worker", "Worker.", {"version": "1"}))["worker_info"]
    (point,) = metric.gauge.data_points
    assert (point.as_double, attributes(point)) == (1.0, {"version": "1"})


def test_buckets_hold_what_is_between_their_bounds() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("took_seconds", "Took.", registry=registry, buckets=(1, 2, 5))
    for seconds in (0.5, 1.0, 1.5, 4, 4, 9):
        histogram.observe(seconds)
    metric = wire(*registry.collect())["took_seconds"]
    assert metric.histogram.aggregation_temporality == CUMULATIVE
    (point,) = metric.histogram.data_points
    assert list(point.explicit_bounds) == [1, 2, 5]
    assert list(point.bucket_counts) == [2, 1, 2, 1]
    assert (point.count, point.sum) == (6, 20.0)
    assert not point.HasField("min")
    assert not point.HasField("max")
    assert (point.start_time_unix_nano, point.time_unix_nano) == (BEGAN, NOW)


def test_a_histogram_with_labels_is_a_point_for_each() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("took", "Took.", ["by"], registry=registry, buckets=(1,))
    histogram.labels("a").observe(0.5)
    histogram.labels("b").observe(2)
    points = wire(*registry.collect())["took"].histogram.data_points
    assert {attributes(one)["by"]: list(one.bucket_counts) for one in points} == {
        "a": [1, 0],
        "b": [0, 1],
    }


def test_a_kind_that_otlp_has_not_comes_as_gauges() -> None:
    registry = CollectorRegistry()
    Summary("size", "Size.", registry=registry).observe(3)
    found = wire(*registry.collect())
    assert found["size_count"].gauge.data_points[0].as_double == 1
    assert found["size_sum"].gauge.data_points[0].as_double == 3


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("commit_duration_seconds", "s"),
        ("process_cpu_seconds_total", "s"),
        ("buffered_bytes", "By"),
        ("lag_records", ""),
        ("ready", ""),
    ],
)
def test_the_unit_is_in_the_name(name: str, unit: str) -> None:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    assert wire(kind(name, "A meaning.", value=1))[name].unit == unit


def test_a_family_without_series_is_left_out() -> None:
    assert wire(GaugeMetricFamily("lag", "Lag.", labels=["partition"])) == {}


def test_who_tells_is_said() -> None:
    (resource,) = metrics_of([]).at(NOW).resource_metrics
    assert resource.resource.attributes == {"service.name": "s"}
    (scope,) = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("streamsampler", "1.2.3")


def test_a_counter_that_falls_began_anew_after_it_was_told_last() -> None:
    values = iter([5.0, 8.0, 2.0, 3.0])

    def collect() -> Iterator[Family]:
        yield CounterMetricFamily("votes", "Votes.", value=next(values))

    metrics = OtlpMetrics(collect, Resource({}), "1", BEGAN)
    starts = []
    for now in (10_000, 20_000, 30_000, 40_000):
        (point,) = on_the_wire(metrics.at(now))["votes_total"].sum.data_points
        starts.append(point.start_time_unix_nano)
    assert starts == [BEGAN, BEGAN, 20_000, 20_000]


def pushed(found: Mapping[str, Metric]) -> dict[Key, float]:
    """Each series' value, by the names that Prometheus has for it."""
    values: dict[Key, float] = {}
    for name, metric in found.items():
        for point in (*metric.gauge.data_points, *metric.sum.data_points):
            values[name, frozenset(attributes(point).items())] = point.as_double
        for drawn in metric.histogram.data_points:
            labels = frozenset(attributes(drawn).items())
            values[f"{name}_count", labels] = drawn.count
            values[f"{name}_sum", labels] = drawn.sum
            bounds = [*map(float, drawn.explicit_bounds), float("inf")]
            for bound, count in zip(bounds, accumulate(drawn.bucket_counts), strict=True):
                values[f"{name}_bucket", labels | {("le", str(bound))}] = count
    return values


def scraped(registry: CollectorRegistry) -> dict[Key, float]:
    return {
        (sample.name, frozenset((k, _bound(k, v)) for k, v in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def _bound(label: str, value: str) -> str:
    return str(float(value)) if label == "le" else value


LABELS = st.sampled_from(["a", "b", 'c"\n'])
AMOUNTS = st.floats(0, 1e9)


@given(
    st.lists(st.tuples(LABELS, AMOUNTS)),
    st.lists(st.tuples(LABELS, st.floats(allow_nan=False))),
    st.lists(st.tuples(LABELS, AMOUNTS)),
)
def test_what_is_pushed_is_what_is_scraped(
    counted: list[tuple[str, float]],
    measured: list[tuple[str, float]],
    observed: list[tuple[str, float]],
) -> None:
    registry = CollectorRegistry()
    counter = Counter("counted", "Counted.", ["by"], registry=registry)
    gauge = Gauge("measured", "Measured.", ["by"], registry=registry)
    histogram = Histogram("observed", "Observed.", ["by"], registry=registry)
    for label, amount in counted:
        counter.labels(label).inc(amount)
    for label, amount in measured:
        gauge.labels(label).set(amount)
    for label, amount in observed:
        histogram.labels(label).observe(amount)
    metrics = OtlpMetrics(registry.collect, Resource({}), "1", BEGAN)
    assert pushed(on_the_wire(metrics.at(NOW))) == scraped(registry)


def test_all_that_a_worker_says_is_pushed() -> None:
    registry = worker_vitals().metrics.registry
    metrics = OtlpMetrics(registry.collect, Resource({}), "1", BEGAN)
    found = pushed(on_the_wire(metrics.at(NOW)))
    told = scraped(registry)
    assert found.keys() == told.keys()
    own = {key: value for key, value in told.items() if key[0].startswith("streamsampler_")}
    assert {key: found[key] for key in own} == own
