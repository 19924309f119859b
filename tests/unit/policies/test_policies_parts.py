"""Policies within policies, dry runs and priorities: what is read, written, and refused."""

# ruff: noqa: E501 - a sentence is one line, so that it can be found

import json

import pytest

from streamsampler.policies import (
    AlwaysSampleSettings,
    LatencySettings,
    Policy,
    PolicyError,
    PolicySet,
    load_policy_set,
)
from streamsampler.policies.grounds import grounds_of
from streamsampler.policies.types import TYPES
from streamsampler.policies.types.and_ import AndSettings
from streamsampler.policies.types.drop import DropSettings
from streamsampler.policies.types.not_ import NotSettings

COLLECTORS = """
policies:
  - name: slow-errors
    type: and
    and:
      and_sub_policy:
        - {name: slow, type: latency, latency: {threshold_ms: 500}}
        - name: but-not-all
          type: not
          not:
            not_sub_policy: {name: all, type: always_sample}
  - name: health-checks
    type: drop
    drop:
      drop_sub_policy: [{name: all, type: always_sample}]
"""
ALL = Policy("all", "always_sample", AlwaysSampleSettings())
SLOW = Policy("slow", "latency", LatencySettings(threshold_ms=500))
NOT_ALL = Policy("but-not-all", "not", NotSettings(not_sub_policy=(ALL,)))
EXPECTED = PolicySet(
    (
        Policy("slow-errors", "and", AndSettings(and_sub_policy=(SLOW, NOT_ALL))),
        Policy("health-checks", "drop", DropSettings(drop_sub_policy=(ALL,))),
    )
)


def loaded(text: str) -> PolicySet:
    return load_policy_set(text, "p.yaml")


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as refused:
        loaded(text)
    return refused.value.problems


def test_parts_as_the_collector_writes_them() -> None:
    assert loaded(COLLECTORS) == EXPECTED


def test_parts_are_written_as_they_are_read() -> None:
    document = EXPECTED.document()
    assert document["policies"] == [
        {
            "name": "slow-errors",
            "type": "and",
            "and": {
                "and_sub_policy": [
                    {
                        "name": "slow",
                        "type": "latency",
                        "latency": LatencySettings(threshold_ms=500).model_dump(
                            mode="json", exclude_none=True
                        ),
                    },
                    {
                        "name": "but-not-all",
                        "type": "not",
                        "not": {
                            "not_sub_policy": {
                                "name": "all",
                                "type": "always_sample",
                                "always_sample": {},
                            }
                        },
                    },
                ],
                "scope": "any_span",
            },
        },
        {
            "name": "health-checks",
            "type": "drop",
            "drop": {
                "drop_sub_policy": [{"name": "all", "type": "always_sample", "always_sample": {}}],
                "scope": "any_span",
            },
        },
    ]
    assert loaded(json.dumps(document)) == EXPECTED


@pytest.mark.parametrize(
    ("head", "dry_run", "priority"),
    [
        ("", False, None),
        ("dry_run: true,", True, None),
        ("dry_run: false,", False, None),
        ("dry_run: ,", False, None),
        ("priority: high,", False, "high"),
        ("priority: 3,", False, "3"),
        ("priority: 0.5,", False, "0.5"),
        ("priority: '',", False, ""),
        ("dry_run: true, priority: 1,", True, "1"),
    ],
)
def test_dry_run_and_priority(head: str, dry_run: bool, priority: str | None) -> None:  # noqa: FBT001 - expected
    policy_set = loaded(f"policies: [{{{head} name: all, type: always_sample}}]")
    (policy,) = policy_set.policies
    assert policy == Policy("all", "always_sample", AlwaysSampleSettings(), dry_run, priority)
    again = loaded(json.dumps(policy_set.document()))
    assert (again, again.version) == (policy_set, policy_set.version)


def test_a_dry_run_is_another_set() -> None:
    text = "policies: [{name: all, type: always_sample%s}]"
    versions = {loaded(text % more).version for more in ("", ", dry_run: true", ", priority: a")}
    assert len(versions) == 3
    assert loaded(text % ", dry_run: false").version in versions


LATENCY = "{name: l, type: latency, latency: {threshold_ms: x}}"


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("{name: a, type: and}", "2:3: policies[0].and is missing; a policy of this type needs its settings."),
        ("{name: a, type: and, and: {}}", "2:29: policies[0].and.and_sub_policy is missing; expected a list of one policy or more."),
        ("{name: a, type: and, and: {and_sub_policy: }}", "2:46: policies[0].and.and_sub_policy is missing; expected a list of one policy or more."),
        ("{name: a, type: and, and: {and_sub_policy: []}}", "2:46: policies[0].and.and_sub_policy is an empty list: expected a list of one policy or more."),
        ("{name: a, type: and, and: {and_sub_policy: 5}}", "2:46: policies[0].and.and_sub_policy is 5: expected a list of policies."),
        ("{name: a, type: and, and: {and_sub_policy: {name: b}}}", "2:46: policies[0].and.and_sub_policy is a mapping: expected a list of policies."),
        ("{name: a, type: and, and: {and_sub_policy: [5]}}", "2:47: policies[0].and.and_sub_policy[0] is 5: expected a mapping with name and type."),
        ("{name: a, type: and, and: {sub_policy: [], and_sub_policy: [{name: b, type: always_sample}]}}", "2:30: policies[0].and.sub_policy is unknown; did you mean and_sub_policy?"),
        ("{name: a, type: not, not: {not_sub_policy: []}}", "2:46: policies[0].not.not_sub_policy is an empty list: expected a mapping, one policy."),
        ("{name: a, type: not, not: {}}", "2:29: policies[0].not.not_sub_policy is missing; expected a mapping, one policy."),
        (f"{{name: a, type: and, and: {{and_sub_policy: [{LATENCY}]}}}}", '2:96: policies[0].and.and_sub_policy[0].latency.threshold_ms is "x": expected a whole number of milliseconds, 0 to 9223372036854.'),
        (f"{{name: a, type: not, not: {{not_sub_policy: {LATENCY}}}}}", '2:95: policies[0].not.not_sub_policy.latency.threshold_ms is "x": expected a whole number of milliseconds, 0 to 9223372036854.'),
        ("{name: a, type: and, and: {and_sub_policy: [{name: b, type: always_sample}, {type: always_sample}]}}", "2:79: policies[0].and.and_sub_policy[1].name is missing; every policy needs a name."),
        ("{name: a, type: and, and: {and_sub_policy: [{name: '', type: always_sample}]}}", "2:54: policies[0].and.and_sub_policy[0].name is empty; every policy needs a name."),
        ("{name: a, type: and, and: {and_sub_policy: [{name: b, type: always_sample}, {name: b, type: always_sample}]}}", '2:86: policies[0].and.and_sub_policy[1].name is "b", which policies[0].and.and_sub_policy[0] has; give it another name.'),
        ("{name: a, type: and, and: {and_sub_policy: [{name: b, type: drop, drop: {drop_sub_policy: [{name: c, type: always_sample}]}}]}}", '2:63: policies[0].and.and_sub_policy[0].type is "drop", which stands at the top of a set only; use and.'),
        ("{name: a, type: and, and: {and_sub_policy: [{name: b, type: always_sample, dry_run: true}]}}", "2:78: policies[0].and.and_sub_policy[0].dry_run is for policies at the top of a set; a part decides nothing by itself."),
        ("{name: a, type: and, and: {and_sub_policy: [{name: b, type: always_sample, priority: 1}]}}", "2:78: policies[0].and.and_sub_policy[0].priority is for policies at the top of a set; a part decides nothing by itself."),
        ("{name: a, type: always_sample, dry_run: yes}", '2:43: policies[0].dry_run is "yes": expected true or false.'),
        ("{name: a, type: always_sample, priority: true}", "2:44: policies[0].priority is true: expected a string or a number."),
        ("{name: a, type: always_sample, priority: []}", "2:44: policies[0].priority is an empty list: expected a string or a number."),
    ],
)  # fmt: skip
def test_what_is_refused(policy: str, sentence: str) -> None:
    assert problems(f"policies:\n- {policy}") == (f"p.yaml:{sentence}",)


def test_parts_in_two_policies_may_have_one_name() -> None:
    text = "{{name: {}, type: not, not: {{not_sub_policy: {{name: same, type: always_sample}}}}}}"
    assert len(loaded(f"policies: [{text.format('a')}, {text.format('same')}]").policies) == 2


def nested(levels: int) -> str:
    policy = "{name: p, type: always_sample}"
    for _ in range(levels - 1):
        policy = f"{{name: p, type: not, not: {{not_sub_policy: {policy}}}}}"
    return f"policies: [{policy}]"


def test_levels_are_bounded() -> None:
    assert loaded(nested(5)).policies
    (sentence,) = problems(nested(6))
    assert sentence.endswith("not_sub_policy is too deep; policies have parts down to 5 levels.")


def many(parts: int) -> str:
    items = ", ".join(f"{{name: p{i}, type: always_sample}}" for i in range(parts))
    return f"policies: [{{name: a, type: and, and: {{and_sub_policy: [{items}]}}}}]"


def test_the_number_of_policies_is_bounded() -> None:
    assert loaded(many(499)).policies
    (sentence,) = problems(many(600))
    assert sentence.endswith(
        "and_sub_policy[499] is one too many; a set has at most 500 policies, with parts."
    )


def test_a_parts_doubts_are_told_with_their_place() -> None:
    text = "policies: [{name: n, type: not, not: {not_sub_policy: {name: l, type: latency, latency: {}}}}]"
    assert loaded(text).warnings == (
        "p.yaml:1:80: policies[0].not.not_sub_policy.latency keeps every trace that lasts at all; set threshold_ms.",
    )


# Grounds.


@pytest.mark.parametrize(
    ("policy", "grounds"),
    [
        ("type: always_sample", "every trace"),
        ("type: latency, latency: {threshold_ms: 500}", "duration over 500 ms"),
        ("type: latency, latency: {threshold_ms: 1, upper_threshold_ms: 9}", "duration over 1 ms and at most 9 ms"),
        ("type: status_code, status_code: {status_codes: [ERROR]}", "status ERROR"),
        ("type: status_code, status_code: {status_codes: [OK, ERROR, OK]}", "status OK or ERROR"),
        ("type: string_attribute, string_attribute: {key: http.route, values: [a]}", 'http.route is "a"'),
        ("type: string_attribute, string_attribute: {key: http.route, values: [a, b, c]}", "http.route is one of 3 values"),
        ("type: string_attribute, string_attribute: {key: k, values: [a], enabled_regex_matching: true}", 'k matches "a"'),
        ("type: string_attribute, string_attribute: {key: k, values: [a], invert_match: true}", 'not: k is "a"'),
        ("type: numeric_attribute, numeric_attribute: {key: k, min_value: 500}", "k is at least 500"),
        ("type: numeric_attribute, numeric_attribute: {key: k, max_value: 5}", "k is at most 5"),
        ("type: numeric_attribute, numeric_attribute: {key: k, min_value: 4, max_value: 5}", "k is from 4 to 5"),
        ("type: numeric_attribute, numeric_attribute: {key: k, min_value: 4, max_value: 4, invert_match: true}", "not: k is 4"),
        ("type: boolean_attribute, boolean_attribute: {key: k, value: true}", "k is true"),
        ("type: trace_state, trace_state: {key: k, values: [a]}", 'tracestate k is "a"'),
        ("type: trace_flags", "the sampled flag is set"),
        ("type: span_count, span_count: {min_spans: 5}", "5 spans or more"),
        ("type: span_count, span_count: {min_spans: 5, max_spans: 6}", "5 to 6 spans"),
        ("type: span_count, span_count: {max_spans: 6}", "at most 6 spans"),
        ("type: probabilistic, probabilistic: {sampling_percentage: 12.5}", "12.5 % by hash"),
        ("type: probabilistic, probabilistic: {sampling_percentage: 1, mode: equalizing}", "1 % by randomness"),
        ("type: not, not: {not_sub_policy: {name: s, type: trace_flags}}", "not (the sampled flag is set)"),
        (
            "type: and, and: {and_sub_policy: [{name: s, type: trace_flags}, {name: n, type: not, not: {not_sub_policy: {name: a, type: always_sample}}}]}",
            "the sampled flag is set and not (every trace)",
        ),
    ],
)  # fmt: skip
def test_grounds(policy: str, grounds: str) -> None:
    (one,) = loaded(f"policies: [{{name: p, {policy}}}]").policies
    assert grounds_of(one, TYPES) == grounds


def test_grounds_are_short() -> None:
    part = "{name: p%d, type: string_attribute, string_attribute: {key: %s, values: [b]}}"
    parts = ", ".join(part % (i, "k" * 500) for i in range(20))
    (one,) = loaded(
        f"policies: [{{name: p, type: and, and: {{and_sub_policy: [{parts}]}}}}]"
    ).policies
    assert len(grounds_of(one, TYPES)) <= 200
