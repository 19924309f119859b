"""always_sample: samples every trace, at threshold 0."""

import pytest

from streamsampler.policies import load_policy_set
from tests.conformance.due_traces import Span, Trace, decide, sampled_by


def test_every_trace_is_sampled_and_stands_for_itself() -> None:
    policy_set = load_policy_set("policies: [{name: all, type: always_sample}]", "table")
    verdicts = decide(policy_set, [Trace(), Trace((Span(status=2),), bytes(8) + b"\xff" * 8)])
    assert verdicts.decision.tolist() == [1, 1]
    assert verdicts.threshold.tolist() == [0, 0]
    assert verdicts.adjusted.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("settings", ["{}", "null"])
def test_it_may_have_an_empty_settings_block(settings: str) -> None:
    assert sampled_by("always_sample", settings, [Trace()]) == [True]
