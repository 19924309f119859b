"""Thresholds, randomness and adjusted counts: the vectors and the traps."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from streamsampler.estimates import (
    MODULUS,
    NO_THRESHOLD,
    adjusted_count,
    adjusted_counts,
    decode,
    encode,
    parse_randomness,
    probability,
    raised,
    randomness,
    randomness_of_ids,
    threshold,
)

thresholds = st.integers(0, MODULUS - 1)


@pytest.mark.parametrize(
    ("p", "th", "count"),
    [
        (1, "0", 1.0),
        (1 / 2, "8", 2.0),
        (1 / 4, "c", 4.0),
        (1 / 10, "e6666666666666", 10.0),
        (1 / 3, "aaaaaaaaaaaaac", 3.0),
        (1 / 100, "fd70a3d70a3d71", 100.00000000000006),  # T is rounded
        (0.96875, "08", 1.032258064516129),
        (2**-56, "ffffffffffffff", 2.0**56),
        (1 - 2**-53, "00000000000008", 1 / (1 - 2**-53)),
        (Fraction(1, 3), "aaaaaaaaaaaaab", 3.0),
    ],
)
def test_probabilities_as_thresholds(p: float, th: str, count: float) -> None:
    assert encode(threshold(p)) == th
    assert decode(th) == threshold(p)
    assert adjusted_count(threshold(p)) == pytest.approx(count, rel=1e-15)


@pytest.mark.parametrize("p", [0, -0.5, 1.0000001, 2**-57, math.nan, math.inf])
def test_what_is_no_probability_has_no_threshold(p: float) -> None:
    with pytest.raises(ValueError, match="a sampling probability lies between"):
        threshold(p)


@pytest.mark.parametrize("number", [-1, MODULUS, NO_THRESHOLD])
def test_what_is_no_threshold_is_refused(number: int) -> None:
    for function in (encode, probability, adjusted_count):
        with pytest.raises(ValueError, match="is no threshold"):
            function(number)


@given(st.integers(1, MODULUS))
@example(1)
@example(3)
def test_a_small_probability_loses_no_digit(kept: int) -> None:
    assume(float(kept) == kept)  # a probability that a float can hold
    assert threshold(kept / MODULUS) == MODULUS - kept


@given(st.floats(2**-56, 1))
def test_a_threshold_is_the_nearest_to_its_probability(p: float) -> None:
    exact = MODULUS - Fraction(p) * MODULUS
    assert abs(threshold(p) - exact) <= Fraction(1, 2)


@given(thresholds)
def test_th_says_the_threshold_again_in_the_fewest_digits(number: int) -> None:
    th = encode(number)
    assert decode(th) == number
    assert th == "0" or not th.endswith("0")
    assert len(th) <= 14


@pytest.mark.parametrize(
    ("th", "number"),
    [
        ("0", 0),
        ("00", 0),
        ("8", 0x80000000000000),
        ("08", 0x08000000000000),
        ("80", 0x80000000000000),
        ("00000000000001", 1),
    ],
)
def test_th_is_padded_on_the_right(th: str, number: int) -> None:
    assert decode(th) == number


@pytest.mark.parametrize(
    "th", ["", "C", "0x8", "8 ", " 8", "+8", "-8", "1_0", "g", "8\n", "0" * 15, "\u0668"]
)
def test_anything_else_is_no_th(th: str) -> None:
    with pytest.raises(ValueError, match="is no th value"):
        decode(th)


@pytest.mark.parametrize(
    ("rv", "r"),
    [
        ("8201e273ab4876", 0x8201E273AB4876),
        ("0" * 14, 0),
        ("f" * 14, MODULUS - 1),
        ("8201E273AB4876", None),
        ("8201e273ab487", None),
        ("8201e273ab48760", None),
        ("+201e273ab4876", None),
        ("8201_273ab4876", None),
        ("8201e273ab487\n", None),
        ("", None),
    ],
)
def test_rv_has_exactly_fourteen_hex_digits(rv: str, r: int | None) -> None:
    trace_id = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
    assert parse_randomness(rv) == r
    assert randomness(trace_id, rv) == (0xCE929D0E0E4736 if r is None else r)


def test_a_known_trace_is_kept_at_a_half_and_a_quarter_and_not_at_a_tenth() -> None:
    r = randomness(bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"))
    assert r == 0xCE929D0E0E4736
    assert [r >= threshold(p) for p in (1 / 2, 1 / 4, 1 / 10)] == [True, True, False]


@given(st.lists(st.binary(min_size=16, max_size=16)))
def test_the_columns_have_the_same_randomness(ids: list[bytes]) -> None:
    id_lo = np.array([int.from_bytes(i[8:], "big") for i in ids], np.uint64)
    assert randomness_of_ids(id_lo).tolist() == [randomness(i) for i in ids]


@given(st.lists(thresholds))
@example([0, 1, MODULUS - 1])
def test_the_columns_have_the_same_adjusted_counts(numbers: list[int]) -> None:
    column = np.array([*numbers, NO_THRESHOLD], np.uint64)
    *known, unknown = adjusted_counts(column).tolist()
    assert known == [adjusted_count(number) for number in numbers]
    assert math.isnan(unknown)


@given(thresholds)
def test_an_adjusted_count_is_the_inverse_of_the_probability(number: int) -> None:
    assert probability(number) * adjusted_count(number) == pytest.approx(1, rel=1e-15)


@pytest.mark.parametrize(
    ("incoming", "verdict", "out"),
    [
        (None, 0, 0),
        (None, 8, 8),
        (4, 8, 8),
        (12, 8, 12),
        (12, 0, 12),
        (12, None, None),
        (None, None, None),
    ],
)
def test_a_threshold_only_ever_rises(
    incoming: int | None, verdict: int | None, out: int | None
) -> None:
    assert raised(incoming, verdict) == out
