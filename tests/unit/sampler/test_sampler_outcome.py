"""Decisions as bytes and as lines; counts and their law."""

import dataclasses
import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.outcome import TRIGGERS, VERDICTS
from streamsampler.sampler import Counts, Decision
from streamsampler.spans.malformed import REASONS

TEXT = st.none() | st.text(max_size=10)
INT = st.integers(0, 2**63 - 1)
DECISIONS = st.builds(
    Decision,
    partition=st.integers(0, 2**31 - 1),
    trace_id=st.binary(min_size=16, max_size=16),
    decision=st.sampled_from(["sampled", "not_sampled", "dropped"]),
    policy=TEXT,
    trigger=st.sampled_from(["complete", "timeout", "limit", "shutdown"]),
    threshold=st.none() | st.from_regex(r"[0-9a-f]{1,14}", fullmatch=True),
    adjusted_count=st.none() | st.floats(1, 2**56),
    spans=INT,
    size_bytes=INT,
    duration_ns=INT,
    tenant=TEXT,
    error=st.booleans(),
    decided_at_ms=INT,
    first_offset=INT,
    policy_version=st.text(max_size=12),
    spans_out=st.binary(max_size=24),
    grounds=TEXT,
    dry_run=TEXT,
)
DECISION = Decision(
    partition=3, trace_id=bytes(range(16)), decision="sampled", policy="slow", trigger="complete",
    threshold="8", adjusted_count=2.0, spans=7, size_bytes=900, duration_ns=1_500_000,
    tenant="gold", error=True, decided_at_ms=123_456, first_offset=42, policy_version="abc",
    spans_out=bytes(range(56)), grounds="duration over 500 ms", dry_run="canary",
)  # fmt: skip


@given(DECISIONS)
def test_a_decision_comes_back_as_it_was_packed(decision: Decision) -> None:
    again = Decision.unpack(decision.partition, decision.trace_id, decision.pack())
    assert again == decision
    assert isinstance(again, Decision)


def test_the_partition_and_the_id_are_those_of_the_record() -> None:
    assert Decision.unpack(9, b"k" * 16, DECISION.pack()) == DECISION._replace(
        partition=9, trace_id=b"k" * 16
    )


def test_a_decision_of_the_version_before_is_read() -> None:
    older = msgpack.packb([2, *msgpack.unpackb(DECISION.pack())[1:-2]])
    assert Decision.unpack(3, DECISION.trace_id, older) == DECISION._replace(
        grounds=None, dry_run=None
    )


@pytest.mark.parametrize("size", range(len(DECISION.pack())))
def test_a_decision_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Decision.unpack(0, b"k" * 16, DECISION.pack()[:size])


FIELDS = msgpack.unpackb(DECISION.pack())
FOREIGN: dict[str, tuple[bytes, str]] = {
    "another version": (
        msgpack.packb([1, *FIELDS[1:]]), "decision of version 1, 3 expected"),
    "a field short": (msgpack.packb(FIELDS[:-1]), "no decision"),
    "a field more": (msgpack.packb([*FIELDS, 0]), "no decision"),
    "a number": (msgpack.packb(5), "no decision"),
    "nothing": (msgpack.packb(None), "no decision"),
    "text": (b"sampled", "."),
    "JSON": (json.dumps(DECISION.line()).encode(), "."),
    "bytes behind": (DECISION.pack() + b"x", "."),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_decision_is_refused(name: str) -> None:
    value, sentence = FOREIGN[name]
    with pytest.raises(ValueError, match=sentence):
        Decision.unpack(0, b"k" * 16, value)


def test_a_line_says_it_in_json() -> None:
    assert json.loads(json.dumps(DECISION.line())) == {
        "trace_id": "000102030405060708090a0b0c0d0e0f",
        "decision": "sampled",
        "policy": "slow",
        "trigger": "complete",
        "threshold": "8",
        "adjusted_count": 2.0,
        "spans": 7,
        "bytes": 900,
        "duration_ms": 1.5,
        "tenant": "gold",
        "error": True,
        "decided_at_ms": 123_456,
        "policy_version": "abc",
        "grounds": "duration over 500 ms",
        "dry_run": "canary",
    }


@given(DECISIONS)
def test_every_decision_is_a_line(decision: Decision) -> None:
    line = json.loads(json.dumps(decision.line(), allow_nan=False))
    assert bytes.fromhex(line["trace_id"]) == decision.trace_id
    assert line["duration_ms"] == pytest.approx(decision.duration_ns / 1e6)


# Counts.

FATES = ["kept", "not_sampled", "dropped", "duplicates", "dead_lettered", "buffered"]
NAMES = [one.name for one in dataclasses.fields(Counts)]
TUPLES = {name: len(getattr(Counts(), name)) for name in ("traces", "delays", "dead")}
ONE = st.integers(0, 2**40)
COUNTS = st.builds(
    Counts, **dict.fromkeys(NAMES, ONE) | {n: st.tuples(*[ONE] * k) for n, k in TUPLES.items()}
)


@given(st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_every_span_in_has_one_fate(fates: list[int]) -> None:
    each: Any = dict(zip(FATES, fates, strict=True))
    counts = Counts(**each)
    counts.spans_in = sum(fates)
    assert counts.conserved()
    for lost in (-1, 1):
        counts.spans_in = sum(fates) + lost
        assert not counts.conserved()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {*FATES, "spans_in"}])
def test_other_counts_have_no_part_in_the_law(name: str) -> None:
    more: Any = {name: (5,) * TUPLES[name] if name in TUPLES else 5}
    assert Counts(**more).conserved()


@given(COUNTS, COUNTS)
def test_counts_of_two_partitions_add_up(one: Counts, other: Counts) -> None:
    total = one + other
    for name in NAMES:
        parts = [getattr(counts, name) for counts in (total, one, other)]
        rows = zip(*parts, strict=True) if name in TUPLES else [tuple(parts)]
        assert all(together == ours + theirs for together, ours, theirs in rows)
    assert one + Counts() == one
    assert one + Counts() is not one


def test_verdicts_are_summed_over_what_brought_them_about() -> None:
    counts = Counts(traces=tuple(2**place for place in range(12)))
    assert counts.decided("not_sampled", "complete") == 1
    assert counts.decided("sampled", "timeout") == 2**4
    assert counts.decided("dropped", "shutdown") == 2**11
    assert counts.traces_not_sampled == 0b001_001_001_001
    assert counts.traces_sampled == 0b010_010_010_010
    assert counts.traces_dropped == 0b100_100_100_100


@given(COUNTS)
def test_counts_are_told_by_name_and_every_sum_is_the_same(counts: Counts) -> None:
    told = json.loads(json.dumps(counts.told()))
    assert told["spans_in"] == counts.spans_in
    assert told["delay_ms"] == counts.delay_ms
    for names in (VERDICTS, TRIGGERS):
        assert sum(told[f"traces_{name}"] for name in names) == sum(counts.traces)
    assert sum(told["dead"].values()) == counts.records_dead
    assert set(told["dead"]) <= set(REASONS)
    assert all(told["dead"].values())
