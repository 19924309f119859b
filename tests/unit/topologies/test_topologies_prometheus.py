"""Figures of groups and services as Prometheus reads them."""

from prometheus_client.parser import text_string_to_metric_families

from topologies.prometheus import MOST_ROWS, exposition
from topologies.red import Figures

GROUP: Figures = {
    "tenant": "gold", "root_service": "shop", "root_name": 'GET "/"', "traces": 200,
    "traces_per_second": 4.0, "error_share": 0.25, "kept": 50,
    "p50_ms": 20.0, "p95_ms": 80.0, "p99_ms": None,
}  # fmt: skip
SERVICE: Figures = {
    "service": "mail", "spans_per_second": 7.0, "lost_context": 3, "entry_spans": 12,
}  # fmt: skip


def samples(groups: list[Figures], services: list[Figures]) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for family in text_string_to_metric_families(exposition(groups, services).decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, []).append((labels, sample.value))
    return found


def test_every_figure_has_its_place() -> None:
    group = 'root_name=GET "/",root_service=shop,tenant=gold'
    assert samples([GROUP], [SERVICE]) == {
        "streamsampler_group_traces_per_second": [(group, 4.0)],
        "streamsampler_group_error_ratio": [(group, 0.25)],
        "streamsampler_group_kept_ratio": [(group, 0.25)],
        "streamsampler_group_duration_seconds": [
            (f"quantile=0.5,{group}", 0.02),
            (f"quantile=0.95,{group}", 0.08),
        ],
        "streamsampler_service_spans_per_second": [("service=mail", 7.0)],
        "streamsampler_service_lost_context_ratio": [("service=mail", 0.25)],
    }


def test_there_are_no_more_rows_than_there_may_be() -> None:
    groups = [{**GROUP, "root_name": str(number)} for number in range(MOST_ROWS + 5)]
    assert len(samples(groups, [])["streamsampler_group_traces_per_second"]) == MOST_ROWS
