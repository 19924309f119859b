"""What `/metrics` of a worker says under load, held to the conservation law and to the topic."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_admin
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.watermarks import insist_on_watermarks
from tests.fleet.traces import trace
from tests.integration.sampling import (
    RunningWorker,
    Written,
    make_settings,
    make_topics,
    wait_until,
    write,
)
from tests.kafka_cluster import free_ports

PARTITIONS = 4
TRACES = 20_000
SPANS = 3
POLICIES = """
decision_wait: 2s
completion_grace: 1s
policies:
  - {name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}
"""
Page = dict[str, dict[str, float]]


@pytest.fixture
def settings(kafka: str, prefix: str, tmp_path: Path) -> Settings:
    (port,) = free_ports(1)
    http = {"address": f"127.0.0.1:{port}"}
    made = make_settings(kafka, prefix, tmp_path, http=http, commit_interval_ms=100)
    make_topics(made, PARTITIONS)
    publish_policy_set(made, POLICIES, "the test")
    return made


def scrape(settings: Settings) -> Page:
    """Each series' values, by the values of its labels."""
    with urllib.request.urlopen(f"http://{settings.http.address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: Page = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[" ".join(sample.labels.values())] = sample.value
    return found


def total(page: Page, name: str) -> float:
    return sum(page.get(f"streamsampler_{name}", {}).values())


def undecided(page: Page) -> float:
    """Spans that have no fate yet, from counters alone."""
    fates = total(page, "spans_total") + total(page, "spans_handed_over_total")
    return total(page, "spans_in_total") - fates


@contextmanager
def loaded(settings: Settings, began_ms: int) -> Iterator[None]:
    """Traces over ten seconds of stream time, and a worker."""
    records = []
    for number in range(TRACES):
        at_ms = began_ms + number * 10_000 // TRACES
        trace_id = (number * 0x9E3779B97F4A7C15 % 2**64 << 64 | number + 1).to_bytes(16, "big")
        value = trace(trace_id, number % 50, at_ms, 5.0, SPANS)
        records.append(Written(value, trace_id.hex().encode(), time_ms=at_ms))
    write(settings, settings.topics.input, records)
    with RunningWorker(settings):
        yield


def test_counters_conserve_spans_and_the_lag_is_the_true_one(settings: Settings) -> None:
    seen = []

    def taken_in() -> bool:
        try:
            seen.append(scrape(settings))
        except OSError:  # it does not listen yet
            return False
        return total(seen[-1], "spans_in_total") == SPANS * TRACES

    with loaded(settings, 1_700_000_000_000):
        wait_until(taken_in, "all spans")
        wait_until(lambda: undecided(scrape(settings)) == 0, "all verdicts")
        last = scrape(settings)
    assert len(seen) > 2
    for page in (*seen, last):
        assert total(page, "spans_unaccounted") == 0
        assert undecided(page) >= 0
    for before, after in pairwise(seen):
        assert total(before, "spans_in_total") <= total(after, "spans_in_total")
    assert undecided(last) == total(last, "buffered_spans") == 0
    assert total(last, "spans_total") == SPANS * TRACES
    assert total(last, "traces_total") == TRACES
    ends = insist_on_watermarks(
        make_admin(settings), settings.topics.input, range(PARTITIONS), 10_000
    )
    assert last["streamsampler_position_offset"] == {str(p): ends[p].end for p in ends}
    assert total(last, "lag_records") == 0
    # All records were there before: while it was behind, its lag was what it had not taken in.
    behind = [
        (ends[int(partition)].end - page["streamsampler_position_offset"][partition], lag)
        for page in seen
        for partition, lag in page.get("streamsampler_lag_records", {}).items()
    ]
    assert any(lag > 0 for _, lag in behind)
    assert all(true == lag for true, lag in behind), behind
