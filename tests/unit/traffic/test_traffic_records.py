"""How records are cut, keyed, timed and interleaved, and what can be made to go wrong."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.traffic import GeneratedRecord, Traffic, TrafficSettings, generate
from streamsampler.traffic.hostile import FAULTS, JSON_LINES

_DEFAULTS = TrafficSettings(traces=600, seed=3)


@pytest.fixture(scope="module")
def records() -> list[GeneratedRecord]:
    return list(generate(_DEFAULTS))


def span_ids(records: list[GeneratedRecord]) -> Counter[bytes]:
    return Counter(span.span_id for record in records for span in record.spans)


def arrivals(records: list[GeneratedRecord]) -> dict[bytes, list[GeneratedRecord]]:
    found: dict[bytes, list[GeneratedRecord]] = defaultdict(list)
    for record in records:
        for trace_id in record.trace_ids:
            found[trace_id].append(record)
    return found


def test_a_record_is_of_one_trace_one_resource_and_one_scope(
    records: list[GeneratedRecord],
) -> None:
    for record in records:
        (batch,) = record.batches
        (trace_id,) = record.trace_ids
        assert record.key == trace_id.hex().encode()
        assert all(span.resource is batch.resource for span in batch.spans)
        assert all(span.scope is batch.scope for span in batch.spans)
        assert record.headers == ()
    sizes = Counter(len(record.spans) for record in records)
    assert min(sizes) == 1
    assert max(sizes) == 20


def test_every_span_comes_once_and_each_trace_knows_its_records() -> None:
    traffic = Traffic(_DEFAULTS)
    by_trace = arrivals(list(traffic.records()))
    assert list(by_trace) != [trace.trace_id for trace in traffic.traces], "traces interleave"
    for trace in traffic.traces:
        carried = by_trace[trace.trace_id]
        assert span_ids(carried) == Counter(span.span_id for span in trace.spans + trace.late_spans)
        assert trace.records == len(carried)
        assert trace.duplicate_spans == 0


def test_children_come_before_parents_and_the_root_among_the_last(
    records: list[GeneratedRecord],
) -> None:
    last, places = 0, []
    for carried in arrivals(records).values():
        on_time = [span for record in carried if not record.late for span in record.spans]
        order = {span.span_id: place for place, span in enumerate(on_time)}
        places += [
            order[span.parent_id] > place
            for place, span in enumerate(on_time)
            if span.parent_id in order
        ]
        last += not on_time[-1].parent_id
    assert sum(places) > 0.75 * len(places)
    assert last > 0.4 * len(arrivals(records))


def test_record_times_rise_but_for_the_jitter(records: list[GeneratedRecord]) -> None:
    largest = 0
    for record in records:
        assert record.time_ms >= largest - _DEFAULTS.jitter_ms
        largest = max(largest, record.time_ms)
    assert any(later.time_ms < earlier.time_ms for earlier, later in pairwise(records))


def test_no_record_tells_of_what_has_not_ended(records: list[GeneratedRecord]) -> None:
    for record in records:
        assert all(span.true_end_ns <= record.time_ms * 1_000_000 for span in record.spans)


@pytest.mark.parametrize(
    ("decision_wait_ms", "completion_grace_ms"),
    [(30_000, 6_000), (2_000, 500), (8_000, 6_000), (1_000, 200)],
)
@pytest.mark.parametrize("disorder_ms", [0, 50])
def test_fitted_traffic_is_on_time_and_late_as_the_windows_want_it(
    decision_wait_ms: int, completion_grace_ms: int, disorder_ms: int
) -> None:
    windows = decision_wait_ms, completion_grace_ms
    chosen = replace(
        _DEFAULTS, traces=200, out_of_order_ms=disorder_ms, duplicate_share=0.1, late_share=0.1
    ).fitted(*windows)
    assert chosen.misfits(*windows) == ()
    for carried in arrivals(list(generate(chosen))).values():
        times = [record.time_ms for record in carried if not record.late]
        first, last = min(times), max(times)
        assert last - first < decision_wait_ms - disorder_ms
        roots = [
            record.time_ms
            for record in carried
            if not record.late and any(not span.parent_id for span in record.spans)
        ]
        assert all(last - root < completion_grace_ms - disorder_ms for root in roots)
        for record in carried:
            assert not record.late or record.time_ms > last + decision_wait_ms + disorder_ms


def test_where_spans_alone_tell_the_time_late_ones_are_late_too() -> None:
    chosen = replace(_DEFAULTS, traces=300, late_share=0.3)
    largest_end_ns = 0
    first_seen: dict[bytes, int] = {}
    old = 0
    for record in generate(chosen):
        own_end_ns = max(span.end_ns for span in record.spans)
        old += record.late and own_end_ns < record.time_ms * 1_000_000 - 10_000_000_000
        largest_end_ns = max(largest_end_ns, own_end_ns)
        waited = largest_end_ns - first_seen.setdefault(record.trace_ids[0], largest_end_ns)
        assert (waited > 30_000_000_000) == record.late
    assert old == 0, "near the end of a run every late span has run on itself"


def test_in_a_long_run_some_late_spans_are_merely_held_up() -> None:
    chosen = replace(_DEFAULTS, traces=1500, late_after_ms=500, late_share=0.2)
    held_up = [
        record
        for record in generate(chosen)
        if record.late
        and all(span.true_end_ns < (record.time_ms - 200) * 1_000_000 for span in record.spans)
    ]
    assert held_up


@given(st.integers(0, 2**32), st.integers(1, 40))
@settings(max_examples=10, deadline=None)
def test_limits_hold_for_any_seed(seed: int, max_spans: int) -> None:
    chosen = TrafficSettings(traces=20, seed=seed, max_spans=max_spans, long_trace_ms=300)
    traffic = Traffic(chosen)
    assert len({record.key for record in traffic.records()}) == 20
    for trace in traffic.traces:
        assert 1 <= len(trace.spans) + len(trace.late_spans) <= max_spans
        begin = min(span.start_ns - span.resource.skew_ns for span in trace.spans)
        for span in trace.spans:
            assert span.start_ns <= span.end_ns
            limit_ms = chosen.long_trace_ms + chosen.spread_ms
            assert span.true_end_ns - begin <= limit_ms * 1_000_000


def test_the_rate_holds_in_spans_of_the_simulated_clock() -> None:
    traffic = Traffic(replace(_DEFAULTS, traces=3000, spans_per_second=500, late_share=0))
    spans = sum(len(record.spans) for record in traffic.records())
    begin = traffic.traces[0].spans[0].start_ns
    end = traffic.traces[-1].spans[0].start_ns
    assert pytest.approx(spans / ((end - begin) / 1e9), rel=0.15) == 500


def test_a_retrying_producer_writes_records_twice() -> None:
    traffic = Traffic(replace(_DEFAULTS, traces=200, duplicate_share=0.2))
    records = list(traffic.records())
    copies = [record for record in records if record.duplicate]
    written = Counter((record.key, record.value) for record in records)
    assert {pair for pair, times in written.items() if times == 2} == {
        (copy.key, copy.value) for copy in copies
    }
    assert max(written.values()) == 2
    assert sum(len(copy.spans) for copy in copies) == sum(
        trace.duplicate_spans for trace in traffic.traces
    )
    assert copies
    assert not any(copy.late for copy in copies)


def test_records_may_come_out_of_order_by_so_much_and_no_more() -> None:
    records = list(generate(replace(_DEFAULTS, traces=200, out_of_order_ms=400)))
    largest, worst = 0, 0
    for record in records:
        largest = max(largest, record.time_ms)
        worst = max(worst, largest - record.time_ms)
    assert 200 < worst <= 400 + _DEFAULTS.jitter_ms


def test_an_option_leaves_all_else_as_it_was() -> None:
    plain = span_ids(list(generate(_DEFAULTS)))
    hostile = generate(replace(_DEFAULTS, bad_records=9, out_of_order_ms=70, unkeyed_share=0.1))
    assert span_ids(list(hostile)) == plain


def test_mixed_records_have_no_key_and_carry_many_traces() -> None:
    records = list(generate(replace(_DEFAULTS, unkeyed_share=0.3)))
    mixed = [record for record in records if record.key is None]
    assert max(len(record.trace_ids) for record in mixed) > 3
    assert max(len(record.batches) for record in mixed) <= 10
    for record in mixed:
        data = TracesData.FromString(record.value)
        assert tuple(
            span.span_id
            for resource in data.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ) == tuple(span.span_id for span in record.spans)
    assert span_ids(records) == span_ids(list(generate(_DEFAULTS)))


def test_a_header_may_name_the_tenant() -> None:
    traffic = Traffic(replace(_DEFAULTS, traces=100, tenant_header="x-tenant"))
    records = list(traffic.records())
    headers = {trace.trace_id: trace.headers for trace in traffic.traces}
    assert {len(found) for found in headers.values()} == {0, 1}
    assert all(record.headers == headers[record.trace_ids[0]] for record in records)
    assert {name for found in headers.values() for name, _ in found} == {"x-tenant"}


def test_bad_records_stand_between_the_others_as_many_as_asked_for() -> None:
    traffic = Traffic(replace(_DEFAULTS, traces=100, bad_records=150))
    records = list(traffic.records())
    bad = [record for record in records if record.fault is not None]
    assert len(bad) == 150
    assert {record.fault for record in bad} == set(FAULTS) == set(JSON_LINES)
    assert not any(record.spans for record in bad)
    places = [place for place, record in enumerate(records) if record.fault is not None]
    assert places[0] < len(records) / 4 < len(records) / 2 < places[-1]
    known = {trace.trace_id.hex().encode() for trace in traffic.traces}
    assert known.isdisjoint(record.key for record in bad if record.key is not None)


def test_a_strict_reader_refuses_each_bad_record_or_finds_nothing_of_use_in_it() -> None:
    bad = [r for r in generate(replace(_DEFAULTS, traces=50, bad_records=200)) if r.fault]
    for record in bad:
        if record.fault in {"garbage", "truncated", "huge_length"}:
            with pytest.raises(DecodeError):
                TracesData.FromString(record.value)
            continue
        spans = [
            span
            for resource in TracesData.FromString(record.value).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        assert len(spans) == (record.fault != "empty")
        assert not any(
            len(span.trace_id) == 16 and any(span.trace_id) and len(span.span_id) == 8
            for span in spans
        )
