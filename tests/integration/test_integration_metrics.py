"""What `/metrics` of a worker says under load, held to the conservation law and to the topic."""

import time
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
LARGE = 5
"""Spans of every hundredth trace, more than a trace may have."""
LARGE_TRACES = TRACES // 100
ALL_SPANS = SPANS * (TRACES - LARGE_TRACES) + LARGE * LARGE_TRACES
BAD: dict[str, tuple[int, bytes | None]] = {
    "empty_value": (3, None),
    "truncated": (5, b"\x0a\x05abc"),
    "bad_tag": (7, bytes(3)),
}
"""By reason: how many records, and their value."""
BAD_RECORDS = sum(count for count, _ in BAD.values())
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
    limits = {"spans_per_trace": LARGE}
    made = make_settings(kafka, prefix, tmp_path, http=http, limits=limits, commit_interval_ms=100)
    make_topics(made, PARTITIONS)
    publish_policy_set(made, POLICIES, "the test")
    return made


def scrape(settings: Settings) -> Page:
    """Each series' values, by the values of its labels in the order of their names."""
    with urllib.request.urlopen(f"http://{settings.http.address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: Page = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values = " ".join(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[values] = sample.value
    return found


def total(page: Page, name: str) -> float:
    return sum(page.get(f"streamsampler_{name}", {}).values())


def undecided(page: Page) -> float:
    """Spans that have no fate yet, from counters alone."""
    fates = total(page, "spans_total") + total(page, "spans_handed_over_total")
    return total(page, "spans_in_total") - fates


@contextmanager
def loaded(settings: Settings, began_ms: int) -> Iterator[None]:
    """Traces over ten seconds of stream time, bad records among them, and a worker."""
    records = []
    for number in range(TRACES):
        at_ms = began_ms + number * 10_000 // TRACES
        trace_id = (number * 0x9E3779B97F4A7C15 % 2**64 << 64 | number + 1).to_bytes(16, "big")
        value = trace(trace_id, number % 50, at_ms, 5.0, SPANS if number % 100 else LARGE)
        records.append(Written(value, trace_id.hex().encode(), time_ms=at_ms))
    for count, bad in BAD.values():
        records[1000:1000] = [Written(bad, b"0" * 32, time_ms=began_ms) for _ in range(count)]
    write(settings, settings.topics.input, records)
    with RunningWorker(settings):
        yield


def of(page: Page, name: str, label: int) -> dict[str, float]:
    """A metric's values by one of its labels, counted in the order of their names."""
    found: dict[str, float] = {}
    for values, value in page.get(f"streamsampler_{name}", {}).items():
        word = values.split()[label]
        found[word] = found.get(word, 0) + value
    return found


def assert_verdicts(page: Page) -> None:
    """All verdicts are in: by trigger, by policy and by how long they took."""
    triggers = of(page, "traces_total", 1)
    assert triggers["limit"] == LARGE_TRACES
    assert triggers["complete"] + triggers["timeout"] == TRACES - LARGE_TRACES
    assert triggers["shutdown"] == 0
    sampled = of(page, "traces_total", 0)["sampled"]
    assert 0.45 * TRACES < sampled < 0.55 * TRACES
    assert total(page, "policy_decisions_total") == sampled
    within = page["streamsampler_decision_delay_seconds_bucket"]
    assert within["0.1"] == LARGE_TRACES
    assert within["2.0"] == within["+Inf"] == TRACES  # as long as a trace waits
    dead = of(page, "dead_letters_total", 0)
    assert {reason: count for reason, count in dead.items() if count} == {
        reason: count for reason, (count, _) in BAD.items()
    }


def assert_clocks_and_store(page: Page, now_seconds: float) -> None:
    """Clocks are as far behind as they say, and what was buffered went through the store."""
    delays = page["streamsampler_stream_time_delay_seconds"]
    assert len(delays) == PARTITIONS
    for partition, at in page["streamsampler_stream_time_timestamp_seconds"].items():
        assert delays[partition] == pytest.approx(now_seconds - at, abs=5)
    put = total(page, "store_put_bytes_total")
    assert 100 * TRACES < put < 10_000 * TRACES
    assert total(page, "store_written_bytes_total") < 2 * put
    assert total(page, "store_table_bytes") >= 0


def test_counters_conserve_spans_and_the_lag_is_the_true_one(settings: Settings) -> None:
    seen = []

    def taken_in() -> bool:
        try:
            seen.append(scrape(settings))
        except OSError:  # it does not listen yet
            return False
        return total(seen[-1], "spans_in_total") == ALL_SPANS + BAD_RECORDS

    with loaded(settings, 1_700_000_000_000):
        wait_until(taken_in, "all spans")
        wait_until(lambda: undecided(scrape(settings)) == 0, "all verdicts")
        wait_until(lambda: total(scrape(settings), "store_put_bytes_total") > 0, "the store")
        last, now_seconds = scrape(settings), time.time()
    assert len(seen) > 2
    for page in (*seen, last):
        assert total(page, "spans_unaccounted") == 0
        assert undecided(page) >= 0
        # Each trace has one trigger, one delay, and a policy that says yes where it was sampled.
        delays = total(page, "decision_delay_seconds_count")
        assert delays == total(page, "traces_total") == sum(of(page, "traces_total", 1).values())
        assert total(page, "dead_letters_total") == of(page, "spans_total", 0)["dead_lettered"]
    for before, after in pairwise(seen):
        assert total(before, "spans_in_total") <= total(after, "spans_in_total")
    assert undecided(last) == total(last, "buffered_spans") == 0
    assert total(last, "spans_total") == ALL_SPANS + BAD_RECORDS
    assert total(last, "traces_total") == TRACES
    assert_verdicts(last)
    assert_clocks_and_store(last, now_seconds)
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
