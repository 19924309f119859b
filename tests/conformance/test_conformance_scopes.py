"""scope: whether a rule speaks of any span of the trace, of one and the same, or of the root."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.due_traces import Span, Trace, sampled_by

ROOT_A = Trace((Span(root=True, attributes={"k": "a"}), Span(attributes={"k": "b"})))
CHILD_A = Trace((Span(root=True, attributes={"k": "b"}), Span(attributes={"k": "a"})))
ONLY_A = Trace((Span(root=True, attributes={"k": "a"}), Span(attributes={"k": "a"})))
ONLY_B = Trace((Span(root=True, attributes={"k": "b"}), Span(attributes={"k": "b"})))
A_AND_ABSENT = Trace((Span(root=True, attributes={"k": "a"}), Span()))
ABSENT = Trace((Span(root=True), Span()))
RESOURCE_A = Trace((Span(root=True, resource={"k": "a"}), Span(resource={"k": "a"})))
NO_ROOT = Trace((Span(attributes={"k": "a"}), Span(attributes={"k": "b"})))
TRACES = [ROOT_A, CHILD_A, ONLY_A, ONLY_B, A_AND_ABSENT, ABSENT, RESOURCE_A, NO_ROOT]


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        ("", "yyynynyy"),
        (", scope: any_span", "yyynynyy"),
        (", scope: same_span", "yyynynyy"),
        (", scope: root", "ynynynyn"),
        (", invert_match: true", "nnnynynn"),
        # that some other span lacks the key says nothing
        (", invert_match: true, scope: same_span", "yynynnny"),
        (", invert_match: true, scope: root", "nynynnnn"),
    ],
)
def test_string_attribute(settings: str, sampled: str) -> None:
    found = sampled_by("string_attribute", f"{{key: k, values: [a]{settings}}}", TRACES)
    assert found == [s == "y" for s in sampled]


OK, ERROR = 1, 2


@pytest.mark.parametrize(
    ("scope", "sampled"), [("any_span", "yyn"), ("same_span", "yyn"), ("root", "ynn")]
)
def test_status_code(scope: str, sampled: str) -> None:
    traces = [
        Trace((Span(ERROR, root=True), Span(OK))),
        Trace((Span(OK, root=True), Span(ERROR))),
        Trace((Span(OK, root=True), Span(OK))),
    ]
    found = sampled_by("status_code", f"{{status_codes: [ERROR], scope: {scope}}}", traces)
    assert found == [s == "y" for s in sampled]


# and: its parts together.

A = "{name: a, type: string_attribute, string_attribute: {key: k, values: [a]}}"
NOT_A = (
    "{name: x, type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}}"
)
FAILED = "{name: f, type: status_code, status_code: {status_codes: [ERROR]}}"
NOT_FAILED = f"{{name: n, type: not, not: {{not_sub_policy: {FAILED}}}}}"
SLOW = "{name: s, type: latency, latency: {threshold_ms: 5}}"
BOTH = f"{{name: b, type: and, and: {{and_sub_policy: [{A}, {FAILED}]}}}}"

TOGETHER = Trace((Span(), Span(ERROR, attributes={"k": "a"}, end_ns=9_000_000)))
APART = Trace((Span(ERROR), Span(attributes={"k": "a"}, end_ns=9_000_000)))
AT_ROOT = Trace((Span(ERROR, root=True, attributes={"k": "a"}, end_ns=9_000_000),))
QUICK = Trace((Span(), Span(ERROR, attributes={"k": "a"}, end_ns=1_000_000)))
OTHER = Trace((Span(ERROR, attributes={"k": "b"}), Span(attributes={"k": "a"})))
SCENES = [TOGETHER, APART, AT_ROOT, QUICK, OTHER]


@pytest.mark.parametrize(
    ("parts", "scope", "sampled"),
    [
        ([A, FAILED], "any_span", "yyyyy"),
        ([A, FAILED], "same_span", "ynyyn"),
        ([A, FAILED], "root", "nnynn"),
        ([NOT_A, FAILED], "any_span", "nnnnn"),
        ([NOT_A, FAILED], "same_span", "nnnny"),
        # what is no question about spans is asked of the trace
        ([A, FAILED, SLOW], "same_span", "ynynn"),
        ([SLOW, A, FAILED], "same_span", "ynynn"),
        ([SLOW], "same_span", "yyynn"),
        # parts within parts are of the same span as well
        ([A, NOT_FAILED], "any_span", "nnnnn"),
        ([A, NOT_FAILED], "same_span", "nynny"),
        ([BOTH], "same_span", "ynyyn"),
        ([A, BOTH], "root", "nnynn"),
    ],
)
def test_parts_of_an_and(parts: list[str], scope: str, sampled: str) -> None:
    settings = f"{{and_sub_policy: [{', '.join(parts)}], scope: {scope}}}"
    assert sampled_by("and", settings, SCENES) == [s == "y" for s in sampled]


def test_a_part_of_the_root_among_parts_of_the_same_span() -> None:
    of_root = A.replace("[a]", "[a], scope: root")
    settings = f"{{and_sub_policy: [{of_root}, {FAILED}], scope: same_span}}"
    assert sampled_by("and", settings, SCENES) == [False, False, True, False, False]


# Any rules about a key and the status, asked of one span: read from the rules, span by span.

Rule = tuple[str, bool, str]  # the value, whether inverted, the rule's own scope


def plain_value(span: Span, rule: Rule) -> bool:
    value, invert, scope = rule
    held = [attributes["k"] for attributes in (span.attributes, span.resource) if "k" in attributes]
    met = bool(held) and value not in held if invert else value in held
    return met and (span.root or scope != "root")


values = st.sampled_from(["a", "b"])
scopes = st.sampled_from(["any_span", "same_span", "root"])
rules = st.lists(st.tuples(values, st.booleans(), scopes), min_size=1, max_size=3)
held = st.dictionaries(st.sampled_from(["k", "l"]), values, max_size=1)
spans = st.builds(
    Span, status=st.integers(0, 2), attributes=held, resource=held, root=st.booleans()
)


@given(
    rules,
    st.sampled_from(["same_span", "root"]),
    st.one_of(st.none(), st.booleans()),
    st.lists(spans, min_size=1, max_size=4),
)
def test_compiled_and_plain_agree_about_one_span(
    drawn: list[Rule],
    scope: str,
    failed: bool | None,  # noqa: FBT001 - drawn
    of_trace: list[Span],
) -> None:
    parts: list[dict[str, object]] = [
        {
            "name": f"p{number}",
            "type": "string_attribute",
            "string_attribute": {
                "key": "k", "values": [value], "invert_match": invert, "scope": own
            },
        }
        for number, (value, invert, own) in enumerate(drawn)
    ]  # fmt: skip
    status: dict[str, object] = {
        "name": "s", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}
    }  # fmt: skip
    other: dict[str, object] = {"name": "n", "type": "not", "not": {"not_sub_policy": status}}
    if failed is not None:
        parts.append(status if failed else other)
    expected = any(
        all(plain_value(span, rule) for rule in drawn)
        and (span.root or scope != "root")
        and failed in (None, span.status == ERROR)
        for span in of_trace
    )
    settings = {"and_sub_policy": parts, "scope": scope}
    assert sampled_by("and", settings, [Trace(tuple(of_trace))]) == [expected]
