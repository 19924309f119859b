"""Sharing a budget: all of it is used, nobody gets more than asked for, the order is nothing."""

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import logarithmic, smoothed, water_filling

amounts = st.one_of(st.just(0.0), st.floats(1e-3, 1e6))
asking = st.lists(st.tuples(amounts, st.floats(1e-3, 1e3)), max_size=12)
budgets = st.one_of(st.just(0.0), st.floats(1e-3, 1e7))


def filled(asked: list[tuple[float, float]], budget: float) -> list[float]:
    demands, weights = (np.array([row[i] for row in asked], np.float64) for i in (0, 1))
    shares: list[float] = water_filling(demands, weights, budget).tolist()
    return shares


def plainly(asked: list[tuple[float, float]], budget: float) -> list[Fraction]:
    """Pour, give the modest what they ask for, and pour again."""
    left, shares = Fraction(budget), [Fraction(0)] * len(asked)
    thirsty = set(range(len(asked)))
    while thirsty:
        level = left / sum(Fraction(asked[i][1]) for i in thirsty)
        modest = {i for i in thirsty if Fraction(asked[i][0]) <= level * Fraction(asked[i][1])}
        for i in modest or thirsty:
            shares[i] = Fraction(asked[i][0]) if modest else level * Fraction(asked[i][1])
            left -= shares[i]
        thirsty -= modest or thirsty
    return shares


@pytest.mark.parametrize(
    ("demands", "weights", "budget", "shares"),
    [
        ([], [], 10, []),
        ([5], [1], 10, [5]),
        ([50], [1], 10, [10]),
        ([1, 2, 9, 9], [1, 1, 1, 1], 13, [1, 2, 5, 5]),
        ([9, 1, 9, 2], [1, 1, 1, 1], 13, [5, 1, 5, 2]),
        ([100, 100], [3, 1], 40, [30, 10]),
        ([6, 100], [3, 1], 40, [6, 34]),
        ([0, 7], [1, 1], 3, [0, 3]),
        ([3, 7], [1, 1], 10, [3, 7]),
        ([3, 7], [1, 1], 0, [0, 0]),
        ([0, 0], [1, 1], 5, [0, 0]),
    ],
)
def test_shares(
    demands: list[float], weights: list[float], budget: float, shares: list[float]
) -> None:
    assert filled(list(zip(demands, weights, strict=True)), budget) == pytest.approx(shares)


@given(asking, budgets)
def test_the_vector_form_pours_as_the_plain_one_does(
    asked: list[tuple[float, float]], budget: float
) -> None:
    expected = [float(share) for share in plainly(asked, budget)]
    assert filled(asked, budget) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(asking, budgets)
def test_all_of_it_is_used_and_nobody_gets_more_than_asked_for(
    asked: list[tuple[float, float]], budget: float
) -> None:
    shares = filled(asked, budget)
    assert sum(shares) == pytest.approx(min(budget, sum(demand for demand, _ in asked)), abs=1e-6)
    for share, (demand, _) in zip(shares, asked, strict=True):
        assert 0 <= share <= demand


@given(asking, budgets)
def test_who_has_enough_has_exactly_what_was_asked_for(
    asked: list[tuple[float, float]], budget: float
) -> None:
    total = sum(demand for demand, _ in asked)
    assert filled(asked, 2 * total + budget) == [demand for demand, _ in asked]


@given(asking, budgets)
def test_nobody_starves(asked: list[tuple[float, float]], budget: float) -> None:
    total = sum(weight for _, weight in asked)
    for share, (demand, weight) in zip(filled(asked, budget), asked, strict=True):
        assert share >= min(demand, budget * weight / total) * (1 - 1e-9)


@given(asking, budgets, st.randoms(use_true_random=False))
def test_the_order_changes_nothing(
    asked: list[tuple[float, float]], budget: float, random: Random
) -> None:
    places = random.sample(range(len(asked)), len(asked))
    shuffled = filled([asked[place] for place in places], budget)
    assert shuffled == [filled(asked, budget)[place] for place in places]


@given(asking.filter(bool), budgets, st.floats(0, 1e6), st.data())
def test_more_to_share_is_never_less_for_anyone(
    asked: list[tuple[float, float]], budget: float, more: float, data: st.DataObject
) -> None:
    before = np.array(filled(asked, budget))
    assert (np.array(filled(asked, budget + more)) >= before * (1 - 1e-9) - 1e-6).all()
    who = data.draw(st.integers(0, len(asked) - 1))
    asked[who] = (asked[who][0] + more, asked[who][1])
    after = np.array(filled(asked, budget))
    others = np.arange(len(asked)) != who
    assert after[who] >= before[who] * (1 - 1e-9) - 1e-6
    assert (after[others] <= before[others] * (1 + 1e-9) + 1e-6).all()


COUNTS = {
    "one": 1, "two": 1, "three": 2, "four": 5, "five": 8, "six": 15, "seven": 45, "eight": 612,
    "nine": 2_000, "ten": 10_000,
}  # fmt: skip


def test_the_logarithmic_rates_are_the_known_ones() -> None:
    names = sorted(COUNTS)
    counts = np.array([COUNTS[name] for name in names], np.float64)
    means = np.full(len(names), np.nan)
    for _ in range(101):
        means = smoothed(means, counts, 0.2)
    rates = logarithmic(means, float(means.sum()) / 20)
    one_in = dict(zip(names, (1 / rates).tolist(), strict=True))
    assert one_in == {**dict.fromkeys(COUNTS, 1), "eight": 6, "nine": 14, "ten": 47}


@pytest.mark.parametrize(
    ("counts", "budget", "rates"),
    [
        ([], 10, []),
        ([5], 10, [1]),
        ([100], 10, [1 / 10]),
        ([100], 9.9, [1 / 11]),
        ([100, 100], 20, [1 / 10, 1 / 10]),
        ([1, 1], 1, [1 / 2, 1 / 2]),  # logarithms of 1 say nothing
        ([100], 0, [0]),
        ([1, 100], 10, [0, 1 / 10]),  # nothing was left before it
        ([100, 1], 10.5, [1 / 10, 1 / 2]),
    ],
)
def test_logarithmic_rates(counts: list[float], budget: float, rates: list[float]) -> None:
    assert logarithmic(np.array(counts, np.float64), budget).tolist() == rates


@given(st.lists(st.floats(1e-3, 1e6), max_size=12), budgets)
def test_logarithmic_rates_keep_no_more_than_the_budget(counts: list[float], budget: float) -> None:
    asked = np.array(counts, np.float64)
    rates = logarithmic(asked, budget)
    assert ((rates >= 0) & (rates <= 1)).all()
    assert float(asked @ rates) <= budget * (1 + 1e-9) + 1e-9
