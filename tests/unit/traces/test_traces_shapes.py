"""The shapes of traces: the compiled form against a plain one, and what each fact means."""

import itertools
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsampler.traces.critical_path import sort_by_end
from streamsampler.traces.links import NODE
from streamsampler.traces.shapes import SHAPE, Shapes, no_shapes
from streamsampler.traces.words import value_words, word_of
from tests.plain_shapes import (
    CLIENT,
    ERROR,
    SERVER,
    Span,
    plain_shape,
    plain_word,
    shapes,
    span_lists,
    without_duplicates,
)

SERVICES = ("a", "b", "c", "none such")


def assert_same_shapes(found: Shapes, traces: list[list[Span]]) -> None:
    plain = [plain_shape(spans) for spans in traces]
    for name in ("roots", "orphans", "depth", "fan_out", "repeats", "critical_error", "path_ns"):
        assert found.rows[name].tolist() == [getattr(one, name) for one in plain], name
    for service in SERVICES:
        assert found.share_of(service).tolist() == [one.share_of(service) for one in plain]
    largest = [max(map(one.share_of, SERVICES)) for one in plain]
    assert found.rows["largest_share"].tolist() == largest
    assert found.missing_root.tolist() == [one.roots == 0 for one in plain]
    steps = [
        (trace, word_of(service.encode()), ns)
        for trace, one in enumerate(plain)
        for service, ns in one.path
    ]
    assert found.steps.tolist() == steps


@settings(max_examples=300)
@given(st.lists(span_lists(), min_size=1, max_size=4))
def test_shapes_are_those_of_the_plain_form(traces: list[list[Span]]) -> None:
    assert_same_shapes(shapes(traces), traces)


@settings(max_examples=150)
@given(st.lists(span_lists(), min_size=3, max_size=3))
def test_signatures_are_equal_where_the_sets_of_edges_are(traces: list[list[Span]]) -> None:
    # Few of what is drawn is equal by itself, so each trace stands beside others made of it.
    many = [
        variant
        for spans in traces
        for variant in (
            spans,
            [replace(span, start_ns=span.start_ns + 5, end_ns=span.end_ns + 5) for span in spans],
            [replace(span, number=span.number + 99) for span in spans],
            [replace(span, status=0) for span in spans],
        )
    ]
    signatures = shapes(many).rows["signature"].tolist()
    plain = [plain_shape(spans).signature for spans in many]
    for (one, mine), (other, theirs) in itertools.combinations(
        zip(plain, signatures, strict=True), 2
    ):
        assert (mine == theirs) == (one == other)


@settings(max_examples=100)
@given(st.lists(span_lists(), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_spans_never_changes_a_shape(traces: list[list[Span]], chance: Random) -> None:
    once = [without_duplicates(spans) for spans in traces]
    order = list(range(sum(map(len, once))))
    chance.shuffle(order)
    mixed, straight = shapes(once, order), shapes(once)
    assert (mixed.rows == straight.rows).all()
    assert (mixed.steps == straight.steps).all()


CALL = [
    Span(1, 0, 0, 100, service="web"),
    Span(2, 1, 10, 40, service="cart"),
    Span(3, 1, 30, 90, service="pay"),
    Span(4, 3, 35, 85, service="bank"),
]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        (CALL, {"roots": 1, "orphans": 0, "depth": 3, "fan_out": 2, "repeats": 1}),
        (CALL[1:], {"roots": 0, "orphans": 2, "depth": 2, "fan_out": 1, "repeats": 1}),
        ([CALL[0]], {"roots": 1, "orphans": 0, "depth": 1, "fan_out": 0, "repeats": 0}),
        ([*CALL, Span(9)], {"roots": 2}),
        ([Span(1), *(Span(n, 1, n) for n in range(2, 7))], {"fan_out": 5, "repeats": 5}),
        ([Span(1), Span(2, 1), Span(3, 1, name="put")], {"fan_out": 2, "repeats": 1}),
        ([Span(1), Span(2, 1), Span(3, 2)], {"fan_out": 1, "repeats": 1, "depth": 3}),
        ([Span(1), Span(1)], {"roots": 1}),
        ([Span(1, 2), Span(2, 1)], {"roots": 0, "orphans": 0, "depth": 2}),
        ([Span(1, 1)], {"roots": 0, "orphans": 0, "depth": 1}),
        (
            [Span(1), Span(2, 1, 1, kind=CLIENT), Span(2, 1, 2, kind=SERVER), Span(3, 2, 3)],
            {"roots": 1, "orphans": 0, "depth": 3, "fan_out": 2},
        ),
    ],
    ids=[
        "a call", "without its root", "alone", "two roots", "the same call five times",
        "other names", "other parents", "a duplicate", "a loop", "its own parent", "a shared id",
    ],
)  # fmt: skip
def test_what_a_tree_is_like(spans: list[Span], expected: dict[str, int]) -> None:
    row = shapes([spans]).rows[0]
    assert {name: int(row[name]) for name in expected} == expected


@pytest.mark.parametrize(
    ("spans", "own_times"),
    [
        (CALL, {"web": 40, "cart": 0, "pay": 10, "bank": 50}),
        (
            [Span(1, 0, 0, 100, "web"), Span(2, 1, 10, 30, "cart"), Span(3, 1, 30, 90, "pay")],
            {"web": 20, "cart": 20, "pay": 60},
        ),
        ([Span(1, 0, 0, 100, "web"), Span(2, 1, 50, 900, "job")], {"web": 50, "job": 50}),
        ([Span(1, 0, 0, 100, "web"), Span(2, 1, 150, 900, "job")], {"web": 100, "job": 0}),
        ([Span(1, 0, 200, 300, "web"), Span(2, 1, 100, 150, "db")], {"web": 100, "db": 0}),
        ([Span(1, 0, 100, 40, "web"), Span(2, 1, 10, 30, "db")], {"web": 0, "db": 0}),
        ([Span(2, 9, 5, 7, "late"), Span(3, 8, 1, 4, "early")], {"late": 0, "early": 3}),
    ],
    ids=[
        "a parallel call that ended earlier", "one after the other", "outlives its parent",
        "begins after its parent", "ends before its parent", "ends before it starts", "no root",
    ],
)  # fmt: skip
def test_own_times_on_the_critical_path(spans: list[Span], own_times: dict[str, int]) -> None:
    found = shapes([spans])
    length = max(sum(own_times.values()), 1)
    assert found.rows["path_ns"][0] == sum(own_times.values())
    for service, ns in own_times.items():
        assert found.share_of(service)[0] == pytest.approx(ns / length)
    assert found.rows["largest_share"][0] == pytest.approx(max(own_times.values()) / length)


@pytest.mark.parametrize(
    ("failed", "on_the_path"),
    [
        (Span(2, 1, 10, 90, status=ERROR), True),
        (Span(2, 1, 10, 40, status=ERROR), False),
        (Span(2, 1, 150, 190, status=ERROR), False),
        (Span(2, 1, 150, 190, kind=SERVER, status=ERROR), True),
        (Span(2, 1, -50, -10, status=ERROR), True),
    ],
    ids=[
        "waited for", "another call took longer", "begun when its parent had ended",
        "the server of a call, its clock ahead", "its clock behind",
    ],
)  # fmt: skip
def test_errors_on_the_critical_path(failed: Span, on_the_path: bool) -> None:  # noqa: FBT001
    moved = replace(failed, start_ns=failed.start_ns + 500, end_ns=failed.end_ns + 500)
    spans = [
        Span(1, 0, 500, 600, kind=CLIENT),
        moved,
        Span(3, 1, 520, 580, name="other"),
    ]
    assert shapes([spans]).rows["critical_error"].tolist() == [on_the_path]


def test_of_duplicates_the_first_counts() -> None:
    first, again = Span(1, 0, 0, 10), Span(1, 0, 0, 99, status=ERROR)
    rows = shapes([[first, again], [again, first]]).rows
    assert rows["path_ns"].tolist() == [10, 99]
    assert rows["critical_error"].tolist() == [False, True]


def test_extreme_times_do_not_overflow() -> None:
    spans = [Span(1, 0, 0, 2**64 - 1, "a"), Span(2, 1, 2**63, 2**64 - 1, "b")]
    found = shapes([spans])
    assert found.rows["path_ns"].tolist() == [2**64 - 1]
    assert found.share_of("b")[0] == pytest.approx(0.5)


LONG = 50_000


@pytest.mark.parametrize("deep", [True, False], ids=["a chain", "children of one span"])
def test_a_trace_of_any_length_is_linear_work(deep: bool) -> None:  # noqa: FBT001
    spans = [
        Span(n, n - 1 if deep else min(n - 1, 1), n, 3 * LONG - n if deep else n + 1)
        for n in range(1, LONG + 1)
    ]
    spans[0] = replace(spans[0], end_ns=3 * LONG)
    row = shapes([spans]).rows[0]
    depth, fan_out = (LONG, 1) if deep else (2, LONG - 1)
    assert (row["depth"], row["fan_out"], row["path_ns"]) == (depth, fan_out, 3 * LONG - 1)


def test_traces_without_spans_have_no_shape() -> None:
    found = shapes([[], CALL, []])
    assert found.rows[[0, 2]].tolist() == np.zeros(2, SHAPE).tolist()
    assert found.rows["roots"].tolist() == [0, 1, 0]
    assert shapes([]).rows.tolist() == []


def test_some_of_the_shapes_are_those_of_some_of_the_traces() -> None:
    traces = [CALL, CALL[1:], [Span(5, 0, 0, 7, "b")]]
    some = shapes(traces).take(np.array([2, 0]))
    straight = shapes([traces[2], traces[0]])
    assert some.rows.tolist() == straight.rows.tolist()
    for service in ("web", "b", "bank"):
        assert some.share_of(service).tolist() == straight.share_of(service).tolist()


def test_nobody_asked_means_zeros() -> None:
    assert no_shapes(2).rows.tolist() == np.zeros(2, SHAPE).tolist()
    assert no_shapes(2).share_of("web").tolist() == [0.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40))
def test_siblings_are_sorted_by_their_ends(ends: list[tuple[int, int]]) -> None:
    nodes = np.zeros(len(ends), NODE)
    nodes["high"] = [high for high, _ in ends]
    nodes["end"] = [end for _, end in ends]
    brood = np.arange(len(ends), dtype=np.int32)
    sort_by_end(nodes, brood)
    assert brood.tolist() == sorted(range(len(ends)), key=lambda at: (*ends[at], -at))


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_words_depend_on_the_values_alone(values: list[bytes]) -> None:
    buffer = np.frombuffer(b"?".join(values), np.uint8)
    sizes = np.array([len(value) for value in values], np.int32)
    positions = np.cumsum([0, *(sizes + 1)], dtype=np.int64)[: len(values)]
    found = value_words(buffer, positions, sizes).tolist()
    assert found == [plain_word(value) for value in values]
    assert len(set(found)) == len(set(values))


def test_a_name_is_not_its_beginning() -> None:
    names = [b"", b"\0", b"\0" * 8, b"\0" * 9, b"a", b"a\0"]
    assert len({int(word_of(name)) for name in names}) == len(names)
