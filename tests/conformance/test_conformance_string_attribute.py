"""string_attribute: samples by the value of an attribute of any span or resource."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.due_traces import Span, Trace, sampled_by

ON_SPAN = Trace((Span(), Span(attributes={"tenant": "globex"})))
ON_RESOURCE = Trace((Span(resource={"tenant": "globex"}), Span()))
ABSENT = Trace((Span(attributes={"other": "globex"}),))
EMPTY = Trace((Span(attributes={"tenant": ""}, resource={"tenant": ""}),))
PART = Trace((Span(attributes={"tenant": "globex-eu"}),))
BOTH = Trace((Span(attributes={"tenant": "globex"}, resource={"tenant": "acme"}),))
TRACES = [ON_SPAN, ON_RESOURCE, ABSENT, EMPTY, PART, BOTH]


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        ("{key: tenant, values: [globex]}", "yynnny"),
        ("{key: tenant, values: [acme, globex]}", "yynnny"),
        ("{key: tenant, values: [acme]}", "nnnnny"),
        ("{key: tenant, values: [GLOBEX]}", "nnnnnn"),
        ("{key: tenant, values: ['']}", "nnnnnn"),
        ("{key: tenant, values: []}", "nnnnnn"),
        ("{key: tenant}", "nnnnnn"),
        ("{key: tenant, values: ['glo.*'], cache_max_size: 10}", "nnnnnn"),
        # an expression matches anywhere in the value
        ("{key: tenant, values: [glob], enabled_regex_matching: true}", "yynnyy"),
        ("{key: tenant, values: ['^globex$'], enabled_regex_matching: true}", "yynnny"),
        ("{key: tenant, values: ['^lobex'], enabled_regex_matching: true}", "nnnnnn"),
        ("{key: tenant, values: ['zzz', '-eu$'], enabled_regex_matching: true}", "nnnnyn"),
        ("{key: tenant, values: ['(?i)GLOBEX'], enabled_regex_matching: true}", "yynnyy"),
        ("{key: tenant, values: ['.*'], enabled_regex_matching: true}", "yynnyy"),
        ("{key: tenant, values: [''], enabled_regex_matching: true}", "yynnyy"),
        # inverted: samples when no resource and no span matches, an absent key included
        ("{key: tenant, values: [globex], invert_match: true}", "nnyyyn"),
        ("{key: tenant, values: [acme], invert_match: true}", "yyyyyn"),
        (
            "{key: tenant, values: ['^glob'], enabled_regex_matching: true, invert_match: true}",
            "nnyynn",
        ),
        ("{key: tenant, values: [], invert_match: true}", "yyyyyy"),
    ],
)
def test_values(settings: str, sampled: str) -> None:
    assert sampled_by("string_attribute", settings, TRACES) == [s == "y" for s in sampled]


words = st.text("ab\u00e9", max_size=3)
held = st.dictionaries(st.sampled_from(["k", "l"]), words, max_size=2)
spans = st.builds(Span, attributes=held, resource=held)


@given(
    st.lists(st.one_of(words, st.sampled_from(["a+b", "^a", "b$", "[ab]{2}"])), max_size=3),
    st.booleans(),
    st.booleans(),
    st.lists(spans, min_size=1, max_size=4),
)
def test_compiled_and_plain_agree(
    values: list[str],
    regex: bool,  # noqa: FBT001 - drawn
    invert: bool,  # noqa: FBT001 - drawn
    drawn: list[Span],
) -> None:
    present = [str(h["k"]) for s in drawn for h in (s.attributes, s.resource) if h.get("k")]
    if regex:
        matches = any(re.search(pattern, value) for pattern in values for value in present)
    else:
        matches = any(value in values for value in present)
    settings = {
        "key": "k",
        "values": values,
        "enabled_regex_matching": regex,
        "invert_match": invert,
    }
    expected = [matches != invert]
    assert sampled_by("string_attribute", settings, [Trace(tuple(drawn))]) == expected
