"""Records of the sketches and the tables topic: there and back, and nothing else."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import summaries, tables
from streamsampler.estimates.summaries import (
    Body,
    Demand,
    Goal,
    GroupSummary,
    PairSummary,
    Services,
    ServiceSummary,
    Summary,
    SummaryError,
)
from streamsampler.estimates.tables import (
    GroupThresholds,
    RateTable,
    Table,
    TableError,
    ThresholdTable,
)

GROUP = GroupSummary((b"t", b"s", b"n"), 5, 20, 900, 1, 2, 0, 0, 5.0, b"sketch")
GOAL = Goal("spans", 10.0, 0.5, "fair", {(b"a",): 0.5}, 1.0, {(b"b", b"c"): 2.0}, 1.0, 100)
SERVICE = ServiceSummary(b"s", 9, 1, 2, 0, {b"service.version": 3}, 1)
PAIR = PairSummary(b"s", b"u", 4, 1, 0, -2.5, 3)
BODIES: list[tuple[str, Body]] = [
    ("groups", (GROUP, GROUP)),
    ("demands", (Demand("set/policy", GOAL, {(b"a",): (3, 7.5)}),)),
    ("services", Services((SERVICE,), (PAIR,))),
    ("groups", ()),
]


@pytest.mark.parametrize(("kind", "body"), BODIES)
def test_a_summary_comes_back_as_it_went(kind: str, body: Body) -> None:
    summary = Summary(kind, 3, 1_000_000, 12_345, body)
    assert summaries.unpack(summaries.pack(summary)) == summary


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        [2, "groups", 0, 0, 0, []],
        [1, "other", 0, 0, 0, []],
        [1, [], 0, 0, 0, []],
        [1, "groups", "0", 0, 0, []],
        [1, "groups", 0, 0, True, []],
        [1, "groups", 0, 0, 0, 5],
        [1, "groups", 0, 0, 0, [[]]],
        [1, "demands", 0, 0, 0, [["p", [], []]]],
        [1, "services", 0, 0, 0, []],
        [1, "services", 0, 0, 0, [[[b"s", 1, 1, 1, 1, [b"x"], 1]], []]],
    ],
)
def test_what_is_no_summary_is_refused(record: object) -> None:
    with pytest.raises(SummaryError):
        summaries.unpack(msgpack.packb(record))


def test_a_map_for_a_key_is_refused() -> None:
    with pytest.raises(SummaryError):
        summaries.unpack(b"\x81\x80\x00")
    with pytest.raises(TableError):
        tables.unpack(b"\x81\x80\x00")


@given(st.binary(max_size=200), st.integers(0, 3), st.integers(0, 400))
def test_any_bytes_are_a_summary_or_refused(junk: bytes, which: int, place: int) -> None:
    good = summaries.pack(Summary(BODIES[which][0], 0, 0, 0, BODIES[which][1]))
    for value in (junk, good[: place % len(good)] + junk):
        try:
            summaries.unpack(value)
        except SummaryError:
            continue


TABLES: list[Table] = [
    ThresholdTable(
        5_000, {(b"t", b"s", b"n"): GroupThresholds(9, (1.0, 2.0, 3.0, 4.0, 5.0), None, False)}
    ),
    RateTable(5_000, "set/policy", 10.0, "fair", {(b"a", b"b"): 0.25}, 0.5),
]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_comes_back_as_it_went(table: Table) -> None:
    assert tables.unpack(tables.pack(table)) == table


@given(st.binary(max_size=200), st.integers(0, 1), st.integers(0, 400))
def test_any_bytes_are_a_table_or_refused(junk: bytes, which: int, place: int) -> None:
    good = tables.pack(TABLES[which])
    for value in (junk, good[: place % len(good)] + junk):
        try:
            tables.unpack(value)
        except TableError:
            continue
