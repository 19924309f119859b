"""What follows from summaries: thresholds, rates, and the health of what is traced."""

from collections.abc import Mapping
from typing import Any, Literal

import msgpack
import numpy as np
import pytest
from datasketches import kll_floats_sketch
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import summaries, tables
from streamsampler.estimates.summaries import (
    Demand,
    Goal,
    GroupSummary,
    Key,
    PairSummary,
    Services,
    ServiceSummary,
    Summary,
)
from streamsampler.estimates.tables import GroupThresholds, RateTable, ThresholdTable
from topologies.durations import Durations
from topologies.entries import Entry
from topologies.health import Health
from topologies.rates import LEAST_SHARE, Rates, partition_shares, shared, smoothed_demand
from topologies.shards import Shards, Taken
from topologies.thresholds import MOST_BYTES, Thresholds, _chunks, make_shards

GROUP = (b"t", b"s", b"n")
OTHER = (b"t", b"s", b"o")
WINDOW = 20
QUARTER = 5


def row(durations: list[float], group: tuple[bytes, bytes, bytes] = GROUP) -> GroupSummary:
    sketch = kll_floats_sketch(2048)
    sketch.update(np.array(durations, np.float32))
    count = len(durations)
    return GroupSummary(
        group, count, 2 * count, 10 * count, 1, 2, 3, 4, 1.5 * count, sketch.serialize()
    )


def groups(interval: int, durations: list[float], partition: int = 0) -> Summary:
    return Summary("groups", partition, interval, 0, (row(durations),))


def make() -> Shards[Thresholds]:
    return make_shards(WINDOW, 4 * WINDOW)


def threshold(shards: Shards[Thresholds]) -> GroupThresholds:
    table = tables.unpack(shards.tables(0)[b"thresholds/0"])
    assert isinstance(table, ThresholdTable)
    return table.groups[GROUP]


def feed(
    shards: Shards[Thresholds], table: dict[bytes, bytes], intervals: range, duration: float
) -> None:
    for interval in intervals:
        value = summaries.pack(groups(interval, [duration] * 30))
        assert shards.take(0, value, table) is Taken.KEPT


def test_a_group_that_has_become_slower_is_named() -> None:
    shards, table = make(), dict[bytes, bytes]()
    feed(shards, table, range(2 * WINDOW), 10.0)
    calm = threshold(shards)
    assert (calm.reference_p99, calm.regressed) == (10.0, False)
    feed(shards, table, range(2 * WINDOW, 3 * WINDOW), 50.0)
    slow = threshold(shards)
    assert (slow.quantiles[0], slow.reference_p99, slow.regressed) == (10.0, 10.0, True)


def test_nothing_is_compared_with_before_there_is_enough_of_it() -> None:
    shards, table = make(), dict[bytes, bytes]()
    feed(shards, table, range(WINDOW), 10.0)
    assert threshold(shards).reference_p99 is None
    assert not threshold(shards).regressed


def test_the_reference_survives_a_restart_and_goes_when_it_is_old() -> None:
    shards, table = make(), dict[bytes, bytes]()
    feed(shards, table, range(3 * WINDOW), 10.0)
    again = make()
    assert again.rebuild([0], table.items()) == 0
    assert again.tables(0) == shards.tables(0)
    assert threshold(again).reference_p99 == 10.0
    feed(again, table, range(3 * WINDOW, 12 * WINDOW), 20.0)
    assert threshold(again).reference_p99 == 20.0
    # A window of entries, four windows of reference in quarters, and the reference that was frozen.
    assert len(table) <= WINDOW + 4 * WINDOW // QUARTER + 1


def test_a_long_night_closes_what_was_open() -> None:
    shards, table = make(), dict[bytes, bytes]()
    feed(shards, table, range(WINDOW), 10.0)
    feed(shards, table, range(3 * WINDOW, 3 * WINDOW + 1), 10.0)
    assert threshold(shards).count == 30
    assert threshold(shards).reference_p99 == 10.0


def test_the_reference_is_split_where_its_record_would_be_too_large() -> None:
    large = [
        GroupSummary(GROUP, 1, 1, 1, 0, 0, 0, 0, 1.0, bytes(MOST_BYTES // 2)) for _ in range(5)
    ]
    assert [len(chunk) for chunk in _chunks(large)] == [2, 2, 1]


changes = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.integers(0, 2),
        st.lists(st.integers(1, 9), max_size=3),
        st.booleans(),
    ),
    max_size=30,
)


@given(changes, st.integers(0, 40), st.integers(0, 40))
def test_sums_by_blocks_are_those_of_all_rows(
    made: list[tuple[int, int, list[int], bool]], first: int, last: int
) -> None:
    durations, plain = Durations(), dict[Entry, list[int]]()
    for interval, partition, values, forgotten in made:
        entry = Entry(b"g", 0, partition, interval, 0)
        durations.put(entry, (row([float(value) for value in values]),))
        durations.sums()  # so that blocks are merged before they change
        plain[entry] = values
        if forgotten:
            durations.forget(entry)
            del plain[entry]
    for bounds in ((None, None), (first, last), (None, last)):
        low, high = bounds[0] or 0, 40 if bounds[1] is None else bounds[1]
        expected = sum(len(v) for e, v in plain.items() if low <= e.interval <= high)
        sums = durations.sums(*bounds)
        counted = sums.get(GROUP)
        assert (counted.counts[0] if counted else 0) == expected
        assert (counted.sketch.n if counted else 0) == expected


GOAL = Goal("traces", 10.0, 0.5, "fair", {}, 1.0, {}, 1.0, 100)


def demand(costs: Mapping[Key, float], goal: Goal = GOAL) -> Demand:
    return Demand("p", goal, {key: (1, cost) for key, cost in costs.items()})


def entry(interval: int, partition: int = 0, part: int = 0) -> Entry:
    return Entry(b"d", 0, partition, interval, part)


A, B = (b"a",), (b"b",)


def test_demands_are_of_all_partitions_and_parts_for_each_second() -> None:
    rows = [
        (entry(1), demand({A: 10.0})),
        (entry(1, part=7), demand({A: 5.0})),
        (entry(9, partition=1), demand({A: 20.0, B: 5.0})),
    ]
    assert smoothed_demand(rows) == {A: pytest.approx(7.0), B: pytest.approx(1.0)}


def test_a_key_that_asks_no_more_fades() -> None:
    rows = [(entry(0), demand({A: 10.0})), (entry(3), demand({B: 10.0}))]
    found = smoothed_demand(rows)
    assert found[A] == pytest.approx(2.0 * 0.7**3)
    assert found[B] == pytest.approx(2.0)  # all of it at once, as it is new


@given(
    st.dictionaries(
        st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"])), st.floats(0.001, 1e6), min_size=1
    ),
    st.floats(0.1, 1e6),
    st.sampled_from(["fair", "log"]),
)
def test_shared_rates_hold_the_goal_and_waste_nothing(
    asked: dict[Key, float], per_second: float, balance: Literal["fair", "log"]
) -> None:
    goal = Goal("traces", per_second, 0.5, balance, {}, 1.0, {}, 1.0, 100)
    rates = shared(goal, asked, {})
    assert all(0 < rate <= 1 for rate in rates.values())
    kept = sum(rates[key] * asked[key] for key in asked)
    assert kept == pytest.approx(min(per_second, sum(asked.values())), rel=1e-6, abs=1e-2)


PARTITIONS = 12


@given(
    st.dictionaries(st.integers(0, PARTITIONS - 1), st.floats(0.001, 1e6), max_size=PARTITIONS),
    st.floats(0.1, 1e6),
)
def test_shares_of_a_limit_add_up_to_it_and_follow_demand(
    asked: dict[int, float], per_second: float
) -> None:
    goal = Goal("spans", per_second, 0.1, "shares", {}, 1.0, {}, 1.0, PARTITIONS)
    demand: dict[Key, float] = {(b"%d" % one,): cost for one, cost in asked.items()}
    shares, rest = partition_shares(goal, demand)
    assert shares.keys() == demand.keys()
    assert sum(shares.values()) + rest * (PARTITIONS - len(shares)) == pytest.approx(1.0)
    assert min((*shares.values(), rest)) >= LEAST_SHARE / PARTITIONS * (1 - 1e-9)
    backwards = dict(reversed(demand.items()))
    assert partition_shares(goal, backwards) == (shares, rest)
    level = max(shares.values(), default=rest) * per_second
    for key, share in shares.items():  # whoever has less than the most has what it asks for
        assert share * per_second >= min(demand[key], level) * (1 - 1e-6)


def test_a_limit_of_nothing_is_shared_evenly() -> None:
    goal = Goal("spans", 0.0, 0.1, "shares", {}, 1.0, {}, 1.0, 4)
    assert partition_shares(goal, {(b"1",): 5.0}) == ({}, 0.25)


def test_what_a_policy_of_the_same_name_asked_for_otherwise_does_not_count() -> None:
    window = Rates()
    window.put(entry(1), Summary("demands", 0, 1, 0, (demand({A: 500.0}),)))
    limit = Goal("spans", 10.0, 0.5, "shares", {}, 1.0, {}, 1.0, 2)
    now = Demand("p", limit, {(b"0",): (10, 500.0)})
    window.put(entry(2), Summary("demands", 0, 2, 0, (now,)))
    table = tables.unpack(window.tables()[b"rates/p"])
    assert isinstance(table, RateTable)
    assert table.balance == "shares"
    assert list(table.rates) == [(b"0",)]


def test_rates_are_capped_and_rise_by_steps() -> None:
    goal = Goal("traces", 100.0, 0.5, "fair", {A: 0.25}, 1.0, {}, 1.0, 100)
    assert shared(goal, {A: 10.0, B: 10.0}, {}) == {A: 0.25, B: 1.0}
    assert shared(goal, {B: 10.0}, {B: 0.1})[B] == pytest.approx(0.15)
    assert shared(goal, {B: 1000.0}, {B: 0.9})[B] == pytest.approx(0.1)


def test_keys_beyond_the_largest_go_by_the_initial_rate_and_count() -> None:
    goal = Goal("traces", 10.0, 0.5, "fair", {}, 1.0, {}, 1.0, 1)
    assert shared(goal, {A: 20.0, B: 8.0}, {}) == {A: pytest.approx((10 - 4) / 20)}


def test_a_table_made_twice_of_the_same_is_the_same() -> None:
    window = Rates()
    first = Summary("demands", 0, 1, 0, (demand({A: 500.0}),))
    window.put(entry(1), first)
    made = window.tables()
    window.put(entry(1), first)
    assert window.tables() == made
    window.put(entry(2), Summary("demands", 0, 2, 0, (demand({A: 5.0}),)))
    table = tables.unpack(window.tables()[b"rates/p"])
    assert isinstance(table, RateTable)
    assert table.version == 10_000
    assert table.rates[A] == pytest.approx(10 / (0.3 * 1 + 0.7 * 100))
    window.forget(entry(1))
    window.forget(entry(2))
    assert window.tables() == {}


SERVICES = Services(
    (ServiceSummary(b"shop", 50, 5, 10, 1, {b"service.version": 2}, 1),),
    (PairSummary(b"shop", b"stock", 20, 2, 1, -6.0, 3),),
)


def health_of(window: Health) -> Any:
    return msgpack.unpackb(window.tables()[b"health/0"])


def test_health_counts_what_was_put_once() -> None:
    window = Health(0, WINDOW)
    assert window.tables() == {}
    summary = Summary("services", 0, 7, 0, SERVICES)
    for partition in (0, 0, 1):
        window.put(Entry(b"s", 0, partition, 7, 0), summary)
    window.put(Entry(b"g", 0, 0, 7, 0), groups(7, [1.0, 2.0, 3.0, 4.0]))
    version, kind, stream_ms, figures = health_of(window)
    assert (version, kind, stream_ms) == (1, "health", 35_000)
    (service,), (pair,), (group,) = figures["services"], figures["pairs"], figures["groups"]
    assert (service["spans"], service["spans_per_second"]) == (100, 1.0)
    assert (service["error_share"], service["missing_attributes"]) == (0.1, {"service.version": 4})
    assert (pair["calls"], pair["clock_skew_ms"], pair["error_share"]) == (40, -2.0, 0.1)
    assert (group["traces"], group["error_share"], group["adjusted"]) == (4, 0.25, 6.0)
    window.forget(Entry(b"s", 0, 1, 7, 0))
    assert health_of(window)[3]["services"][0]["spans"] == 50


def test_health_of_nothing_has_no_shares_and_no_skew() -> None:
    window = Health(0, WINDOW)
    quiet = Services(
        (ServiceSummary(b"\xff", 0, 0, 0, 0, {}, 0),), (PairSummary(b"a", b"b", 0, 0, 0, 0.0, 0),)
    )
    window.put(Entry(b"s", 0, 0, 7, 0), Summary("services", 0, 7, 0, quiet))
    window.put(Entry(b"g", 0, 0, 7, 0), groups(7, []))
    figures = health_of(window)[3]
    assert figures["services"][0]["error_share"] == 0.0
    assert figures["services"][0]["service"] == "\N{REPLACEMENT CHARACTER}"
    assert figures["pairs"][0]["clock_skew_ms"] is None
    assert figures["groups"][0]["p99_ms"] is None


def asked(interval: int, cost: float, partition: int = 0) -> tuple[Entry, Demand]:
    goal = Goal("traces", 10.0, 0.5, "fair", {}, 1.0, {}, 1.0, 10)
    entry = Entry(b"d", 0, partition, interval, 0)
    return entry, Demand("p", goal, {(b"k",): (int(cost), cost)})


def test_a_burst_counts_at_once_and_a_lull_by_and_by() -> None:
    calm = [asked(interval, 100.0, partition) for interval in range(20) for partition in (0, 1)]
    assert smoothed_demand(calm)[(b"k",)] == pytest.approx(40.0)
    burst = [*calm, asked(20, 900.0), asked(20, 900.0, 1)]
    assert smoothed_demand(burst)[(b"k",)] == pytest.approx(360.0)
    wave = [*calm, asked(20, 150.0), asked(20, 150.0, 1)]
    assert smoothed_demand(wave)[(b"k",)] == pytest.approx(40.0 + 0.3 * 20.0)
    lull = [*calm, asked(20, 10.0), asked(20, 10.0, 1)]
    assert smoothed_demand(lull)[(b"k",)] == pytest.approx(40.0 - 0.3 * 36.0)


def test_whoever_takes_a_goal_over_goes_on_from_the_rates_that_its_entries_had() -> None:
    rates = Rates()
    for entry, demand in [asked(interval, 1_000.0) for interval in range(20)]:
        rates.put(entry, Summary("demands", 0, entry.interval, 0, (demand,)))
    entry, demand = asked(20, 20.0)
    rates.put(entry, Summary("demands", 0, 20, 0, (demand,)))
    (value,) = rates.tables().values()
    table = tables.unpack(value)
    assert isinstance(table, RateTable)
    assert table.rates[(b"k",)] <= 1.5 * 10.0 / 200.0
