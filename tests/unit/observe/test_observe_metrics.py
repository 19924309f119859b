"""What Prometheus reads, parsed back as Prometheus would."""

import re
from dataclasses import fields, replace

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamsampler.observe.catalogue import PARTITION_GAUGES, SPLIT_TOTALS, TOTALS
from streamsampler.observe.standing import PartitionStanding
from streamsampler.observe.vitals import Vitals
from streamsampler.outcome import Counts, PolicyCounts

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
    traces_sampled=21,
    traces_not_sampled=22,
    traces_dropped=23,
    traces_buffered=2,
    records_keyless=31,
    records_key_mismatch=32,
    records_other_signal=33,
    records_without_spans=34,
    records_dead=15,
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
    replayed=12,
    replay_total=48,
    expected_seconds=4.5,
    stopped="",
    buffered_bytes=3_000,
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
        ("traces_total", {("sampled",): 42, ("not_sampled",): 44, ("dropped",): 46}),
        ("late_spans_total", {("sampled",): 6, ("not_sampled",): 8}),
        ("late_error_spans_total", {(): 2}),
        ("spans_in_total", {(): 142}),
        ("spans_handed_over_total", {(): 0}),
        ("records_total", {(): 140}),
        ("records_keyless_total", {(): 62}),
        ("records_key_mismatch_total", {(): 64}),
        ("records_other_signal_total", {(): 66}),
        ("records_without_spans_total", {(): 68}),
        ("dead_letters_total", {(): 30}),
        ("decisions_forgotten_total", {(): 82}),
        ("spans_out_forgotten_total", {(): 84}),
        ("offsets_skipped_total", {(): 102}),
        ("buffered_spans", {("4",): 6, ("9",): 6}),
        ("buffered_traces", {("4",): 2, ("9",): 2}),
        ("buffered_bytes", {("4",): 3_000, ("9",): 3_000}),
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
        ("replay_expected_seconds", {("4",): 4.5}),
    ],
)
def test_what_is_not_known_is_not_shown(
    vitals: Vitals, name: str, expected: dict[tuple[str, ...], float]
) -> None:
    assert samples(vitals, name) == expected


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
    assert labels == {"partition", "state", "fate", "decision", "verdict", "result", "set", "le"}


@pytest.mark.parametrize("name", [one.name for one in fields(Counts)])
def test_nothing_that_is_counted_goes_unseen(vitals: Vitals, name: str) -> None:
    before = families(vitals)
    more = replace(COUNTS, **{name: 1_000})
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


def test_each_policy_has_counters_of_its_own() -> None:
    vitals = Vitals("pod-1", "1.0.0", "exactly_once", 0)
    told = {("default", "slow"): PolicyCounts(1, 2, 3, 4), ("acme", "slow"): PolicyCounts(named=9)}
    vitals.show("v7", [], settled=True, policy_counts=told)
    told["default", "slow"].named += 5  # the engine counts on while the page is read
    _, text = vitals.metrics.exposition("")
    found = {
        (sample.name, sample.labels["set"], sample.labels["policy"]): sample.value
        for family in parse_text(text.decode())
        for sample in family.samples
        if sample.name.startswith("streamsampler_policy_") and "policy" in sample.labels
    }
    names = ("decisions", "votes", "failures", "dry_run_changes")
    assert [found[f"streamsampler_policy_{name}_total", "default", "slow"] for name in names] == [
        1, 2, 3, 4,
    ]  # fmt: skip
    assert found["streamsampler_policy_decisions_total", "acme", "slow"] == 9
