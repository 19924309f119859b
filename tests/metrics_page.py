"""docs/metrics.md, made from what a worker, a forwarder and the health app tell."""

from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamsampler.forward.figures import Figures
from streamsampler.observe.standing import StoreStanding
from streamsampler.observe.vitals import Vitals
from streamsampler.outcome import Counts, GroupKnowledge, PolicyCounts
from tests.kafka_cluster import REPOSITORY
from tests.unit.observe.test_observe_metrics import FOURTH
from tests.unit.topologies.test_topologies_prometheus import GROUP, SERVICE
from topologies.prometheus import exposition

PAGE = REPOSITORY / "docs" / "metrics.md"
HEAD = """# Metrics

Made from the code by `make docs`. Labels are partitions, words of fixed lists, and the names of
policies and sets; those of the health app are names from spans, 500 rows at most. Counters are of a
worker's life, as of its last commit. A worker pushes its own by OTLP, too, where that is set:
[telemetry.md](telemetry.md).
"""


def worker_vitals() -> Vitals:
    """Of a worker that has something to say of everything."""
    vitals = Vitals("worker-1", "0.1.0", "exactly_once", 0)
    vitals.committed({4: Counts(records=1)}, 0.1)
    vitals.show(
        "v", [FOURTH], settled=True, policy_versions={"default": "v"},
        policy_counts={("default", "errors"): PolicyCounts()},
        knowledge=GroupKnowledge(1, 1, {"table": 1}, {"own": 1}, 0),
        store=StoreStanding(0, 0, 0),
    )  # fmt: skip
    return vitals


def of_worker() -> Iterator[Metric]:
    """What a worker tells."""
    told = worker_vitals().metrics.exposition("")[1].decode()
    yield from text_string_to_metric_families(told)


def of_health() -> Iterator[Metric]:
    """What the health app tells."""
    yield from text_string_to_metric_families(exposition([GROUP], [SERVICE]).decode())


def of_forwarder() -> Iterator[Metric]:
    """What a forwarder tells."""
    yield from text_string_to_metric_families(generate_latest(Figures().registry).decode())


def families() -> Iterator[Metric]:
    """All of them."""
    yield from of_worker()
    yield from of_health()
    yield from of_forwarder()


def page() -> str:
    """Write the page."""
    parts = [HEAD]
    sources = (
        ("A worker", "`http.address`, port 9478", of_worker()),
        ("The health app", "`topology.web_address`, port 6066", of_health()),
        ("A forwarder", "`http.address`", of_forwarder()),
    )
    for title, where, told in sources:
        parts.append(f"## {title}\n\nUnder `/metrics` of {where}.\n")
        parts.append("| metric | kind | labels | |\n|---|---|---|---|")
        parts.append("\n".join(_rows(told)) + "\n")
    return "\n".join(parts)


def _rows(told: Iterable[Metric]) -> Iterator[str]:
    for family in sorted(told, key=lambda one: one.name):
        if family.name.startswith("process_") or family.name.endswith("_created"):
            continue
        labels = sorted({label for one in family.samples for label in one.labels} - {"le"})
        named = ", ".join(f"`{label}`" for label in labels)
        total = "_total" if family.type == "counter" else ""
        yield f"| `{family.name}{total}` | {family.type} | {named} | {family.documentation} |"


if __name__ == "__main__":
    PAGE.write_text(page())
