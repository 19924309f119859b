"""Settings refuse what has no meaning, and know when the oracle would be wrong."""

from dataclasses import replace
from typing import Any

import pytest

from streamsampler.traffic import Traffic, TrafficSettings

_DEFAULTS = TrafficSettings()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"late_share": 1.5}, "late_share is 1.5: a share lies between 0 and 1"),
        ({"broken_share": -0.1}, "broken_share is -0.1: a share lies between 0 and 1"),
        ({"traces": -1}, "traces is -1: it must be 0 or more"),
        ({"tenants": 0}, "tenants is 0: it must be 1 or more"),
        ({"max_spans": 0}, "max_spans is 0: it must be 1 or more"),
        ({"spans_per_second": 0.0}, "spans_per_second is 0.0: it must be greater than 0"),
        ({"start_ms": 250}, "start_ms is 250: it must be greater than max_skew_ms 250"),
        ({"start_ms": 2**63}, "and less than 9000000000000"),
        ({"traces": 0, "bad_records": 1}, "bad_records are spread over the traces"),
    ],
)
def test_values_without_a_meaning_are_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(_DEFAULTS, **changed)


def test_the_defaults_fit_the_samplers_default_windows() -> None:
    assert _DEFAULTS.misfits(30_000, 6_000) == ()


@pytest.mark.parametrize(
    ("changed", "windows", "named"),
    [
        ({}, (30_000, 4_000), "completion_grace 4000 ms"),
        ({"out_of_order_ms": 2_000}, (30_000, 6_000), "completion_grace 6000 ms"),
        ({}, (20_000, 6_000), "decision_wait 20000 ms"),
        ({"late_after_ms": 30_000}, (30_000, 6_000), "late_after_ms 30000"),
    ],
)
def test_a_misfit_names_the_setting_and_the_window(
    changed: dict[str, Any], windows: tuple[int, int], named: str
) -> None:
    (sentence,) = replace(_DEFAULTS, **changed).misfits(*windows)
    assert named in sentence


def test_without_late_spans_their_time_does_not_matter() -> None:
    assert replace(_DEFAULTS, late_share=0, late_after_ms=1).misfits(30_000, 6_000) == ()


def test_the_planned_duration_covers_the_run() -> None:
    chosen = replace(_DEFAULTS, traces=2000)
    records = list(Traffic(chosen).records())
    lasted_ms = records[-1].time_ms - chosen.start_ms
    assert lasted_ms < chosen.duration_ms < 2 * lasted_ms
