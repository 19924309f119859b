"""Figures of groups and services for Prometheus: of all traces, whatever was sampled of them.

The labels are names from spans, so there are as many rows as `MOST_ROWS` at most, those with most
traces or spans first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from topologies.red import Figures

PREFIX: Final = "streamsampler_"
MOST_ROWS: Final = 500
_GROUP: Final = ("tenant", "root_service", "root_name")
_QUANTILES: Final = (("0.5", "p50_ms"), ("0.95", "p95_ms"), ("0.99", "p99_ms"))
_MS_PER_SECOND: Final = 1_000


@dataclass(frozen=True, slots=True)
class RowGauge:
    """A gauge of every row.

    Attributes:
        name: Without prefix.
        meaning: A sentence.
        read: Its value.
    """

    name: str
    meaning: str
    read: Callable[[Figures], float]


GROUP_GAUGES: Final = (
    RowGauge(
        "group_traces_per_second",
        "Traces of the group in a second of the window, kept or not.",
        lambda row: row["traces_per_second"],
    ),
    RowGauge(
        "group_error_ratio",
        "Of the group's traces, those with an error, 0 to 1.",
        lambda row: row["error_share"],
    ),
    RowGauge(
        "group_kept_ratio",
        "Of the group's traces, those that were sampled, 0 to 1.",
        lambda row: row["kept"] / row["traces"] if row["traces"] else 0.0,
    ),
)
SERVICE_GAUGES: Final = (
    RowGauge(
        "service_spans_per_second",
        "Spans of the service in a second of the window, as estimated.",
        lambda row: row["spans_per_second"],
    ),
    RowGauge(
        "service_lost_context_ratio",
        "Of the spans by which the service is called, consumers with neither parent nor link.",
        lambda row: row["lost_context"] / row["entry_spans"] if row["entry_spans"] else 0.0,
    ),
)


def exposition(groups: Sequence[Figures], services: Sequence[Figures]) -> bytes:
    """Say figures in Prometheus' text format.

    Args:
        groups: Of `red.group_figures`.
        services: Of `red.service_figures`.

    Returns:
        The text.
    """
    registry = CollectorRegistry()
    registry.register(_Rows(groups[:MOST_ROWS], services[:MOST_ROWS]))
    return generate_latest(registry)


class _Rows(Collector):
    def __init__(self, groups: Sequence[Figures], services: Sequence[Figures]) -> None:
        self._groups = groups
        self._services = services

    def collect(self) -> Iterator[Metric]:
        for gauge in GROUP_GAUGES:
            yield _family(gauge, _GROUP, self._groups)
        for gauge in SERVICE_GAUGES:
            yield _family(gauge, ("service",), self._services)
        durations = GaugeMetricFamily(
            f"{PREFIX}group_duration_seconds",
            "Durations of the group's traces, kept or not, by quantile.",
            labels=[*_GROUP, "quantile"],
        )
        for row in self._groups:
            for quantile, name in _QUANTILES:
                if row[name] is not None:
                    value = row[name] / _MS_PER_SECOND
                    durations.add_metric([*_labels(_GROUP, row), quantile], value)
        yield durations


def _family(gauge: RowGauge, labels: Sequence[str], rows: Sequence[Figures]) -> Metric:
    family = GaugeMetricFamily(PREFIX + gauge.name, gauge.meaning, labels=list(labels))
    for row in rows:
        family.add_metric(_labels(labels, row), gauge.read(row))
    return family


def _labels(names: Sequence[str], row: dict[str, Any]) -> list[str]:
    return [row[name] for name in names]
