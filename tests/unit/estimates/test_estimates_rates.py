"""Moving means of counts, and rates that rise slowly and fall at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import MODULUS, eased, faded, smoothed, threshold, thresholds

NAN = float("nan")
rates = st.floats(1e-9, 1)


@pytest.mark.parametrize(
    ("mean", "count", "after"),
    [
        (8, 4, 7),
        (8, 0, 6),
        (0, 4, 1),
        (NAN, 4, 4),  # the first count is all that is known
        (NAN, 0, NAN),
    ],
)
def test_a_mean_after_one_more_interval(mean: float, count: float, after: float) -> None:
    assert smoothed(np.array([mean]), np.array([count], np.float64), 0.25) == pytest.approx(
        [after], nan_ok=True
    )


def test_a_steady_count_is_its_own_mean_and_a_step_is_followed() -> None:
    mean = np.array([NAN])
    for _ in range(10):
        mean = smoothed(mean, np.array([5.0]), 0.25)
        assert mean.tolist() == [5.0]
    for _ in range(5):
        mean = smoothed(mean, np.array([50.0]), 0.25)
    assert 38 < mean[0] < 40


@given(st.lists(st.one_of(st.just(NAN), st.floats(0, 1e6)), max_size=5), st.integers(0, 50))
def test_silence_in_one_step_is_silence_interval_by_interval(
    means: list[float], intervals: int
) -> None:
    one_by_one = np.array(means, np.float64)
    for _ in range(intervals):
        one_by_one = smoothed(one_by_one, np.zeros(len(means)), 0.25)
    at_once = faded(np.array(means, np.float64), 0.25, intervals)
    assert at_once == pytest.approx(one_by_one, nan_ok=True)


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [(0.2, 0.9, 0.3), (0.2, 0.25, 0.25), (0.2, 0.01, 0.01), (0.9, 1.0, 1.0), (NAN, 0.7, 0.7)],
)
def test_a_rate_on_its_way(before: float, wanted: float, after: float) -> None:
    assert eased(np.array([before]), np.array([wanted])) == pytest.approx([after])


@given(rates, rates)
def test_a_rate_arrives_and_never_goes_beyond(before: float, wanted: float) -> None:
    rate = np.array([before])
    for _ in range(60):  # 1.5 to this power is more than a rate can grow
        following = eased(rate, np.array([wanted]))
        assert following[0] <= max(wanted, rate[0])
        assert following[0] <= 1.5 * rate[0]
        rate = following
    assert rate[0] == wanted


@given(st.lists(st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1)), max_size=8))
def test_thresholds_of_columns(p: list[float]) -> None:
    expected = [threshold(one) if one >= 2**-56 else MODULUS for one in p]
    assert thresholds(np.array(p, np.float64)).tolist() == expected
