"""trace_state: samples by a member of any span's W3C tracestate."""

import pytest

from tests.conformance.due_traces import Span, Trace, sampled_by


@pytest.mark.parametrize(
    ("settings", "states", "sampled"),
    [
        ("{key: tier, values: [gold]}", ["", "tier=gold"], True),
        ("{key: tier, values: [gold, silver]}", ["a=b,tier=silver"], True),
        ("{key: tier, values: [gold]}", ["tier=silver", "gold=tier"], False),
        ("{key: tier, values: [gold]}", ["tier=golden"], False),
        ("{key: tier, values: [gold]}", [""], False),
        ("{key: tier, values: []}", ["tier=gold"], False),
        ("{key: tier}", ["tier=gold"], False),
        ("{key: ot, values: ['th:8']}", ["ot=th:8"], True),
        ("{key: ot, values: ['th:8']}", ["ot=th:8;rv:8201e273ab4876"], False),
        ("{key: a@b, values: [c]}", ["a@b=c"], True),
        ("{key: Tier, values: [gold]}", ["Tier=gold"], False),
        # a list that breaks a rule says nothing, and other spans still count
        ("{key: tier, values: [gold]}", ["tier=gold,tier=gold"], False),
        ("{key: tier, values: [gold]}", ["tier=gold,tier=gold", "tier=gold"], True),
    ],
)
def test_one_member_of_one_span_is_enough(
    settings: str, states: list[str], *, sampled: bool
) -> None:
    trace = Trace(tuple(Span(state=state) for state in states))
    assert sampled_by("trace_state", settings, [trace]) == [sampled]


@pytest.mark.parametrize(("root", "sampled"), [(True, True), (False, False)])
def test_of_the_root(*, root: bool, sampled: bool) -> None:
    trace = Trace((Span(state="tier=gold", root=root), Span(root=not root)))
    settings = "{key: tier, values: [gold], scope: root}"
    assert sampled_by("trace_state", settings, [trace]) == [sampled]
