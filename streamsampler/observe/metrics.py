"""What Prometheus reads: every metric's name with a line on what it means.

Nearly all is made from the worker's standing when it is asked for, so that counting costs the loop
nothing. Labels are partitions and words of a fixed list, never anything that a span carries.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamsampler.observe.catalogue import (
    PARTITION_GAUGES,
    POLICY_TOTALS,
    PREFIX,
    SET_KINDS,
    SPLIT_TOTALS,
    STORE_TOTALS,
    TOTALS,
)
from streamsampler.observe.standing import (
    STATES,
    PartitionStanding,
    StoreStanding,
    WorkerStanding,
)
from streamsampler.observe.totals import Totals
from streamsampler.outcome import DELAYS_MS, Counts, GroupKnowledge, PolicyCounts

COMMIT_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The buckets of commit durations; the usual interval between commits is half a second."""


class Metrics:
    """A worker's metrics; owns their registry, which is nobody else's.

    Args:
        read: The worker's standing, asked for at every scrape.
    """

    def __init__(self, read: Callable[[], WorkerStanding]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Standings(read))
        ProcessCollector(registry=self.registry)
        self._commits = Histogram(
            f"{PREFIX}commit_duration_seconds",
            "How long commits that went through took.",
            registry=self.registry,
            buckets=COMMIT_SECONDS,
        )
        transactions = Counter(
            f"{PREFIX}transactions_total",
            "Kafka transactions, by how they ended.",
            ["result"],
            registry=self.registry,
        )
        self._committed = transactions.labels("committed")
        self._aborted = transactions.labels("aborted")
        self._refused = Counter(
            f"{PREFIX}policy_sets_refused_total",
            "Policy sets that were read and refused, by whose they were; the log says why. "
            "Those that the topic still has are read again at each start.",
            ["set"],
            registry=self.registry,
        )
        for kind in SET_KINDS:
            self._refused.labels(kind)
        self._restarts = Counter(
            f"{PREFIX}worker_restarts_total",
            "How often the worker was started anew after a failure.",
            registry=self.registry,
        )

    def committed(self, seconds: float, *, transaction: bool) -> None:
        """Count a commit that went through.

        Args:
            seconds: How long it took.
            transaction: Whether it was a Kafka transaction.
        """
        self._commits.observe(seconds)
        if transaction:
            self._committed.inc()

    def aborted(self) -> None:
        """Count a transaction that was aborted."""
        self._aborted.inc()

    def policy_set_refused(self, kind: str) -> None:
        """Count a policy set that was refused.

        Args:
            kind: One of `SET_KINDS`.
        """
        self._refused.labels(kind).inc()

    def restarted(self, times: int) -> None:
        """Count starts after a failure.

        Args:
            times: How many.
        """
        self._restarts.inc(times)

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """Say all metrics in a format that a client takes.

        Args:
            accept: Its `Accept` header; empty: Prometheus' text format.

        Returns:
            The content type and the text.
        """
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)


class _Standings(Collector):
    """Makes metrics from the standing of the moment."""

    def __init__(self, read: Callable[[], WorkerStanding]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Say nothing: the registry would otherwise ask for a standing to learn the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        standing = self._read()
        yield from _of_worker(standing)
        yield from _of_policies(standing.policy_counts)
        if standing.knowledge is not None:
            yield from _of_the_group(standing.knowledge)
        yield from _of_totals(standing.totals)
        yield _delays(standing.totals.counts)
        if standing.store is not None:
            yield from _of_store(standing.store)
        yield from _of_partitions(standing.partitions)


def _of_worker(standing: WorkerStanding) -> Iterator[Metric]:
    yield InfoMetricFamily(
        f"{PREFIX}worker",
        "What the worker is and what it runs.",
        {
            "worker": standing.worker,
            "version": standing.version,
            "guarantee": standing.guarantee,
            "policy_version": standing.policy_version or "",
        },
    )
    yield InfoMetricFamily(
        f"{PREFIX}policy_set",
        "The versions of the policy sets in force, all together and the default's.",
        {
            "version": standing.policy_version or "",
            "default_version": standing.policy_versions.get("default", ""),
        },
    )
    yield GaugeMetricFamily(
        f"{PREFIX}policy_sets",
        "How many policy sets are in force: the default and those of tenants who have their own.",
        len(standing.policy_versions),
    )
    yield GaugeMetricFamily(
        f"{PREFIX}ready", "1 where the worker is ready; /readyz says why not.", standing.ready
    )


def _of_policies(counts: Mapping[tuple[str, str], PolicyCounts]) -> Iterator[Metric]:
    for total in POLICY_TOTALS:
        parts = total.parts
        split = {} if callable(parts) else parts
        labels = ["set", "policy", *(["trigger"] if split else [])]
        family = CounterMetricFamily(PREFIX + total.name, total.meaning, labels=labels)
        for named, one in counts.items():
            if callable(parts):
                family.add_metric(list(named), parts(one))
            for trigger, read in split.items():
                family.add_metric([*named, trigger], read(one))
        yield family


def _of_the_group(knowledge: GroupKnowledge) -> Iterator[Metric]:
    times = GaugeMetricFamily(
        f"{PREFIX}table_timestamp_seconds",
        "Stream time up to which the control plane has told what the whole group knows; not there "
        "where it has told nothing.",
        labels=["table"],
    )
    for table, stream_ms in (
        ("thresholds", knowledge.thresholds_ms),
        ("rates", knowledge.rates_ms),
    ):
        if stream_ms is not None:
            times.add_metric([table], stream_ms / 1_000)
    yield times
    yield GaugeMetricFamily(
        f"{PREFIX}regressed_groups",
        "Groups of traces that have become slower than they were, as the control plane tells.",
        knowledge.regressed,
    )
    asked = CounterMetricFamily(
        f"{PREFIX}table_lookups",
        "Traces that went by a percentile or a rate, by where it came from: the control plane's "
        "table, the partition's own measure, or nowhere.",
        labels=["table", "source"],
    )
    for table, sources in (("thresholds", knowledge.thresholds), ("rates", knowledge.rates)):
        for source, count in sources.items():
            asked.add_metric([table, source], count)
    yield asked


def _of_totals(totals: Totals) -> Iterator[Metric]:
    for split in SPLIT_TOTALS:
        family = CounterMetricFamily(PREFIX + split.name, split.meaning, labels=split.labels)
        for values, part in split.parts.items():
            family.add_metric(list(values), part(totals))
        yield family
    for total in TOTALS:
        yield CounterMetricFamily(PREFIX + total.name, total.meaning, total.read(totals))


def _delays(counts: Counts) -> Metric:
    bounds = [str(bound / 1_000) for bound in DELAYS_MS]
    return HistogramMetricFamily(
        f"{PREFIX}decision_delay_seconds",
        "How long decided traces waited from their first span to their verdict, in stream time.",
        list(zip([*bounds, "+Inf"], accumulate(counts.delays), strict=True)),
        counts.delay_ms / 1_000,
    )


def _of_store(store: StoreStanding) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        f"{PREFIX}store_table_bytes",
        "RocksDB's tables on disk; what its memtables hold is not among them.",
        store.table_bytes,
    )
    for total in STORE_TOTALS:
        yield CounterMetricFamily(PREFIX + total.name, total.meaning, total.read(store))


def _of_partitions(partitions: tuple[PartitionStanding, ...]) -> Iterator[Metric]:
    for gauge in PARTITION_GAUGES:
        family = GaugeMetricFamily(PREFIX + gauge.name, gauge.meaning, labels=["partition"])
        for one in partitions:
            value = gauge.read(one)
            if value is not None:
                family.add_metric([str(one.partition)], value)
        yield family
    states = GaugeMetricFamily(
        f"{PREFIX}partition_state",
        "1 for the state that the partition is in, 0 for the others.",
        labels=["partition", "state"],
    )
    for one in partitions:
        for state in STATES:
            states.add_metric([str(one.partition), state], one.state == state)
    yield states
