"""latency: samples by the duration of the whole trace, largest end minus smallest start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.due_traces import MS, Span, Trace, sampled_by


def lasting(*bounds_ns: tuple[int, int]) -> Trace:
    return Trace(tuple(Span(start_ns=start, end_ns=end) for start, end in bounds_ns))


@pytest.mark.parametrize(
    ("settings", "duration_ns", "sampled"),
    [
        ("{threshold_ms: 700}", 700 * MS - 1, False),
        ("{threshold_ms: 700}", 700 * MS, False),
        ("{threshold_ms: 700}", 700 * MS + 1, True),
        ("{threshold_ms: 700, upper_threshold_ms: 0}", 10**18, True),
        ("{threshold_ms: 700, upper_threshold_ms: 900}", 700 * MS, False),
        ("{threshold_ms: 700, upper_threshold_ms: 900}", 700 * MS + 1, True),
        ("{threshold_ms: 700, upper_threshold_ms: 900}", 900 * MS, True),
        ("{threshold_ms: 700, upper_threshold_ms: 900}", 900 * MS + 1, False),
        ("{upper_threshold_ms: 50}", 50 * MS, True),
        ("{upper_threshold_ms: 50}", 0, False),
        ("{threshold_ms: 0}", 0, False),
        ("{threshold_ms: 0}", 1, True),
        ("{threshold_ms: 0}", -5, False),  # clocks may run backwards
        ("{threshold_ms: 9223372036854}", 2**63 - 1, True),
        ("{threshold_ms: 7.0e2}", 700 * MS + 1, True),
    ],
)
def test_bounds(settings: str, duration_ns: int, *, sampled: bool) -> None:
    assert sampled_by("latency", settings, [lasting((0, duration_ns))]) == [sampled]


def test_the_duration_is_from_the_first_start_to_the_last_end_in_any_order() -> None:
    a, b, c = (100 * MS, 150 * MS), (0, 20 * MS), (300 * MS, 800 * MS)
    settings = "{threshold_ms: 700, upper_threshold_ms: 900}"
    orders = [lasting(a, b, c), lasting(c, b, a), lasting(b, c, a)]
    assert sampled_by("latency", settings, orders) == [True, True, True]


def test_an_early_short_span_does_not_bring_a_long_trace_under_the_upper_bound() -> None:
    settings = "{threshold_ms: 10, upper_threshold_ms: 50}"
    trace = lasting((0, 20 * MS), (0, 500 * MS))
    assert sampled_by("latency", settings, [trace]) == [False]


@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.lists(st.tuples(st.integers(0, 25 * MS), st.integers(0, 25 * MS)), min_size=1, max_size=5),
)
def test_compiled_and_plain_agree(low: int, high: int, spans: list[tuple[int, int]]) -> None:
    duration = max(end for _, end in spans) - min(start for start, _ in spans)
    expected = duration > low * MS and (high == 0 or duration <= high * MS)
    settings = f"{{threshold_ms: {low}, upper_threshold_ms: {high}}}"
    assert sampled_by("latency", settings, [lasting(*spans)]) == [expected]
