"""Each query of a dashboard and each alert names metrics and labels that exist."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.charts.helm import CHART
from tests.kafka_cluster import REPOSITORY
from tests.metrics_page import families

FUNCTIONS = {
    "abs", "deriv", "histogram_quantile", "increase", "max", "min", "rate", "sum", "time", "topk",
}  # fmt: skip
WORDS = {"by", "and", "or", "unless", "without", "on", "ignoring"}
KUBERNETES = {
    "kubelet_volume_stats_available_bytes": {"persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"persistentvolumeclaim"},
}
TARGETS = {"job", "pod", "namespace", "instance"}
"""Labels that Prometheus puts on whatever it scrapes."""
TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")|(?P<duration>\d+[smhd])|(?P<number>\d+(\.\d+)?)'
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/<>=!~(){}\[\],:]+)|(?P<blank>\s+)"
)


def known() -> dict[str, set[str]]:
    """The labels of each series, by its name."""
    found: dict[str, set[str]] = {name: set(labels) for name, labels in KUBERNETES.items()}
    for family in families():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def tokens(query: str) -> list[tuple[str, str]]:
    """Cut a query; whatever is none of PromQL's tokens fails."""
    found, at = [], 0
    while at < len(query):
        match = TOKEN.match(query, at)
        assert match is not None, query[at:]
        assert match.lastgroup is not None
        if match.lastgroup != "blank":
            found.append((match.lastgroup, match[0]))
        at = match.end()
    return found


def names_in(query: str) -> tuple[set[str], set[str]]:
    """The metrics and the labels that a query names."""
    metrics, labels = set(), set()
    depth, listing = 0, False
    for place, (kind, text) in enumerate(cut := tokens(query)):
        if kind == "sign":
            depth += text.count("{") - text.count("}")
            listing = listing and ")" not in text
        elif kind == "name":
            after = cut[place + 1][1] if place + 1 < len(cut) else ""
            if depth or listing:
                labels.add(text)
            elif text in WORDS:
                listing = text in {"by", "without", "on", "ignoring"}
            elif after.startswith("(") or (text in FUNCTIONS and after in {"by", "without"}):
                assert text in FUNCTIONS, f"{text} in {query}"
            else:
                metrics.add(text)
    return metrics, labels


def dashboards() -> Iterator[tuple[str, str]]:
    for path in sorted((CHART / "dashboards").glob("*.json")):
        document = json.loads(path.read_text())
        for panel in document["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]
        for variable in document["templating"]["list"]:
            match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
            if match:
                yield f"{path.stem}: {variable['name']}", f"sum by ({match[2]}) ({match[1]})"


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((CHART / "alerts" / "rules.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


QUERIES = [*dashboards(), *((rule["alert"], rule["expr"]) for rule in alerts())]


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_a_query_names_what_exists(where: str, query: str) -> None:
    series = known()
    metrics, labels = names_in(query)
    assert metrics <= series.keys(), where
    has = {"le"} if any(name.endswith("_bucket") for name in metrics) else set()
    for name in metrics:
        has |= series[name]
    assert metrics or "time()" in query
    assert labels <= has | TARGETS, where
    assert query.count("(") == query.count(")")


def test_a_slip_would_be_found() -> None:
    assert names_in('sum by (fate) (rate(no_such_total{x="y"}[5m]))') == (
        {"no_such_total"},
        {"fate", "x"},
    )


def test_every_alert_has_a_section_in_the_runbook() -> None:
    headings = set(
        re.findall(r"^## (\w+)$", (REPOSITORY / "docs/runbook.md").read_text(), re.MULTILINE)
    )
    assert headings == {rule["alert"] for rule in alerts()}
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in alerts())


NAME = re.compile(r"(streamsampler|process)_[a-z][a-z0-9_]*")


def test_names_and_help_follow_the_conventions() -> None:
    for family in families():
        assert NAME.fullmatch(family.name), family.name
        assert family.documentation.rstrip().endswith(".") or family.name.startswith("process_")
        if family.type == "gauge":
            assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
        for unit in ("_ms", "_milliseconds", "_kb", "_mb", "_percent"):
            assert not family.name.endswith(unit), family.name
