"""A registry's metrics as OTLP has them: the same names, labels and values.

Source: OpenTelemetry specification, metrics data model (temporality, resets) and "Prometheus and
OpenMetrics compatibility". A counter keeps its `_total`: what translates OTLP to Prometheus does
not add a second one, and what does not translate shows the name that dashboards ask for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Final, TypeAlias

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    DataT,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric
from prometheus_client.samples import Sample

CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
UNITS: Final = {"seconds": "s", "bytes": "By"}
"""By the last word of a name, `total` aside."""

Labels: TypeAlias = tuple[tuple[str, str], ...]
Series: TypeAlias = tuple[str, Labels]


class OtlpMetrics:
    """Makes OTLP of families, one collection after the other.

    Args:
        collect: The families as of now.
        resource: Who tells.
        version: Of streamsampler.
        began_ns: When counting began, wall time.
    """

    def __init__(
        self,
        collect: Callable[[], Iterable[Metric]],
        resource: Resource,
        version: str,
        began_ns: int,
    ) -> None:
        self._collect = collect
        self._resource = resource
        self._scope = InstrumentationScope("streamsampler", version)
        self._starts = _Starts(began_ns)

    def at(self, now_ns: int) -> MetricsData:
        """Collect.

        Args:
            now_ns: Wall time; later than that of the collection before.

        Returns:
            All metrics that have a value.
        """
        moment = _Moment(self._starts, now_ns)
        metrics = [metric for family in self._collect() for metric in moment.metrics(family)]
        self._starts.collected(now_ns)
        scope = ScopeMetrics(self._scope, metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])


class _Starts:
    """When each cumulative series began: with the worker, or where it fell back to nothing."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = self._last_ns = began_ns
        self._before: dict[Series, tuple[float, int]] = {}
        self._now: dict[Series, tuple[float, int]] = {}

    def start_ns(self, series: Series, value: float) -> int:
        before, start_ns = self._before.get(series, (0.0, self._began_ns))
        if value < before:
            start_ns = self._last_ns
        self._now[series] = value, start_ns
        return start_ns

    def collected(self, now_ns: int) -> None:
        self._before, self._now, self._last_ns = self._now, {}, now_ns


@dataclass(frozen=True, slots=True)
class _Moment:
    """One collection."""

    starts: _Starts
    now_ns: int

    def metrics(self, family: Metric) -> Iterator[OtlpMetric]:
        """All of a family; a kind that OTLP does not have becomes gauges."""
        if family.type == "histogram":
            yield from self._named({family.name: family.samples}, family, self._histogram)
        elif family.type == "counter":
            totals = [one for one in family.samples if one.name.endswith("_total")]
            yield from self._named(_by_name(totals), family, self._sum)
        else:
            yield from self._named(_by_name(family.samples), family, self._gauge)

    def _named(
        self,
        by_name: Mapping[str, list[Sample]],
        family: Metric,
        made: Callable[[list[Sample], str], DataT],
    ) -> Iterator[OtlpMetric]:
        for name, samples in by_name.items():
            if samples:
                yield OtlpMetric(name, family.documentation, _unit(name), made(samples, name))

    def _gauge(self, samples: list[Sample], _: str) -> Gauge:
        return Gauge([self._number(one, self.now_ns) for one in samples])

    def _sum(self, samples: list[Sample], name: str) -> Sum:
        points = [
            self._number(one, self.starts.start_ns((name, _labels(one)), one.value))
            for one in samples
        ]
        return Sum(points, CUMULATIVE, is_monotonic=True)

    def _number(self, sample: Sample, start_ns: int) -> NumberDataPoint:
        return NumberDataPoint(sample.labels, start_ns, self.now_ns, float(sample.value))

    def _histogram(self, samples: list[Sample], name: str) -> Histogram:
        drawn: dict[Labels, _Drawn] = {}
        for one in samples:
            drawn.setdefault(_labels(one), _Drawn()).add(one, name)
        points = [
            HistogramDataPoint(
                dict(labels),
                self.starts.start_ns((name, labels), one.count),
                self.now_ns,
                one.count,
                one.sum,
                one.apart,
                one.bounds,
                min=None,  # type: ignore[arg-type]  # not known: OTLP leaves it out
                max=None,  # type: ignore[arg-type]  # likewise
            )
            for labels, one in drawn.items()
        ]
        return Histogram(points, CUMULATIVE)


@dataclass(slots=True)
class _Drawn:
    """A histogram of Prometheus', put together from its samples."""

    up_to: dict[float, int] = field(default_factory=dict)
    sum: float = 0.0

    def add(self, sample: Sample, name: str) -> None:
        part = sample.name.removeprefix(name)
        if part == "_bucket":
            self.up_to[float(sample.labels["le"])] = int(sample.value)
        elif part == "_sum":
            self.sum = sample.value

    @property
    def count(self) -> int:
        return self.up_to[inf]

    @property
    def bounds(self) -> list[float]:
        return sorted(self.up_to)[:-1]

    @property
    def apart(self) -> list[int]:
        """Of each bucket alone; Prometheus' hold those below, too."""
        counts = [self.up_to[bound] for bound in sorted(self.up_to)]
        return [upper - lower for lower, upper in pairwise([0, *counts])]


def _by_name(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    named: dict[str, list[Sample]] = {}
    for one in samples:
        named.setdefault(one.name, []).append(one)
    return named


def _labels(sample: Sample) -> Labels:
    return tuple((name, value) for name, value in sample.labels.items() if name != "le")


def _unit(name: str) -> str:
    return UNITS.get(name.removesuffix("_total").rpartition("_")[2], "")
