"""What makes traffic real does occur, at default settings, in a thousand traces."""

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsampler.traffic import GeneratedRecord, Span, Trace, Traffic, TrafficSettings, generate
from streamsampler.traffic.model import CLIENT, CONSUMER, ERROR, OK, PRODUCER, UNSET
from streamsampler.traffic.wire import AttributeValue


@pytest.fixture(scope="module")
def run() -> tuple[list[GeneratedRecord], list[Trace]]:
    traffic = Traffic(TrafficSettings(traces=1000, seed=7))
    return list(traffic.records()), traffic.traces


@pytest.fixture(scope="module")
def traces(run: tuple[list[GeneratedRecord], list[Trace]]) -> list[Trace]:
    return run[1]


def all_spans(trace: Trace) -> tuple[Span, ...]:
    return trace.spans + trace.late_spans


def ids(spans: Iterable[Span]) -> set[bytes]:
    return {span.span_id for span in spans}


def values(traces: Iterable[Trace], key: str) -> list[AttributeValue]:
    return [
        attribute.value
        for trace in traces
        for span in trace.spans
        for attribute in span.attributes
        if attribute.key == key
    ]


def parents(trace: Trace) -> list[tuple[Span, Span]]:
    by_id = {span.span_id: span for span in all_spans(trace)}
    return [(span, by_id[span.parent_id]) for span in all_spans(trace) if span.parent_id in by_id]


def with_root(traces: Iterable[Trace]) -> list[tuple[Trace, Span]]:
    return [(trace, span) for trace in traces for span in trace.spans if not span.parent_id]


@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_the_same_settings_give_the_same_records(seed: int) -> None:
    chosen = TrafficSettings(traces=15, seed=seed, bad_records=3, duplicate_share=0.1)
    once, again = Traffic(chosen), Traffic(chosen)
    lines = [(record.key, record.value, record.time_ms) for record in once.records()]
    assert lines == [(record.key, record.value, record.time_ms) for record in again.records()]
    assert [ids(trace.spans) for trace in once.traces] == [
        ids(trace.spans) for trace in again.traces
    ]
    # A second run of the same object starts from the beginning.
    assert lines == [(record.key, record.value, record.time_ms) for record in once.records()]


def test_another_seed_gives_other_traffic() -> None:
    first, second = (
        [record.value for record in generate(TrafficSettings(traces=5, seed=seed))]
        for seed in (1, 2)
    )
    assert set(first).isdisjoint(second)


def test_traces_have_one_to_two_hundred_spans(traces: list[Trace]) -> None:
    sizes = Counter(len(all_spans(trace)) for trace in traces)
    assert len(traces) == 1000
    assert min(sizes) == 1
    assert 100 < max(sizes) <= 200
    assert 8 < sum(size * count for size, count in sizes.items()) / 1000 < 13


def test_ids_are_never_given_twice(traces: list[Trace]) -> None:
    assert len({trace.trace_id for trace in traces}) == len(traces)
    spans = [span for trace in traces for span in all_spans(trace)]
    assert len(ids(spans)) == len(spans)


def test_latencies_are_spread_over_orders_of_magnitude(traces: list[Trace]) -> None:
    lengths = sorted(
        max(span.end_ns for span in trace.spans) - min(span.start_ns for span in trace.spans)
        for trace in traces
    )
    assert lengths[100] < 5_000_000
    assert lengths[990] > 1_000_000_000


def test_every_status_occurs_and_most_spans_leave_it_unset(traces: list[Trace]) -> None:
    codes = Counter(span.status for trace in traces for span in trace.spans)
    assert codes[UNSET] > codes[OK] > 0 < codes[ERROR]


def test_an_error_sits_in_a_child_and_does_not_always_reach_the_root(traces: list[Trace]) -> None:
    failed = [
        (root.status, any(span.status == ERROR for span in trace.spans if span.parent_id))
        for trace, root in with_root(traces)
        if any(span.status == ERROR for span in trace.spans)
    ]
    assert {True for _, in_child in failed if in_child}
    assert {status == ERROR for status, _ in failed} == {True, False}
    raised = [
        span for trace in traces for span in trace.spans if span.message and span.status == ERROR
    ]
    assert raised
    for span in raised:
        (event,) = span.events
        assert event.name == "exception"
        assert span.start_ns <= event.time_ns <= span.end_ns
        assert {"exception.type", "exception.stacktrace"} <= {a.key for a in event.attributes}


def test_a_queue_ties_the_consumers_trace_by_a_link(traces: list[Trace]) -> None:
    senders = {
        span.span_id: trace.trace_id
        for trace in traces
        for span in all_spans(trace)
        if span.kind == PRODUCER
    }
    consumers = [span for _, span in with_root(traces) if span.kind == CONSUMER]
    assert len(consumers) > 50
    linked = [link for span in consumers for link in span.links]
    assert len(linked) == len(consumers)
    # A sender whose own span was lost leaves a link into nothing.
    known = [link for link in linked if link.span_id in senders]
    assert len(known) > 0.9 * len(linked)
    assert all(senders[link.span_id] == link.trace_id for link in known)


def test_tenants_have_skewed_shares_and_some_traces_have_none(traces: list[Trace]) -> None:
    shares = Counter(values(traces, "tenant.id"))
    assert len(shares) > 10
    assert shares.most_common(1)[0][1] > 3 * shares.most_common(6)[-1][1]
    assert "münchen-süd" in shares
    named = [any(a.key == "tenant.id" for s in t.spans for a in s.attributes) for t in traces]
    assert set(named) == {True, False}


def test_a_tenant_may_stand_on_the_resource_and_spans_may_disagree(traces: list[Trace]) -> None:
    on_resource = {
        attribute.value
        for trace in traces
        for span in trace.spans
        for attribute in span.resource.attributes
        if attribute.key == "tenant.id"
    }
    assert on_resource <= {"acme", "globex", "initech"}
    assert on_resource
    assert any(len(set(values([trace], "tenant.id"))) > 1 for trace in traces)


def test_some_traces_run_on_canaries(traces: list[Trace]) -> None:
    environments = Counter(
        attribute.value
        for trace in traces
        for attribute in trace.spans[0].resource.attributes
        if attribute.key == "deployment.environment.name"
    )
    assert set(environments) == {"production", "canary"}
    assert environments["canary"] < 0.15 * environments["production"]


def test_a_detached_child_outlives_its_parent(traces: list[Trace]) -> None:
    outlived = [
        child.name
        for trace in traces
        for child, parent in parents(trace)
        if not trace.late_spans and child.true_end_ns > parent.true_end_ns
    ]
    assert {"refresh stock cache", "write audit log"} == set(outlived)


def test_with_skewed_clocks_a_child_seems_to_start_before_its_parent(traces: list[Trace]) -> None:
    early = [
        parent.start_ns - child.start_ns
        for trace in traces
        for child, parent in parents(trace)
        if child.start_ns < parent.start_ns
    ]
    assert early
    assert max(early) <= 2 * 250_000_000
    still = Traffic(TrafficSettings(traces=100, max_skew_ms=0))
    list(still.records())
    assert all(
        child.start_ns >= parent.start_ns
        for trace in still.traces
        for child, parent in parents(trace)
    )


def test_broken_propagation_leaves_parents_that_never_come(traces: list[Trace]) -> None:
    missing = [
        trace
        for trace in traces
        if {span.parent_id for span in trace.spans} - ids(all_spans(trace)) - {b""}
    ]
    assert 20 < len(missing) < 100
    rooted = {any(not span.parent_id for span in trace.spans) for trace in missing}
    assert rooted == {True, False}


def test_late_spans_may_be_leaves_or_roots_and_may_fail(traces: list[Trace]) -> None:
    late = [trace for trace in traces if trace.late_spans]
    assert 10 < len(late) < 60
    assert all(1 <= len(trace.late_spans) <= 3 and trace.spans for trace in late)
    assert {not span.parent_id for trace in late for span in trace.late_spans} == {True, False}


def test_tracestates_and_flags_vary(traces: list[Trace]) -> None:
    states = {span.trace_state for trace in traces for span in trace.spans}
    assert "" in states
    assert any(state.startswith("ot=th:8;rv:") and ",vendor=x" in state for state in states)
    assert any("ot=" not in state for state in states if state)
    flags = {span.flags for trace in traces for span in trace.spans}
    assert flags == {0x100, 0x101, 0x300, 0x301}
    mixed = [{span.trace_state for span in trace.spans} for trace in traces]
    assert any(len(found) > 1 and "" not in found for found in mixed)
    assert any(len(found) > 1 and "" in found for found in mixed)


def test_attributes_of_every_type_and_size_occur(traces: list[Trace]) -> None:
    found = [
        attribute.value for trace in traces for span in trace.spans for attribute in span.attributes
    ]
    assert {type(value) for value in found} == {
        str, bool, int, float, bytes, list, dict, type(None)
    }  # fmt: skip
    assert any(isinstance(value, str) and not value.isascii() for value in found)
    assert max(len(value) for value in found if isinstance(value, str)) == 5000
    assert any(isinstance(value, int) and value < 0 for value in found)


def test_a_calls_two_sides_name_each_other(traces: list[Trace]) -> None:
    sides = [
        (parent.resource.service, child.resource.service)
        for trace in traces
        for child, parent in parents(trace)
        if parent.kind == CLIENT
    ]
    assert sides
    assert all(caller != called for caller, called in sides)
