"""trace_flags: samples when any span has the sampled flag."""

import pytest

from streamsampler.policies import load_policy_set
from tests.conformance.due_traces import Span, Trace, decide, sampled_by


@pytest.mark.parametrize(
    ("flags", "sampled"),
    [
        ([0], False),
        ([1], True),
        ([0, 1], True),
        ([2], False),
        ([3], True),
        ([0x100], False),  # OTLP's own bits lie above W3C's eight
        ([0x301], True),
        ([0xFE, 0xFFFFFFFE], False),
    ],
)
def test_any_span_with_the_flag_samples(flags: list[int], *, sampled: bool) -> None:
    trace = Trace(tuple(Span(flags=each) for each in flags))
    assert sampled_by("trace_flags", "{}", [trace]) == [sampled]


def test_it_needs_no_settings() -> None:
    policy_set = load_policy_set("policies: [{name: p, type: trace_flags}]", "table")
    traces = [Trace((Span(flags=1),)), Trace()]
    assert decide(policy_set, traces).decision.tolist() == [1, 0]


def test_of_the_root() -> None:
    traces = [Trace((Span(flags=1, root=True), Span())), Trace((Span(root=True), Span(flags=1)))]
    assert sampled_by("trace_flags", "{scope: root}", traces) == [True, False]
