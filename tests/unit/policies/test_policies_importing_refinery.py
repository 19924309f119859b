"""Refinery's rules taken over: each condition, each sampler, and which rule counts."""

from typing import Any

import pytest
import yaml

from streamsampler.policies import PolicyError, load_policy_set
from streamsampler.policies.document import read_document
from streamsampler.policies.importing import Imported
from streamsampler.policies.importing_refinery import import_refinery
from streamsampler.policies.written import to_yaml

IGNORE = {"error_mode": "ignore"}


def imported(text: str, environment: str | None = None) -> Imported:
    return import_refinery(read_document(text, "rules.yaml"), environment)


def rules(*written: str) -> Imported:
    """The default sampler with rules."""
    return imported(
        "RulesVersion: 2\nSamplers: {__default__: {RulesBasedSampler: {Rules: [\n"
        f"{','.join(written)}]}}}}}}\n"
    )


def policies(outcome: Imported) -> list[dict[str, Any]]:
    found = outcome.document["policies"]
    assert isinstance(found, list)
    return found


def said(outcome: Imported, *, lost: bool) -> list[str]:
    return [remark.sentence for remark in outcome.remarks if remark.lost == lost]


def loaded(outcome: Imported) -> None:
    """Fails where what was imported is no valid set."""
    load_policy_set(to_yaml(outcome.document), "imported")


def condition(text: str) -> dict[str, Any]:
    """The one policy of a rule with one condition that keeps all it matches."""
    outcome = rules(f"{{Name: r, SampleRate: 1, Conditions: [{{{text}}}]}}")
    assert said(outcome, lost=True) == []
    loaded(outcome)
    first, last = policies(outcome)
    assert first["name"] == "r"
    assert last == {"name": "no rule matched", "type": "always_sample"}
    return {key: value for key, value in first.items() if key != "name"}


def ottl(text: str, **more: str) -> dict[str, Any]:
    return {"type": "ottl_condition", "ottl_condition": {**IGNORE, "span": [text], **more}}


def text_test(*values: str, **more: object) -> dict[str, Any]:
    return {
        "type": "string_attribute",
        "string_attribute": {"key": "k", "values": [*values], **more},
    }


def number_test(**bounds: object) -> dict[str, Any]:
    return {"type": "numeric_attribute", "numeric_attribute": {"key": "k", **bounds}}


def bool_test(*, value: bool) -> dict[str, Any]:
    return {"type": "boolean_attribute", "boolean_attribute": {"key": "k", "value": value}}


K, R = 'attributes["k"]', 'resource.attributes["k"]'
REGEX: dict[str, object] = {"enabled_regex_matching": True}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Field: k, Operator: =, Value: a", text_test("a")),
        ("Field: k, Operator: =, Value: a, Datatype: string", text_test("a")),
        ("Field: k, Operator: =, Value: ''", ottl(f'{K} == "" or {R} == ""')),
        ("Field: k, Operator: =, Value: '5'", text_test("5")),
        (
            "Field: k, Operator: =, Value: 5, Datatype: string",
            ottl(f'{K} == "5" or {K} == 5 or {R} == "5" or {R} == 5'),
        ),
        (
            "Field: k, Operator: =, Value: true, Datatype: string",
            ottl(f'{K} == "true" or {K} == true or {R} == "true" or {R} == true'),
        ),
        ("Field: k, Operator: =, Value: 5", number_test(min_value=5, max_value=5)),
        ("Field: k, Operator: =, Value: '5', Datatype: int", number_test(min_value=5, max_value=5)),
        ("Field: k, Operator: '>', Value: 5", number_test(min_value=6)),
        ("Field: k, Operator: '>=', Value: 5", number_test(min_value=5)),
        ("Field: k, Operator: '<', Value: 5", number_test(max_value=4)),
        ("Field: k, Operator: '<=', Value: 5.9, Datatype: int", number_test(max_value=5)),
        ("Field: k, Operator: '>=', Value: 0", number_test(min_value=0)),
        ("Field: k, Operator: '>', Value: 0.5", ottl(f"{K} > 0.5 or {R} > 0.5")),
        ("Field: k, Operator: '=', Value: 2, Datatype: float", ottl(f"{K} == 2.0 or {R} == 2.0")),
        (
            "Field: k, Operator: '!=', Value: 5",
            number_test(min_value=5, max_value=5, invert_match=True, scope="same_span"),
        ),
        (
            "Field: k, Operator: '!=', Value: a",
            text_test("a", invert_match=True, scope="same_span"),
        ),
        (
            "Field: k, Operator: '!=', Value: a, Datatype: string",
            ottl(f'not ({K} == "a" or {R} == "a")'),
        ),
        ("Field: k, Operator: =, Value: true", bool_test(value=True)),
        ("Field: k, Operator: '!=', Value: 'T', Datatype: bool", bool_test(value=False)),
        ("Field: k, Operator: '>', Value: a", ottl(f'{K} > "a" or {R} > "a"')),
        ("Field: k, Operator: starts-with, Value: /a.b", text_test(r"^/a\.b", **REGEX)),
        ("Field: k, Operator: contains, Value: a+b", text_test(r"a\+b", **REGEX)),
        ("Field: k, Operator: matches, Value: '^a.*b$'", text_test("^a.*b$", **REGEX)),
        (
            "Field: k, Operator: does-not-contain, Value: 'a.b'",
            ottl(rf'not (IsMatch({K}, "a\\.b") or IsMatch({R}, "a\\.b"))'),
        ),
        ("Field: k, Operator: in, Value: [a, b]", text_test("a", "b")),
        ("Field: k, Operator: In, Value: a", text_test("a")),
        (
            "Field: k, Operator: in, Value: [1, 2], Datatype: int",
            ottl(f"{K} == 1 or {K} == 2 or {R} == 1 or {R} == 2"),
        ),
        (
            "Field: k, Operator: in, Value: [1]",
            ottl(f'{K} == "1" or {K} == 1 or {R} == "1" or {R} == 1'),
        ),
        ("Field: k, Operator: not-in, Value: [a]", ottl(f'not ({K} == "a" or {R} == "a")')),
        ("Field: k, Operator: exists", ottl(f"{K} != nil or {R} != nil")),
        ("Field: k, Operator: not-exists", ottl(f"{K} == nil and {R} == nil")),
        ("Field: root.k, Operator: =, Value: a", text_test("a", scope="root")),
        (
            "Field: root.k, Operator: '!=', Value: a",
            text_test("a", invert_match=True, scope="root"),
        ),
        ("Field: root.k, Operator: exists", ottl(f"{K} != nil or {R} != nil", scope="root")),
        (
            "Fields: [k, l], Operator: exists",
            ottl(
                f"{K} != nil or {R} != nil or {K.replace('k', 'l')} != nil or "
                f"{R.replace('k', 'l')} != nil"
            ),
        ),
        (
            "Fields: [name, k], Operator: =, Value: a",
            ottl('name == "a"'),
        ),
        (
            "Fields: [k, name], Operator: =, Value: a",
            ottl(f'({K} == "a" or {R} == "a") or ({K} == nil and {R} == nil and (name == "a"))'),
        ),
        ("Field: name, Operator: '!=', Value: a", ottl('not (name == "a")')),
        ("Field: name, Operator: exists", ottl("true")),
        ("Field: status_message, Operator: exists", ottl('status.message != ""')),
        ("Field: name, Operator: starts-with, Value: GET", ottl('IsMatch(name, "^GET")')),
        (
            "Field: duration_ms, Operator: '>=', Value: 1.5",
            ottl("(end_time_unix_nano - start_time_unix_nano) >= 1500000"),
        ),
        (
            "Field: root.duration_ms, Operator: '>', Value: 5, Datatype: int",
            ottl("(end_time_unix_nano - start_time_unix_nano) > 5000000", scope="root"),
        ),
        ("Field: status_code, Operator: =, Value: 2", ottl("status.code == 2")),
        ("Field: span.kind, Operator: =, Value: server", ottl("kind == SPAN_KIND_SERVER")),
        (
            "Field: type, Operator: not-in, Value: [server, client]",
            ottl("not (kind == SPAN_KIND_SERVER or kind == SPAN_KIND_CLIENT)"),
        ),
        ("Field: trace.parent_id, Operator: not-exists", ottl("IsRootSpan()")),
        ("Field: trace.parent_id, Operator: exists", ottl("not IsRootSpan()")),
        (
            "Field: error, Operator: exists",
            ottl(
                'status.code == STATUS_CODE_ERROR or attributes["error"] != nil or '
                'resource.attributes["error"] != nil'
            ),
        ),
        (
            "Field: error, Operator: =, Value: true",
            ottl(
                'status.code == STATUS_CODE_ERROR or attributes["error"] == true or '
                'resource.attributes["error"] == true'
            ),
        ),
        ("Operator: has-root-span, Value: true", ottl("IsRootSpan()")),
        (
            "Operator: has-root-span, Value: false",
            {
                "type": "not",
                "not": {"not_sub_policy": {"name": "has-root-span", **ottl("IsRootSpan()")}},
            },
        ),
        (
            "Field: '?.NUM_DESCENDANTS', Operator: '>', Value: 1000",
            {"type": "span_count", "span_count": {"min_spans": 1001}},
        ),
        (
            "Field: '?.NUM_DESCENDANTS', Operator: '<=', Value: 3",
            {"type": "span_count", "span_count": {"min_spans": 1, "max_spans": 3}},
        ),
    ],
)
def test_a_condition(written: str, expected: dict[str, Any]) -> None:
    assert condition(written) == expected


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("Field: k, Operator: equals, Value: a", 'Operator is "equals", which is no operator'),
        ("Field: k, Operator: has-root, Value: a", "did you mean has-root-span?"),
        ("Field: k, Operator: =, Value: a, Datatype: str", 'Datatype is "str": expected one of'),
        ("Field: k, Operator: =, Value: a, Datatype: int", 'Value is "a": expected a whole number'),
        ("Field: k, Operator: =, Value: a, Datatype: float", 'Value is "a": expected a number'),
        ("Field: k, Operator: '=', Value: .inf", "Value is no finite number"),
        ("Field: k, Operator: =, Value: 99999999999999999999, Datatype: int", "no attribute can"),
        ("Field: k, Operator: =", "Conditions[0] is empty: expected a text, a number"),
        ("Field: k, Operator: '>', Value: true", "compares a boolean by >"),
        ("Field: k, Operator: in, Value: [true], Datatype: bool", "no list of texts or numbers"),
        ("Field: k, Operator: matches, Value: '('", "Value is no RE2 expression"),
        ("Operator: =, Value: a", "has no Field, or both Field and Fields"),
        ("Field: k, Fields: [l], Operator: exists", "has no Field, or both Field and Fields"),
        ("Fields: [k, root.l], Operator: exists", "mixes fields of the root"),
        ("Field: meta.annotation_type, Operator: exists", "which Refinery makes itself"),
        ("Field: '?.OTHER', Operator: exists", "which Refinery makes itself"),
        ("Field: '?.NUM_DESCENDANTS', Operator: exists", "in a way that span_count cannot"),
        ("Field: '?.NUM_DESCENDANTS', Operator: '<', Value: 1", "that span_count cannot"),
        ("Field: trace.parent_id, Operator: =, Value: a", "whether it exists is all"),
        ("Field: span.kind, Operator: =, Value: 2", "in another way than unspecified, internal"),
        ("Field: duration_ms, Operator: contains, Value: 2", "no comparison with a number"),
        ("Field: error, Operator: contains, Value: x", "neither that it exists nor"),
        ("Field: k, Operator: exists, Valu: 2", "Conditions[0].Valu is not known"),
    ],
)
def test_a_condition_without_a_counterpart_is_said_with_its_place(
    written: str, reason: str
) -> None:
    outcome = rules(f"{{Name: r, SampleRate: 1, Conditions: [{{{written}}}]}}")
    sentences = said(outcome, lost=True)
    assert any(reason in each for each in sentences), sentences
    assert all(each.startswith("rules.yaml:3:") for each in sentences)


def test_a_rule_that_cannot_be_said_is_left_out_and_what_that_means_is_said() -> None:
    outcome = rules(
        "{Name: r, Drop: true, Conditions: [{Field: meta.x, Operator: exists}]}",
        "{Name: rest, SampleRate: 10}",
    )
    assert [policy["name"] for policy in policies(outcome)] == ["rest"]
    assert any(
        'Rules[0] ("r") was left out, so its traces go on to the rules below it' in each
        for each in said(outcome, lost=True)
    )


def test_negative_operators_that_are_true_of_a_missing_field_are_noted() -> None:
    outcome = rules(
        "{Name: r, SampleRate: 1, Conditions: [{Field: k, Operator: not-in, Value: [a]}]}"
    )
    assert said(outcome, lost=True) == []
    assert "as soon as one span lacks the field" in said(outcome, lost=False)[0]


A = "{Field: a, Operator: =, Value: x}"
B = "{Field: b, Operator: =, Value: x}"
ROOT_C = "{Field: root.c, Operator: =, Value: x}"


def names(policy: dict[str, Any]) -> Any:
    """A policy as names of parts in parts."""
    kind = policy["type"]
    if kind in ("and", "drop"):
        parts = [names(part) for part in policy[kind][f"{kind}_sub_policy"]]
        scope = policy[kind].get("scope")
        return (f"{kind} {scope}" if scope else kind, *parts)
    if kind == "not":
        return ("not", names(policy[kind]["not_sub_policy"]))
    return policy["name"]


def shape(outcome: Imported) -> dict[str, Any]:
    loaded(outcome)
    return {policy["name"]: names(policy) for policy in policies(outcome)}


def test_conditions_of_one_span_stand_together_and_those_of_the_trace_beside_them() -> None:
    outcome = rules(
        f"{{Name: trace, SampleRate: 1, Conditions: [{A}, {B}]}}",
        f"{{Name: span, SampleRate: 1, Scope: span, Conditions: [{A}, {ROOT_C}, {B}]}}",
        f"{{Name: same, SampleRate: 1, Scope: span, Conditions: [{A}, {B}]}}",
        f"{{Name: one, SampleRate: 1, Scope: span, Conditions: [{A}]}}",
        "{Name: never, SampleRate: 1, Scope: span, "
        "Conditions: [{Operator: has-root-span, Value: true}]}",
    )
    assert shape(outcome) == {
        "trace": ("and", "a = x", "b = x"),
        "span": ("and", "root.c = x", ("and same_span", "a = x", "b = x")),
        "same": ("and same_span", "a = x", "b = x"),
        "one": "one",
        "no rule matched": "no rule matched",
    }
    assert "never matches in Refinery" in said(outcome, lost=False)[0]


def test_what_a_negative_test_asks_of_one_span_needs_no_scope_of_its_own() -> None:
    negative = "{Field: b, Operator: '!=', Value: x}"
    outcome = rules(f"{{Name: r, SampleRate: 1, Scope: span, Conditions: [{A}, {negative}]}}")
    (policy, _) = policies(outcome)
    part = policy["and"]["and_sub_policy"][1]["string_attribute"]
    assert part == {"key": "b", "values": ["x"], "invert_match": True}
    loaded(outcome)


def test_a_rule_that_keeps_more_asks_that_the_stricter_before_it_did_not_match() -> None:
    outcome = rules(
        f"{{Name: tenth, SampleRate: 10, Conditions: [{A}]}}",
        f"{{Name: hundredth, SampleRate: 100, Conditions: [{B}]}}",
        f"{{Name: half, SampleRate: 2, Conditions: [{A}, {B}]}}",
    )
    assert shape(outcome) == {
        "tenth": ("and", "a = x", "rate"),
        "hundredth": ("and", "b = x", "rate"),
        "half": ("and", "a = x", "b = x", ("not", "tenth"), ("not", "hundredth"), "rate"),
        "no rule matched": (
            "and",
            ("not", "tenth"),
            ("not", "hundredth"),
            ("not", ("and", "a = x", "b = x")),
        ),
    }
    assert outcome.document["sample_on_first_match"] is True


def test_a_drop_asks_that_no_rule_before_it_matched() -> None:
    outcome = rules(
        f"{{Name: keep, SampleRate: 1, Conditions: [{A}]}}",
        f"{{Name: gone, Drop: true, Conditions: [{B}]}}",
        f"{{Name: gone too, Drop: true, Conditions: [{A}, {B}]}}",
        "{Name: rest, SampleRate: 4}",
    )
    assert shape(outcome) == {
        "keep": "keep",
        "gone": ("drop", "b = x", ("not", "keep")),
        "gone too": ("drop", "a = x", "b = x", ("not", "keep")),
        "rest": "rest",
    }
    assert policies(outcome)[-1]["probabilistic"] == {
        "sampling_percentage": 25,
        "mode": "equalizing",
    }


def test_behind_a_rule_that_matches_all_nothing_is_read() -> None:
    outcome = rules("{Name: rest, SampleRate: 4}", f"{{Name: x, Drop: true, Conditions: [{A}]}}")
    assert shape(outcome) == {"rest": "rest"}
    assert 'Rules[1] is never reached, as "rest" matches all' in said(outcome, lost=False)[-1]


def test_a_rule_without_an_action_drops_and_that_is_noted() -> None:
    outcome = rules(f"{{Name: r, Conditions: [{A}]}}")
    assert shape(outcome)["r"] == ("drop", "a = x")
    assert "has no Sampler, no Drop and no SampleRate" in said(outcome, lost=False)[0]


def test_rules_get_names_of_their_own() -> None:
    outcome = rules(
        f"{{SampleRate: 1, Conditions: [{A}, {A}]}}",
        f"{{Name: rule 1, SampleRate: 1, Conditions: [{B}]}}",
    )
    assert shape(outcome) == {
        "rule 1": ("and", "a = x", "a = x (2)"),
        "rule 1 (2)": "rule 1 (2)",
        "no rule matched": "no rule matched",
    }


RATE = {"sampling_percentage": 5, "mode": "equalizing"}
LIMIT = {"spans_per_second": 20}


@pytest.mark.parametrize(
    ("sampler", "policy", "lost"),
    [
        ("DeterministicSampler: {SampleRate: 1}", {"type": "always_sample"}, []),
        ("DeterministicSampler: ", {"type": "always_sample"}, []),
        (
            "DeterministicSampler: {SampleRate: 20}",
            {"type": "probabilistic", "probabilistic": RATE},
            [],
        ),
        (
            "DynamicSampler: {SampleRate: 20, FieldList: [a], ClearFrequency: 30s}",
            {"type": "probabilistic", "probabilistic": RATE},
            ["FieldList", "ClearFrequency"],
        ),
        (
            "EMADynamicSampler: {GoalSampleRate: 20, FieldList: [a], Weight: 0.5}",
            {"type": "probabilistic", "probabilistic": RATE},
            ["FieldList", "Weight"],
        ),
        (
            "EMADynamicSampler: {FieldList: [a]}",
            {
                "type": "probabilistic",
                "probabilistic": {"sampling_percentage": 10, "mode": "equalizing"},
            },
            ["FieldList"],
        ),
        (
            "EMAThroughputSampler: {GoalThroughputPerSec: 20, UseClusterSize: true}",
            {"type": "rate_limiting", "rate_limiting": LIMIT},
            [],
        ),
        (
            "WindowedThroughputSampler: {GoalThroughputPerSec: 20, LookbackFrequency: 30s}",
            {"type": "rate_limiting", "rate_limiting": LIMIT},
            ["LookbackFrequency"],
        ),
        (
            "TotalThroughputSampler: {GoalThroughputPerSec: 20, FieldList: [a], Odd: 1}",
            {"type": "rate_limiting", "rate_limiting": LIMIT},
            ["FieldList", "Odd"],
        ),
    ],
)
def test_a_sampler_by_itself(sampler: str, policy: dict[str, Any], lost: list[str]) -> None:
    outcome = imported(f"RulesVersion: 2\nSamplers: {{__default__: {{{sampler}}}}}\n")
    (only,) = policies(outcome)
    assert only == {"name": sampler.split(":", maxsplit=1)[0], **policy}
    assert sorted(each.split()[1].split(".")[-1] for each in said(outcome, lost=True)) == sorted(
        lost
    )
    loaded(outcome)


def test_a_goal_of_each_instance_is_noted_to_be_the_group_s() -> None:
    outcome = imported(
        "RulesVersion: 2\n"
        "Samplers: {__default__: {EMAThroughputSampler: {GoalThroughputPerSec: 20}}}\n"
    )
    assert "each instance" in said(outcome, lost=False)[0]


def test_a_rule_may_have_a_sampler_of_its_own() -> None:
    outcome = rules(
        f"{{Name: r, Conditions: [{A}], Sampler: {{EMAThroughputSampler: "
        "{GoalThroughputPerSec: 20, UseClusterSize: true}}}",
        "{Name: rest, SampleRate: 100}",
    )
    assert shape(outcome) == {
        "r": ("and", "a = x", "throughput"),
        "rest": ("and", ("not", "r"), "rate"),
    }


TWO = """\
RulesVersion: 2
Samplers:
  __default__: {DeterministicSampler: {SampleRate: 1}}
  shop: {DeterministicSampler: {SampleRate: 20}}
"""


def test_the_sampler_of_an_environment_is_asked_for_by_name() -> None:
    assert policies(imported(TWO, "shop"))[0]["type"] == "probabilistic"
    outcome = imported(TWO)
    assert policies(outcome)[0]["type"] == "always_sample"
    assert said(outcome, lost=True) == [
        (
            "rules.yaml:4:3: Samplers.shop is of another environment and was left out; "
            "import it by --environment."
        )
    ]


@pytest.mark.parametrize(
    ("text", "environment", "reason"),
    [
        ("RulesVersion: 1\nSamplers: {}", None, "rules.yaml:1:15: RulesVersion is 1: expected 2"),
        ("a: 1", None, "RulesVersion is empty: expected 2"),
        ("[]", None, "RulesVersion is empty: expected 2"),
        ("RulesVersion: 2", None, "Samplers is empty: expected a mapping"),
        (TWO, "shp", 'rules.yaml:2:1: there is no sampler for "shp"; did you mean shop?'),
        (TWO, "zzz", "there are __default__ and shop"),
    ],
)
def test_what_is_no_rules_file_is_refused(text: str, environment: str | None, reason: str) -> None:
    with pytest.raises(PolicyError) as raised:
        imported(text, environment)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("sampler", "reason"),
    [
        ("{}", "has no sampler; expected one of"),
        ("{OtherSampler: {}}", "OtherSampler is not known"),
        ("{DeterministicSampler: {SampleRate: 0}}", "SampleRate is 0: expected a whole number"),
        (
            "{DeterministicSampler: {}, DynamicSampler: {}}",
            "DynamicSampler is not read, as DeterministicSampler comes before it",
        ),
        ("{RulesBasedSampler: {CheckNestedFields: true}}", "fields within JSON texts"),
        (
            "{RulesBasedSampler: {Rules: [{Name: r, Scope: all, SampleRate: 1}]}}",
            'Scope is "all": expected trace or span',
        ),
    ],
)
def test_a_sampler_that_cannot_be_said_is_said(sampler: str, reason: str) -> None:
    outcome = imported(f"RulesVersion: 2\nSamplers: {{__default__: {sampler}}}\n")
    assert any(reason in each for each in said(outcome, lost=True))


def test_the_text_of_what_is_imported_is_plain_yaml() -> None:
    text = to_yaml(rules(f"{{Name: no, SampleRate: 4, Conditions: [{A}]}}").document)
    assert yaml.safe_load(text)["policies"][0]["name"] == "no"
