"""numeric_attribute: samples by an integer attribute of any span or resource."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.due_traces import Span, Trace, sampled_by

MOST = 2**63 - 1

AT_200 = Trace((Span(), Span(attributes={"code": 200})))
AT_500 = Trace((Span(attributes={"code": 500}),))
ON_RESOURCE = Trace((Span(resource={"code": 500}), Span()))
ABSENT = Trace((Span(attributes={"other": 500}),))
OTHER_KINDS = Trace((Span(attributes={"code": "500"}), Span(resource={"code": 500.0})))
BOTH = Trace((Span(attributes={"code": 200}), Span(attributes={"code": 500})))
NEGATIVE = Trace((Span(attributes={"code": -1}),))
TRACES = [AT_200, AT_500, ON_RESOURCE, ABSENT, OTHER_KINDS, BOTH, NEGATIVE]


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        ("{key: code, min_value: 500}", "nyynnyn"),
        ("{key: code, min_value: 501}", "nnnnnnn"),
        ("{key: code, max_value: 200}", "ynnnnyy"),
        ("{key: code, max_value: 199}", "nnnnnny"),
        ("{key: code, min_value: 0}", "yyynnyn"),
        ("{key: code, max_value: 0}", "nnnnnny"),
        ("{key: code, min_value: 200, max_value: 500}", "yyynnyn"),
        ("{key: code, min_value: 201, max_value: 499}", "nnnnnnn"),
        ("{key: code, min_value: 500, max_value: 200}", "nnnnnnn"),
        ("{key: code, min_value: 500.0}", "nyynnyn"),
        # inverted: samples when no resource and no span matches, an absent key included
        ("{key: code, min_value: 500, invert_match: true}", "ynnyyny"),
        # in a narrower scope, some span has the key and does not match
        ("{key: code, min_value: 500, invert_match: true, scope: same_span}", "ynnnyyy"),
        ("{key: code, min_value: 500, scope: same_span}", "nyynnyn"),
    ],
)
def test_bounds(settings: str, sampled: str) -> None:
    assert sampled_by("numeric_attribute", settings, TRACES) == [s == "y" for s in sampled]


@pytest.mark.parametrize("value", [-MOST - 1, -MOST, -1, 0, 1, MOST - 1, MOST])
def test_bounds_are_inclusive_over_all_integers(value: int) -> None:
    trace = Trace((Span(attributes={"k": value}),))
    bounds = {"key": "k", "min_value": value, "max_value": value}
    assert sampled_by("numeric_attribute", bounds, [trace]) == [True]
    if value < MOST:
        above = {"key": "k", "min_value": value + 1}
        assert sampled_by("numeric_attribute", above, [trace]) == [False]


integers = st.integers(-(2**63), MOST)
bounds = st.one_of(st.none(), integers, st.integers(-3, 3))
values = st.one_of(integers, st.integers(-3, 3), st.booleans(), st.just("1"), st.just(1.0))
held = st.dictionaries(st.sampled_from(["k", "l"]), values, max_size=2)
spans = st.builds(Span, attributes=held, resource=held)


@given(bounds, bounds, st.booleans(), st.lists(spans, min_size=1, max_size=4))
def test_compiled_and_plain_agree(
    least: int | None,
    most: int | None,
    invert: bool,  # noqa: FBT001 - drawn
    drawn: list[Span],
) -> None:
    if least is None and most is None:
        least = 0
    found = [h["k"] for s in drawn for h in (s.attributes, s.resource) if type(h.get("k")) is int]
    matches = any(
        (least is None or int(str(value)) >= least) and (most is None or int(str(value)) <= most)
        for value in found
    )
    settings = {"key": "k", "min_value": least, "max_value": most, "invert_match": invert}
    trace = Trace(tuple(drawn))
    assert sampled_by("numeric_attribute", settings, [trace]) == [matches != invert]
