"""What Prometheus reads, parsed back as Prometheus would."""

import re
from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamsampler.observe.catalogue import PARTITION_GAUGES, SPLIT_TOTALS, TOTALS
from streamsampler.observe.standing import PartitionStanding, StoreStanding
from streamsampler.observe.vitals import Vitals
from streamsampler.outcome import TRIGGERS, VERDICTS, Counts, PolicyCounts
from streamsampler.spans.malformed import REASONS

COUNTS = Counts(
    records=70,
    spans_in=71,
    kept=11,
    not_sampled=12,
    dropped=13,
    duplicates=14,
    dead_lettered=15,
    buffered=6,
    late_sampled=3,
    late_not_sampled=4,
    late_errors=1,
    traces=tuple(range(101, 113)),
    delays=(1, 2, *[0] * 15, 3),
    delay_ms=1_230_500,
    traces_buffered=2,
    records_keyless=31,
    records_key_mismatch=32,
    records_other_signal=33,
    records_without_spans=34,
    dead=tuple(range(1, len(REASONS) + 1)),
    decisions_forgotten=41,
    spans_out_forgotten=42,
    offsets_skipped=51,
)
FOURTH = PartitionStanding(
    partition=4,
    state="recovering",
    low_watermark=100,
    position=160,
    end=200,
    stream_time_ms=5_500,
    wall_ms=65_500,
    replayed=12,
    replay_total=48,
    expected_seconds=4.5,
    stopped="",
    buffered_bytes=3_000,
    block_bytes=3_500,
    counts=COUNTS,
)
NINTH = replace(
    FOURTH,
    partition=9,
    state="paused",
    low_watermark=None,
    position=None,
    end=None,
    stream_time_ms=-1,
    expected_seconds=None,
)


@pytest.fixture
def vitals() -> Vitals:
    told = Vitals("pod-1", "0.1.0", "exactly_once", now_ms=0)
    told.committed({4: COUNTS, 9: COUNTS}, 0.03)
    versions = {"default": "v5", "acme": "v6"}
    told.show("v7", [NINTH, FOURTH], settled=True, policy_versions=versions)
    return told


def families(vitals: Vitals) -> dict[str, Metric]:
    _, text = vitals.metrics.exposition("")
    return {family.name: family for family in parse_text(text.decode())}


def samples(vitals: Vitals, name: str) -> dict[tuple[str, ...], float]:
    """Of one metric, by the values of its labels in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families(vitals).values()
        for sample in family.samples
        if sample.name == f"streamsampler_{name}"
    }


def test_every_fate_of_a_span_has_its_total(vitals: Vitals) -> None:
    assert samples(vitals, "spans_total") == {
        ("kept",): 22,
        ("not_sampled",): 24,
        ("dropped",): 26,
        ("duplicate",): 28,
        ("dead_lettered",): 30,
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("late_spans_total", {("sampled",): 6, ("not_sampled",): 8}),
        ("late_error_spans_total", {(): 2}),
        ("spans_in_total", {(): 142}),
        ("spans_handed_over_total", {(): 0}),
        ("records_total", {(): 140}),
        ("records_keyless_total", {(): 62}),
        ("records_key_mismatch_total", {(): 64}),
        ("records_other_signal_total", {(): 66}),
        ("records_without_spans_total", {(): 68}),
        ("dead_letters_total", {(one,): 2 * (at + 1) for at, one in enumerate(REASONS)}),
        ("decisions_forgotten_total", {(): 82}),
        ("spans_out_forgotten_total", {(): 84}),
        ("offsets_skipped_total", {(): 102}),
        ("buffered_spans", {("4",): 6, ("9",): 6}),
        ("buffered_traces", {("4",): 2, ("9",): 2}),
        ("buffered_bytes", {("4",): 3_000, ("9",): 3_000}),
        ("store_block_bytes", {("4",): 3_500, ("9",): 3_500}),
        ("replay_records_done", {("4",): 12, ("9",): 12}),
        ("replay_records_expected", {("4",): 48, ("9",): 48}),
        ("partition_stopped", {("4",): 0, ("9",): 0}),
        ("spans_unaccounted", {("4",): 0, ("9",): 0}),
        ("worker_restarts_total", {(): 0}),
        ("ready", {(): 0}),
        ("policy_sets", {(): 2}),
        ("policy_set_info", {("v5", "v7"): 1}),
        ("policy_sets_refused_total", {("default",): 0, ("tenant",): 0}),
    ],
)
def test_metrics_say_what_was_shown(
    vitals: Vitals, name: str, expected: dict[tuple[str, ...], float]
) -> None:
    assert samples(vitals, name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("position_offset", {("4",): 160}),
        ("low_watermark_offset", {("4",): 100}),
        ("lag_records", {("4",): 40}),
        ("stream_time_timestamp_seconds", {("4",): 5.5}),
        ("stream_time_delay_seconds", {("4",): 60.0}),
        ("replay_expected_seconds", {("4",): 4.5}),
    ],
)
def test_what_is_not_known_is_not_shown(
    vitals: Vitals, name: str, expected: dict[tuple[str, ...], float]
) -> None:
    assert samples(vitals, name) == expected


def test_traces_are_told_by_verdict_and_trigger(vitals: Vitals) -> None:
    found = samples(vitals, "traces_total")
    assert found.keys() == set(product(VERDICTS, TRIGGERS))
    assert sum(found.values()) == 2 * sum(range(101, 113))
    assert found["sampled", "complete"] == 2 * 102
    assert found["not_sampled", "limit"] == 2 * 107


def test_decision_delays_are_a_histogram(vitals: Vitals) -> None:
    buckets = samples(vitals, "decision_delay_seconds_bucket")
    assert len(buckets) == 18
    assert (buckets["0.1",], buckets["0.5",], buckets["600.0",], buckets["+Inf",]) == (2, 6, 6, 12)
    assert samples(vitals, "decision_delay_seconds_count") == {(): 12}
    assert samples(vitals, "decision_delay_seconds_sum") == {(): 2_461}


def test_the_store_is_shown_as_soon_as_it_is_known(vitals: Vitals) -> None:
    assert not samples(vitals, "store_put_bytes_total")
    vitals.show("v7", [], settled=True, store=StoreStanding(5, 100, 20))
    vitals.show("v7", [], settled=True)  # it is not asked every time
    assert samples(vitals, "store_table_bytes") == {(): 5}
    assert samples(vitals, "store_put_bytes_total") == {(): 100}
    assert samples(vitals, "store_written_bytes_total") == {(): 20}


def test_a_worker_made_anew_counts_its_stores_together(vitals: Vitals) -> None:
    for put in (50, 100):
        vitals.show("v7", [], settled=True, store=StoreStanding(5, put, 20))
    vitals.restarted()
    assert samples(vitals, "store_put_bytes_total") == {(): 100}
    vitals.restarted()  # before it came to a store
    vitals.show("v7", [], settled=True, store=StoreStanding(1, 7, 3))
    assert samples(vitals, "store_table_bytes") == {(): 1}
    assert samples(vitals, "store_put_bytes_total") == {(): 107}
    assert samples(vitals, "store_written_bytes_total") == {(): 23}


def test_a_partition_is_in_one_state(vitals: Vitals) -> None:
    assert samples(vitals, "partition_state") == {
        ("4", "assigned"): 0,
        ("4", "recovering"): 1,
        ("4", "live"): 0,
        ("4", "paused"): 0,
        ("9", "assigned"): 0,
        ("9", "recovering"): 0,
        ("9", "live"): 0,
        ("9", "paused"): 1,
    }


def test_the_worker_says_what_it_runs(vitals: Vitals) -> None:
    assert samples(vitals, "worker_info") == {("exactly_once", "v7", "0.1.0", "pod-1"): 1}


def test_refused_policy_sets_are_counted_by_whose_they_were(vitals: Vitals) -> None:
    vitals.policy_set_refused("default")
    vitals.policy_set_refused("tenant")
    vitals.policy_set_refused("tenant")
    assert samples(vitals, "policy_sets_refused_total") == {("default",): 1, ("tenant",): 2}


def test_a_worker_without_policies_has_no_sets() -> None:
    vitals = Vitals("w", "1", "exactly_once", now_ms=0)
    assert samples(vitals, "policy_sets") == {(): 0}
    assert samples(vitals, "policy_set_info") == {("", ""): 1}


def test_a_worker_that_is_ready_says_so(vitals: Vitals) -> None:
    vitals.show("v7", [replace(FOURTH, state="live")], settled=True)
    assert samples(vitals, "ready") == {(): 1}


def test_a_partition_that_left_is_no_longer_shown_but_its_totals_stay(vitals: Vitals) -> None:
    vitals.left(4)
    vitals.show("v7", [NINTH], settled=True)
    assert samples(vitals, "buffered_spans") == {("9",): 6}
    assert samples(vitals, "spans_handed_over_total") == {(): 6}
    assert samples(vitals, "spans_in_total") == {(): 142}


def test_commits_and_their_durations_are_counted(vitals: Vitals) -> None:
    vitals.committed({}, 0.3)
    vitals.committed({}, None)  # there was nothing to write
    vitals.aborted()
    assert samples(vitals, "commit_duration_seconds_count") == {(): 2}
    assert samples(vitals, "commit_duration_seconds_sum") == {(): pytest.approx(0.33)}
    assert samples(vitals, "commit_duration_seconds_bucket")["0.05",] == 1
    assert samples(vitals, "transactions_total") == {("committed",): 2, ("aborted",): 1}


def test_where_there_are_no_transactions_none_is_counted() -> None:
    vitals = Vitals("w", "1", "at_least_once", now_ms=0)
    vitals.committed({0: Counts()}, 0.3)
    vitals.aborted()
    assert samples(vitals, "commit_duration_seconds_count") == {(): 1}
    assert samples(vitals, "transactions_total") == {("committed",): 0, ("aborted",): 0}


def test_two_workers_in_one_process_share_nothing(vitals: Vitals) -> None:
    other = Vitals("pod-2", "0.1.0", "exactly_once", now_ms=0)
    vitals.restarted()
    assert samples(vitals, "worker_restarts_total") == {(): 1}
    assert samples(other, "worker_restarts_total") == {(): 0}
    assert samples(other, "records_total") == {(): 0}


def test_names_follow_the_conventions_and_every_metric_says_what_it_means(vitals: Vitals) -> None:
    ours = {n: f for n, f in families(vitals).items() if not n.startswith("process_")}
    for name, family in ours.items():
        assert re.fullmatch(r"streamsampler(_[a-z]+)+", name)
        assert family.documentation.endswith(".")
    names = [one.name for one in (*TOTALS, *SPLIT_TOTALS, *PARTITION_GAUGES)]
    assert len(set(names)) == len(names)
    assert {f"streamsampler_{name}" for name in names} <= ours.keys()


def test_labels_are_partitions_and_words_of_a_list(vitals: Vitals) -> None:
    labels = {
        label
        for name, family in families(vitals).items()
        if name not in {"streamsampler_worker_info", "streamsampler_policy_set_info"}
        for sample in family.samples
        for label in sample.labels
    }
    assert labels == {
        "partition", "state", "fate", "decision", "trigger", "verdict", "reason", "result", "set",
        "le",
    }  # fmt: skip


@pytest.mark.parametrize("name", [one.name for one in fields(Counts)])
def test_nothing_that_is_counted_goes_unseen(vitals: Vitals, name: str) -> None:
    before = families(vitals)
    size = len(getattr(COUNTS, name)) if isinstance(getattr(COUNTS, name), tuple) else 0
    changes: Any = {name: (1_000,) * size if size else 1_000}
    more = replace(COUNTS, **changes)
    vitals.committed({4: more}, None)
    vitals.show("v7", [NINTH, replace(FOURTH, counts=more)], settled=True)
    changed = [one for one, family in families(vitals).items() if family != before[one]]
    assert [one for one in changed if not one.startswith(("process_", "streamsampler_spans_un"))]


def test_a_client_that_takes_openmetrics_gets_it(vitals: Vitals) -> None:
    content_type, text = vitals.metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    parsed = parse_open(text.decode())  # type: ignore[no-untyped-call]
    kinds = {family.name: family.type for family in parsed}
    assert kinds["streamsampler_spans"] == "counter"
    assert kinds["streamsampler_commit_duration_seconds"] == "histogram"
    assert kinds["streamsampler_worker"] == "info"


LABELS = ("set", "policy", "trigger")


def test_each_policy_has_counters_of_its_own() -> None:
    vitals = Vitals("pod-1", "1.0.0", "exactly_once", 0)
    told = {
        ("default", "slow"): PolicyCounts((1, 5, 6, 7), 2, 3, 4),
        ("acme", "slow"): PolicyCounts((0, 0, 9, 0)),
    }
    vitals.show("v7", [], settled=True, policy_counts=told)
    told["default", "slow"].votes += 5  # the engine counts on while the page is read
    _, text = vitals.metrics.exposition("")
    found = {
        (
            sample.name.removeprefix("streamsampler_policy_"),
            *(sample.labels[label] for label in LABELS if label in sample.labels),
        ): sample.value
        for family in parse_text(text.decode())
        for sample in family.samples
        if sample.name.startswith("streamsampler_policy_") and "policy" in sample.labels
    }
    names = ("votes", "failures", "dry_run_changes")
    assert [found[f"{name}_total", "default", "slow"] for name in names] == [2, 3, 4]
    decisions = [found["decisions_total", "default", "slow", trigger] for trigger in TRIGGERS]
    assert decisions == [1, 5, 6, 7]
    assert found["decisions_total", "acme", "slow", "limit"] == 9
