"""What the engine tells of services and of pairs of them, from the traces that it decided."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.engine.health import (
    MOST_SERVICES,
    Health,
    HealthQuestions,
    SpanColumns,
    one_in,
    pair_counts,
    service_counts,
)
from streamsampler.estimates.summaries import PairSummary, Services, ServiceSummary, pack, unpack
from streamsampler.policies import load_policy_set
from streamsampler.policies.roots import OVERFLOW_NAME
from streamsampler.sampler import Sampler
from streamsampler.spans.columns import SPAN
from streamsampler.spans.records import join
from streamsampler.store import BlockStore

MS = 1_000_000
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
POLICIES = """
decision_wait: 2s
policies:
  - {name: none, type: string_attribute, string_attribute: {key: nobody, values: [has it]}}
"""


def span(
    service: str,
    span_id: int,
    parent_id: int = 0,
    kind: int = SERVER,
    times_ms: tuple[int, int] = (1_000, 1_100),
    **more: Any,
) -> tuple[str, dict[str, Any]]:
    return service, {
        "span_id": span_id.to_bytes(8, "big"),
        "parent_span_id": parent_id.to_bytes(8, "big") if parent_id else b"",
        "kind": kind,
        "start_time_unix_nano": times_ms[0] * MS,
        "end_time_unix_nano": times_ms[1] * MS,
        **more,
    }


def record(
    trace: int, spans: list[tuple[str, dict[str, Any]]], resource: dict[str, str] | None = None
) -> bytes:
    data = TracesData()
    for service, fields in spans:
        of_service = data.resource_spans.add()
        for key, value in {"service.name": service, **(resource or {})}.items():
            of_service.resource.attributes.add(key=key).value.string_value = value
        has = dict(fields)
        attributes, links, failed = (has.pop(name, None) for name in ("has", "links", "failed"))
        made: OtlpSpan = of_service.scope_spans.add().spans.add(
            trace_id=trace.to_bytes(16, "big"), name="op", **has
        )
        for key, value in (attributes or {}).items():
            made.attributes.add(key=key).value.string_value = value
        if links:
            made.links.add(trace_id=bytes(15) + b"9", span_id=bytes(7) + b"9")
        if failed:
            made.status.code = 2  # type: ignore[assignment]
    return data.SerializeToString()


def told(tmp_path: Path, questions: HealthQuestions, values: list[bytes]) -> Services:
    """What is told of traces that are all decided in one interval, and all dropped."""
    n = len(values)
    with BlockStore(tmp_path / "blocks") as store:
        sampler = Sampler(load_policy_set(POLICIES, "here"), store, health=questions)
        sampler.assign(0)
        times = [1_000] * n + [4_000]
        values = [*values, record(2**64 + 1, [span("other", 1)])]
        batch = join([0] * (n + 1), range(n + 1), times, [None] * (n + 1), values, [None] * (n + 1))
        outcome = sampler.submit(batch)
        assert not outcome.emissions
        (summary,) = [one for one in sampler.summaries(0, leaving=True) if one.kind == "services"]
        assert not sampler.summaries(0, leaving=True)
        assert unpack(pack(summary)) == summary
    assert isinstance(summary.body, Services)
    return summary.body


def of_service(body: Services, name: bytes) -> ServiceSummary:
    (found,) = [one for one in body.services if one.service == name]
    return found


EVERY = HealthQuestions(1, 100, (b"order.id",))


def test_calls_errors_and_clocks_between_services(tmp_path: Path) -> None:
    call = [
        span("shop", 1, kind=SERVER, times_ms=(1_000, 1_200)),
        span("shop", 2, 1, CLIENT, (1_010, 1_110)),
        # Its clock is 20 ms ahead.
        span("cart", 3, 2, SERVER, (1_050, 1_110), failed=True),
        span("cart", 4, 3, 1, (1_060, 1_070)),
    ]
    body = told(tmp_path, EVERY, [record(1, call)])
    assert body.pairs == (PairSummary(b"shop", b"cart", 1, 1, 0, 20.0, 1),)
    assert [(one.service, one.spans, one.errors, one.entry_spans) for one in body.services] == [
        (b"cart", 2, 1, 1),
        (b"shop", 2, 0, 1),
    ]


def test_a_parent_that_never_came_and_a_context_that_was_lost(tmp_path: Path) -> None:
    values = [
        record(1, [span("cart", 3, 77)]),
        record(2, [span("mail", 1, kind=CONSUMER)]),
        record(3, [span("mail", 1, kind=CONSUMER, links=True)]),
        record(4, [span("shop", 1, kind=PRODUCER), span("mail", 2, 1, CONSUMER)]),
    ]
    body = told(tmp_path, EVERY, values)
    assert of_service(body, b"mail").lost_context == 1
    assert of_service(body, b"mail").entry_spans == 3
    assert body.pairs == (
        PairSummary(b"", b"cart", 1, 0, 1, 0.0, 0),
        PairSummary(b"shop", b"mail", 1, 0, 0, 0.0, 0),
    )


def test_attributes_that_are_missing_or_too_large(tmp_path: Path) -> None:
    values = [
        record(1, [span("shop", 1, has={"order.id": "7", "sql": "x" * 200})]),
        record(2, [span("shop", 1, has={"sql": "x" * 80}), span("shop", 2, 1, kind=1)]),
        record(3, [span("shop", 1)], {"order.id": "8"}),
    ]
    shop = of_service(told(tmp_path, EVERY, values), b"shop")
    assert (shop.oversized, shop.missing_attributes) == (1, {b"order.id": 1})


def test_one_trace_in_so_many_stands_for_the_others(tmp_path: Path) -> None:
    traces = 4_000
    values = [record(trace + 1, [span("shop", 1), span("cart", 2, 1)]) for trace in range(traces)]
    body = told(tmp_path, HealthQuestions(8), values)
    assert of_service(body, b"shop").spans == of_service(body, b"cart").spans
    assert of_service(body, b"shop").spans % 8 == 0
    assert of_service(body, b"shop").spans == pytest.approx(traces, rel=0.15)


@given(st.integers(1, 100), st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_who_is_chosen_depends_on_the_id_alone(count: int, ids: list[int]) -> None:
    chosen = one_in(count, np.array(ids, np.uint64))
    assert chosen.tolist() == [
        ((one * 0x9E3779B97F4A7C15) % 2**64 >> 32) % count == 0 for one in ids
    ]


ids = st.integers(1, 4)
rows = st.tuples(
    st.integers(0, 1), ids, st.integers(0, 4), st.integers(0, 5), st.integers(0, 2),
    st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), st.integers(0, 2), st.booleans(),
)  # fmt: skip
Row = tuple[int, int, int, int, int, int, int, int, int, bool]


def columns_of(table: list[Row]) -> SpanColumns:
    spans = np.zeros(len(table), SPAN)
    fields = ("span_id", "parent_id", "kind", "status", "notes", "start", "end")
    for place, name in enumerate(fields, 1):
        spans[name] = [row[place] for row in table]
    service = np.array([row[8] for row in table], np.int64)
    trace = np.array([row[0] for row in table], np.int64)
    lacking = np.array([[row[9]] for row in table], np.bool_).reshape(len(table), 1)
    return SpanColumns(spans, trace, service, [b"a", b"b", b"c"], lacking)


@given(st.lists(rows, max_size=25))
def test_columns_and_a_plain_count_agree(table: list[Row]) -> None:
    services: Counter[tuple[int, int]] = Counter()
    pairs: dict[tuple[int, int], list[float]] = {}
    for trace, _, parent_id, kind, status, notes, start, end, service, lacks in table:
        entry = kind in {SERVER, CONSUMER}
        lost = kind == CONSUMER and parent_id == 0 and not notes & 1
        marks = (True, status == 2, entry, lost, notes & 2 != 0, entry and lacks)
        services.update({(service, place): int(mark) for place, mark in enumerate(marks)})
        if not parent_id:
            continue
        alike = [row for row in table if row[0] == trace and row[1] == parent_id]
        servers = [row for row in alike if row[3] == SERVER]
        above = servers[-1] if servers else alike[0] if alike else None
        if above and above[8] == service:
            continue
        skewed = (
            above is not None and kind == SERVER and above[3] == CLIENT
            and 0 <= end - start <= above[7] - above[6]
        )  # fmt: skip
        skew = (start + end - above[6] - above[7]) / 2 / 1e6 if above and skewed else 0.0
        have = pairs.setdefault((above[8] if above else -1, service), [0.0] * 5)
        for place, more in enumerate((1, status == 2, above is None, skew, skewed)):
            have[place] += more
    columns = columns_of(table)
    assert service_counts(columns).tolist() == [
        [services[service, place] for place in range(6)] for service in range(3)
    ]
    found = pair_counts(columns)
    assert found.keys() == pairs.keys()
    for pair, counts in found.items():
        assert counts == pytest.approx(pairs[pair])


def test_more_services_than_have_a_place_are_counted_together(tmp_path: Path) -> None:
    count = MOST_SERVICES + 20
    values = [
        record(trace + 1, [span(f"caller-{trace}", 1), span("callee", 2, 1)])
        for trace in range(count)
    ]
    body = told(tmp_path, HealthQuestions(1), values)
    assert len(body.services) == len(body.pairs) == MOST_SERVICES + 1
    assert sum(one.spans for one in body.services) == 2 * count
    assert of_service(body, OVERFLOW_NAME).spans > 0
    assert sum(one.calls for one in body.pairs) == count


def test_a_partition_that_is_gone_is_forgotten() -> None:
    health = Health(HealthQuestions())
    health.forget(3)
    assert not list(health.tell(3, None, 0))


def test_services_may_be_asked_about_later(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        sampler = Sampler(load_policy_set(POLICIES, "here"), store)
        sampler.assign(0)
        kinds = []
        for offset, times in enumerate([(1_000, 4_000), (11_000, 14_000)]):
            values = [record(2 * offset + n, [span("shop", 1)]) for n in (1, 2)]
            offsets = [2 * offset, 2 * offset + 1]
            sampler.submit(join([0, 0], offsets, times, [None] * 2, values, [None] * 2))
            kinds.append({one.kind for one in sampler.summaries(0, leaving=True)})
            sampler.ask_of_services(EVERY)
    assert kinds == [{"groups"}, {"groups", "services"}]
