"""Imported rules decide as Refinery's do: the first rule that matches counts, and it alone.

The twin reads the rules file itself, condition by condition, and knows nothing of policies. Where
Refinery throws dice, it holds the trace's randomness against the threshold.
"""

from collections.abc import Callable, Mapping
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamsampler.estimates import randomness, threshold
from streamsampler.policies import DROPPED, SAMPLED, load_policy_set
from streamsampler.policies.document import read_document
from streamsampler.policies.importing_refinery import import_refinery
from streamsampler.policies.written import to_yaml
from tests.conformance.due_traces import Span, Trace, decide

Rule = Mapping[str, Any]

texts = st.sampled_from(["x", "xy", "y"])
text_conditions = st.builds(
    lambda field, operator, value: {"Field": field, "Operator": operator, "Value": value},
    st.sampled_from(["a", "b", "root.a"]),
    st.sampled_from(["=", "!=", "starts-with", "contains", "in"]),
    texts,
)
number_conditions = st.builds(
    lambda operator, value: {"Field": "n", "Operator": operator, "Value": value, "Datatype": "int"},
    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
    st.integers(-1, 2),
)
count_conditions = st.builds(
    lambda operator, value: {"Field": "?.NUM_DESCENDANTS", "Operator": operator, "Value": value},
    st.sampled_from(["=", ">", ">="]),
    st.integers(1, 3),
)
actions = st.sampled_from(
    [
        {"Drop": True},
        {"SampleRate": 1},
        {"SampleRate": 2},
        {"SampleRate": 10},
        {"Sampler": {"DeterministicSampler": {"SampleRate": 4}}},
        {},
    ]
)
rules = st.builds(
    lambda conditions, scope, action: {"Scope": scope, "Conditions": conditions, **action},
    st.lists(st.one_of(text_conditions, number_conditions, count_conditions), max_size=3),
    st.sampled_from(["trace", "span"]),
    actions,
)
attributes = st.fixed_dictionaries({}, optional={"a": texts, "b": texts, "n": st.integers(-1, 2)})
traces = st.builds(
    lambda own, rooted, trace_id: Trace(
        tuple(Span(attributes=each, root=rooted and i == 0) for i, each in enumerate(own)), trace_id
    ),
    st.lists(attributes, min_size=1, max_size=3),
    st.booleans(),
    st.binary(min_size=16, max_size=16),
)

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "starts-with": lambda a, b: a.startswith(b),
    "contains": lambda a, b: b in a,
    "in": lambda a, b: a == b,
}


def meets(trace: Trace, span: Span, condition: Rule) -> bool:
    field, compare = condition["Field"], COMPARE[condition["Operator"]]
    if field == "?.NUM_DESCENDANTS":
        return compare(len(trace.spans), condition["Value"])
    if field.startswith("root."):
        roots = [each for each in trace.spans if each.root]
        if not roots:
            return False
        span, field = roots[0], field.removeprefix("root.")
    held = span.attributes.get(field)
    return held is not None and compare(held, condition["Value"])


def matches(trace: Trace, rule: Rule) -> bool:
    conditions = rule["Conditions"]
    if rule["Scope"] == "span":
        return any(all(meets(trace, s, each) for each in conditions) for s in trace.spans)
    return all(any(meets(trace, s, each) for s in trace.spans) for each in conditions)


def one_in(rule: Rule) -> int:
    """How many traces one kept trace stands for; 0 where none is kept."""
    if "Sampler" in rule:
        return int(rule["Sampler"]["DeterministicSampler"]["SampleRate"])
    return 0 if rule.get("Drop") else int(rule.get("SampleRate", 0))


def verdict(trace: Trace, rules: list[Rule]) -> tuple[bool, bool]:
    """Whether it is kept, and whether a rule that drops matched it."""
    rate = next((one_in(rule) for rule in rules if matches(trace, rule)), 1)
    kept = rate > 0 and randomness(trace.trace_id, None) >= threshold(1 / rate)
    return kept, rate == 0


OF_ONE_SPAN = [
    {
        "Scope": "span",
        "Drop": True,
        "Conditions": [
            {"Field": field, "Operator": "=", "Value": "x"} for field in ("a", "b", "root.a")
        ],
    }
]
APART = Trace((Span(attributes={"a": "x"}, root=True), Span(attributes={"b": "x"})))
TOGETHER = Trace((Span(attributes={"a": "x"}, root=True), Span(attributes={"a": "x", "b": "x"})))


@settings(max_examples=150, deadline=None)
@example(OF_ONE_SPAN, [APART, TOGETHER])
@given(st.lists(rules, max_size=4), st.lists(traces, min_size=1, max_size=6))
def test_imported_rules_decide_as_refinery(written: list[Rule], some: list[Trace]) -> None:
    named = [{"Name": f"r{i}", **rule} for i, rule in enumerate(written)]
    samplers = {"__default__": {"RulesBasedSampler": {"Rules": named}}}
    text = yaml.safe_dump({"RulesVersion": 2, "Samplers": samplers})
    outcome = import_refinery(read_document(text, "rules.yaml"))
    assert [remark for remark in outcome.remarks if remark.lost] == []
    decisions = decide(load_policy_set(to_yaml(outcome.document), "imported"), some).decision
    expected = [verdict(trace, written) for trace in some]
    assert [(each == SAMPLED, each == DROPPED) for each in decisions.tolist()] == expected
