"""Decisions summed up: verdicts, triggers, durations, bad records, and which traces are drawn."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.outcome import Decision
from streamsampler.report.examples import Examples
from streamsampler.report.tally import (
    SHOWN_BAD_RECORDS,
    SHOWN_TRACES,
    BadRecord,
    bin_edge_ns,
    duration_bin,
    tally_of,
)
from streamsampler.spans.payload import new_traces

MS = 1_000_000


def decision(
    number: int = 1,
    verdict: str = "sampled",
    policy: str | None = "errors",
    trigger: str = "complete",
    duration_ns: int = 5 * MS,
    *,
    error: bool = False,
) -> Decision:
    return Decision(
        partition=0,
        trace_id=number.to_bytes(16, "big"),
        decision=verdict,
        policy=policy,
        trigger=trigger,
        threshold=None,
        adjusted_count=1.0,
        spans=3,
        size_bytes=900,
        duration_ns=duration_ns,
        tenant=None,
        error=error,
        decided_at_ms=0,
        first_offset=0,
        policy_version="0" * 12,
    )


def value_of(*names: bytes) -> bytes:
    traces = new_traces()
    scope_spans = traces.resource_spans.add().scope_spans.add()
    for name in names:
        scope_spans.spans.add().name = name
    return traces.SerializeToString()


def test_verdicts_are_counted_by_decision_and_policy() -> None:
    tally = tally_of(
        [
            decision(1),
            decision(2),
            decision(3, policy="slow", trigger="timeout"),
            decision(4, "dropped", "noise"),
            decision(5, "not_sampled", None),
        ]
    )

    counted = {key: (verdict.traces, verdict.spans) for key, verdict in tally.verdicts.items()}
    assert counted == {
        ("sampled", "errors"): (2, 6),
        ("sampled", "slow"): (1, 3),
        ("dropped", "noise"): (1, 3),
        ("not_sampled", None): (1, 3),
    }
    assert tally.triggers == {"complete": 4, "timeout": 1}
    assert (tally.traces, tally.traces_with("sampled"), tally.traces_with("dropped")) == (5, 3, 1)


def test_a_long_run_lists_no_more_traces_than_a_page_can_show() -> None:
    kept = [decision(number) for number in range(SHOWN_TRACES + 10)]
    rest = [decision(number, "not_sampled", None) for number in range(SHOWN_TRACES + 20)]

    tally = tally_of(kept + rest)

    assert (len(tally.sampled), len(tally.others)) == (SHOWN_TRACES, SHOWN_TRACES)
    assert tally.traces == 2 * SHOWN_TRACES + 30


def test_all_bad_records_are_counted_and_the_first_are_listed() -> None:
    tally = tally_of([])
    for line in range(12):
        reason = "bad_json" if line % 3 else "zero_trace_id"
        tally.refused(BadRecord(f"traces.jsonl:{line}", reason, "It is broken; mend it."))

    assert tally.bad_reasons == {"bad_json": 8, "zero_trace_id": 4}
    assert [bad.place for bad in tally.bad_records] == [
        f"traces.jsonl:{line}" for line in range(SHOWN_BAD_RECORDS)
    ]


@pytest.mark.parametrize(
    ("duration_ns", "place"),
    [(-MS, 0), (0, 0), (MS - 1, 0), (MS, 1), (3 * MS, 1), (4 * MS, 2), (10 * MS, 3)],
)
def test_durations_fall_into_bins_of_half_a_decade(duration_ns: int, place: int) -> None:
    assert duration_bin(duration_ns) == place


@given(st.integers(0, 2**63))
def test_a_duration_lies_between_the_edges_of_its_bin(duration_ns: int) -> None:
    place = duration_bin(duration_ns)
    assert duration_ns < bin_edge_ns(place)
    assert place == 0 or duration_ns >= bin_edge_ns(place - 1)


def test_the_slowest_with_an_error_are_drawn_first_then_the_slowest_without() -> None:
    offered = [
        (decision(1, duration_ns=30 * MS), [value_of(b"slow")]),
        (decision(2, duration_ns=10 * MS), [value_of(b"quick")]),
        (decision(3, duration_ns=20 * MS), [value_of(b"middling")]),
        (decision(4, duration_ns=5 * MS, error=True), [value_of(b"failed"), value_of(b"leaf")]),
        (decision(5, duration_ns=4 * MS, error=True), [value_of(b"failed, quick")]),
        (decision(6, duration_ns=3 * MS, error=True), [value_of(b"failed, quickest")]),
    ]
    for order in list(permutations(offered))[::37]:
        examples = Examples(most=2)
        for one, values in order:
            examples.offer(one, values)
        names = [[span.name for span in example.spans] for example in examples.picked()]
        assert names == [["failed", "leaf"], ["failed, quick"], ["slow"], ["middling"]]


def test_a_trace_too_large_to_draw_is_not_picked() -> None:
    examples = Examples(max_bytes=100)
    examples.offer(decision(1), [value_of(b"x" * 200)])
    examples.offer(decision(2), [])

    assert examples.picked() == []
