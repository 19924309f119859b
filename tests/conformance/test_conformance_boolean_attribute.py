"""boolean_attribute: samples by a boolean attribute of any span or resource."""

import pytest

from tests.conformance.due_traces import Span, Trace, sampled_by

TRUE = Trace((Span(), Span(attributes={"retry": True})))
FALSE = Trace((Span(attributes={"retry": False}),))
ON_RESOURCE = Trace((Span(resource={"retry": True}), Span()))
ABSENT = Trace((Span(attributes={"other": True}),))
OTHER_KINDS = Trace((Span(attributes={"retry": "true"}), Span(attributes={"retry": 1})))
BOTH = Trace((Span(attributes={"retry": False}), Span(resource={"retry": True})))
TRACES = [TRUE, FALSE, ON_RESOURCE, ABSENT, OTHER_KINDS, BOTH]


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        ("{key: retry, value: true}", "ynynny"),
        ("{key: retry, value: false}", "nynnny"),
        ("{key: retry}", "nynnny"),
        ("{key: Retry, value: true}", "nnnnnn"),
        ("{key: retry, value: true, invert_match: true}", "nynyyn"),
        ("{key: retry, value: false, invert_match: true}", "ynyyyn"),
        ("{key: retry, value: true, invert_match: true, scope: same_span}", "nynnyy"),
        ("{key: retry, value: true, scope: root}", "nnnnnn"),
    ],
)
def test_equality(settings: str, sampled: str) -> None:
    assert sampled_by("boolean_attribute", settings, TRACES) == [s == "y" for s in sampled]
