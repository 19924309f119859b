"""What is refused, and in which words: place, path, value, mend."""

# ruff: noqa: E501 - a sentence is one line, so that it can be found

import pytest

from streamsampler.policies import PolicyError, load_policy_set
from streamsampler.policies.sentences import listed
from streamsampler.policies.types import TYPES

ALL_TYPES = listed(sorted(TYPES))
LIST_OF_CODES = "expected a list of OK, ERROR and UNSET, one at least"
MILLISECONDS = "expected a whole number of milliseconds, 0 to 9223372036854"
PERCENTAGE = "expected a percentage from 0 to 100, or always"
DURATION = 'expected a duration like "30s" or "500ms"'


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as refused:
        load_policy_set(text, "p.yaml")
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "p.yaml: the policy set is empty: expected a mapping with a list of policies."),
        ("5", "p.yaml:1:1: the policy set is 5: expected a mapping with a list of policies."),
        (
            "tail_sampling:",
            "p.yaml:1:15: the policy set is empty: expected a mapping with a list of policies.",
        ),
        ("processors: {batch: }", "p.yaml:1:13: processors has no tail_sampling block; add one there."),
        (
            "processors: {tail_sampling: {}, tail_sampling/b: {}}",
            "p.yaml:1:13: there are several blocks, tail_sampling and tail_sampling/b; keep one.",
        ),
        ("{}", "p.yaml:1:1: policies is missing; expected a list of one policy or more."),
        ("policies: []", "p.yaml:1:11: policies is an empty list: expected a list of one policy or more."),
        ("policies: {a: 1}", "p.yaml:1:11: policies is a mapping: expected a list of one policy or more."),
        ("policies: [5]", "p.yaml:1:12: policies[0] is 5: expected a mapping with name and type."),
    ],
)  # fmt: skip
def test_what_is_no_set(text: str, sentence: str) -> None:
    assert problems(text) == (sentence,)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("decision_wait: 10", f'2:16: decision_wait is 10: {DURATION}; write "10s" if seconds are meant.'),
        ("decision_wait: true", f"2:16: decision_wait is true: {DURATION}."),
        (
            "decision_wait: 10 s",
            '2:16: decision_wait is "10 s": it is no duration; write it like "30s", "1m30s" or "500ms".',
        ),
        ("decision_wait: 0s", '2:16: decision_wait is "0s": expected at least "1ms".'),
        ("completion_grace: -1s", '2:19: completion_grace is "-1s": expected at least "0ms".'),
        ("decision_ttl: 1000000000h", '2:15: decision_ttl is "1000000000h": it is longer than 292 years.'),
        ("sample_on_first_match: yes", '2:24: sample_on_first_match is "yes": expected true or false; write true.'),
        ("sample_on_first_match: 1", "2:24: sample_on_first_match is 1: expected true or false."),
        ("tenant: acme", '2:9: tenant is "acme": expected a mapping of key and source.'),
        ("tenant: {key: ''}", '2:15: tenant.key is "": expected a key, not empty.'),
        ("tenant: {key: 5}", '2:15: tenant.key is 5: expected a key, not empty; write it in quotes: "5".'),
        (
            "tenant: {source: headers}",
            '2:18: tenant.source is "headers": expected any, resource, span or header; did you mean header?',
        ),
        ("tenant: {from: span}", "2:10: tenant.from is unknown; known here: key, source."),
        ("decision_wiat: 5s", "2:1: decision_wiat is unknown; did you mean decision_wait?"),
        ("num_trace: 5", "2:1: num_trace is unknown; did you mean num_traces?"),
        ("tenant: {key: '${env:KEY}'}", "2:15: tenant.key holds ${env:KEY}, which is not expanded here; write the value itself."),
    ],
)  # fmt: skip
def test_settings_of_the_set(line: str, sentence: str) -> None:
    assert problems(f"policies: [{{name: a, type: always_sample}}]\n{line}") == (
        f"p.yaml:{sentence}",
    )


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("{type: always_sample}", "2:3: policies[0].name is missing; every policy needs a name."),
        ("{name: '', type: always_sample}", "2:10: policies[0].name is empty; every policy needs a name."),
        ("{name: 5, type: always_sample}", "2:10: policies[0].name is 5: expected a string; write it in quotes."),
        ("{name: a}", f"2:3: policies[0].type is missing; expected one of {ALL_TYPES}."),
        ("{name: a, type: []}", f"2:19: policies[0].type is an empty list; expected one of {ALL_TYPES}."),
        ("{name: a, type: 5}", f"2:19: policies[0].type is 5; expected one of {ALL_TYPES}."),
        ("{name: a, type: latancy}", '2:19: policies[0].type is "latancy", which is unknown; did you mean latency?'),
        ("{name: a, type: Latency}", '2:19: policies[0].type is "Latency", which is unknown; did you mean latency?'),
        ("{name: a, type: zzz}", f'2:19: policies[0].type is "zzz", which is unknown; expected one of {ALL_TYPES}.'),
        ("{name: a, type: latency}", "2:3: policies[0].latency is missing; a policy of this type needs its settings."),
        ("{name: a, type: latency, latency: }", "2:37: policies[0].latency is missing; a policy of this type needs its settings."),
        ("{name: a, type: latency, latency: 5}", "2:37: policies[0].latency is 5: expected a mapping."),
        ("{name: a, type: always_sample, lattency: 5}", "2:34: policies[0].lattency is unknown; did you mean latency?"),
        ("{name: a, type: always_sample, always_sample: {x: 1}}", "2:50: policies[0].always_sample.x is unknown; leave it out."),
    ],
)  # fmt: skip
def test_heads_of_policies(policy: str, sentence: str) -> None:
    assert problems(f"policies:\n- {policy}") == (f"p.yaml:{sentence}",)


@pytest.mark.parametrize(
    ("policy_type", "settings", "sentence"),
    [
        ("status_code", "{}", f"1: policies[0].status_code.status_codes is missing; {LIST_OF_CODES}."),
        ("status_code", "{status_codes: []}", f"16: policies[0].status_code.status_codes is an empty list: {LIST_OF_CODES}."),
        ("status_code", "{status_codes: ERROR}", f'16: policies[0].status_code.status_codes is "ERROR": {LIST_OF_CODES}; write [ERROR].'),
        ("status_code", "{status_codes: [error]}", '17: policies[0].status_code.status_codes[0] is "error": expected OK, ERROR or UNSET; did you mean ERROR?'),
        ("status_code", "{status_codes: [OK, 2]}", "21: policies[0].status_code.status_codes[1] is 2: expected OK, ERROR or UNSET."),
        ("latency", "{treshold_ms: 5}", "2: policies[0].latency.treshold_ms is unknown; did you mean threshold_ms?"),
        ("latency", "{fastest_ms: 99}", "2: policies[0].latency.fastest_ms is unknown; known here: fallback_ms, min_traces, percentile, threshold_ms, upper_threshold_ms."),
        ("latency", "{threshold_ms: 700ms}", f'16: policies[0].latency.threshold_ms is "700ms": {MILLISECONDS}.'),
        ("latency", "{threshold_ms: '700'}", f'16: policies[0].latency.threshold_ms is "700": {MILLISECONDS}; write 700 without quotes.'),
        ("latency", "{threshold_ms: 1.5}", f"16: policies[0].latency.threshold_ms is 1.5: {MILLISECONDS}."),
        ("latency", "{threshold_ms: -1}", f"16: policies[0].latency.threshold_ms is -1: {MILLISECONDS}."),
        ("latency", "{threshold_ms: 9223372036855}", f"16: policies[0].latency.threshold_ms is 9223372036855: {MILLISECONDS}."),
        ("latency", "{threshold_ms: .inf}", f"16: policies[0].latency.threshold_ms is Infinity: {MILLISECONDS}."),
        ("latency", "{threshold_ms: true}", f"16: policies[0].latency.threshold_ms is true: {MILLISECONDS}."),
        ("string_attribute", "{values: [a]}", "1: policies[0].string_attribute.key is missing; expected the attribute's key, not empty."),
        ("string_attribute", "{key: '', values: [a]}", '7: policies[0].string_attribute.key is "": expected the attribute\'s key, not empty.'),
        ("string_attribute", "{key: k, values: a}", '18: policies[0].string_attribute.values is "a": expected a list of strings; write [a].'),
        ("string_attribute", "{key: k, values: [a, 200]}", '22: policies[0].string_attribute.values[1] is 200: expected a string; write it in quotes: "200".'),
        ("string_attribute", "{key: k, values: [a, true]}", '22: policies[0].string_attribute.values[1] is true: expected a string; write it in quotes: "true".'),
        ("string_attribute", "{key: k, values: ['a${X}']}", "19: policies[0].string_attribute.values[0] holds ${X}, which is not expanded here; write the value itself."),
        ("string_attribute", "{key: k, values: [a, '(b'], enabled_regex_matching: true}", '22: policies[0].string_attribute.values[1] is "(b": expected an RE2 expression; RE2 says: missing ): (b.'),
        ("string_attribute", "{key: k, values: ['(?=b)'], enabled_regex_matching: true}", '19: policies[0].string_attribute.values[0] is "(?=b)": expected an RE2 expression; RE2 says: invalid perl operator: (?=.'),
        ("string_attribute", "{key: k, cache_max_size: -1}", "26: policies[0].string_attribute.cache_max_size is -1: expected a whole number, 0 or more."),
        ("string_attribute", "{key: k, invert_match: no}", '24: policies[0].string_attribute.invert_match is "no": expected true or false; write false.'),
        ("probabilistic", "{sampling_percentage: '10'}", '23: policies[0].probabilistic.sampling_percentage is "10": expected a number of percent; write 10 without quotes.'),
        ("probabilistic", "{sampling_percentage: 10%}", '23: policies[0].probabilistic.sampling_percentage is "10%": expected a number of percent.'),
        ("probabilistic", "{sampling_percentage: .nan}", "23: policies[0].probabilistic.sampling_percentage is NaN: expected a number of percent."),
        ("probabilistic", "{sampling_percentage: 10, hash_salt: 5}", '38: policies[0].probabilistic.hash_salt is 5: expected a string; write it in quotes: "5".'),
        ("probabilistic", "{mode: hash}", '8: policies[0].probabilistic.mode is "hash": expected hash_seed, equalizing or proportional; did you mean hash_seed?'),
        ("numeric_attribute", "{key: k}", "1: policies[0].numeric_attribute is a mapping: it has no bound; set min_value, max_value or both."),
        ("numeric_attribute", "{key: k, min_value: '5'}", '21: policies[0].numeric_attribute.min_value is "5": expected a whole number of 64 bits; write 5 without quotes.'),
        ("numeric_attribute", "{key: k, max_value: 9223372036854775808}", "21: policies[0].numeric_attribute.max_value is 9223372036854775808: expected a whole number of 64 bits."),
        ("numeric_attribute", "{key: k, min_value: 1.5}", "21: policies[0].numeric_attribute.min_value is 1.5: expected a whole number of 64 bits."),
        ("numeric_attribute", "{min_value: 1}", "1: policies[0].numeric_attribute.key is missing; expected the attribute's key, not empty."),
        ("boolean_attribute", "{key: k, value: 1}", "17: policies[0].boolean_attribute.value is 1: expected true or false."),
        ("boolean_attribute", "{key: k, value: yes}", '17: policies[0].boolean_attribute.value is "yes": expected true or false; write true.'),
        ("trace_state", "{values: [a]}", "1: policies[0].trace_state.key is missing; expected the member's key, not empty."),
        ("trace_state", "{key: k, values: a}", '18: policies[0].trace_state.values is "a": expected a list of strings; write [a].'),
        ("trace_flags", "{flags: 1}", "2: policies[0].trace_flags.flags is unknown; known here: scope."),
        ("span_count", "{min_spans: -1}", "13: policies[0].span_count.min_spans is -1: expected a whole number, 0 or more."),
        ("span_count", "{max_spans: x}", '13: policies[0].span_count.max_spans is "x": expected a whole number, 0 for no bound.'),
        ("string_attribute", "{key: k, values: [a], scope: span}", '30: policies[0].string_attribute.scope is "span": expected any_span, same_span or root; did you mean any_span?'),
        ("status_code", "{status_codes: [OK], scope: 5}", "29: policies[0].status_code.scope is 5: expected any_span, same_span or root."),
        ("tenant", "{tenants: [a]}", "11: policies[0].tenant.tenants is a list: expected a mapping from tenant to percentage."),
        ("tenant", "{tenants: {a: 101}}", f"15: policies[0].tenant.tenants.a is 101: {PERCENTAGE}."),
        ("tenant", "{tenants: {a: -1}}", f"15: policies[0].tenant.tenants.a is -1: {PERCENTAGE}."),
        ("tenant", "{tenants: {a: never}}", f'15: policies[0].tenant.tenants.a is "never": {PERCENTAGE}.'),
        ("tenant", "{tenants: {a: }}", f"15: policies[0].tenant.tenants.a is empty: {PERCENTAGE}."),
        ("tenant", "{tenants: {a: true}}", f"15: policies[0].tenant.tenants.a is true: {PERCENTAGE}."),
        ("tenant", "{tenants: {a: 1.0e-20}}", "15: policies[0].tenant.tenants.a is 1e-20: the smallest percentage above 0 is 1.4e-15."),
        ("tenant", "{tenants: {'': 5}}", "11: policies[0].tenant.tenants is a mapping: a tenant's name is empty; traces without a tenant get what other says."),
        ("tenant", "{other: .nan}", f"9: policies[0].tenant.other is NaN: {PERCENTAGE}."),
    ],
)  # fmt: skip
def test_settings_of_policies(policy_type: str, settings: str, sentence: str) -> None:
    text = f"policies:\n- name: p\n  type: {policy_type}\n  {policy_type}:\n    {settings}"
    column, _, rest = sentence.partition(":")
    assert problems(text) == (f"p.yaml:5:{int(column) + 4}:{rest}",)


def test_a_long_value_is_cut() -> None:
    (sentence,) = problems(f"policies: [{{name: a, type: {'x' * 200}}}]")
    assert f'"{"x" * 56}...' in sentence


def test_names_are_unique() -> None:
    text = "policies:\n- {name: a, type: always_sample}\n- {name: a, type: always_sample}"
    assert problems(text) == (
        'p.yaml:3:10: policies[1].name is "a", which policies[0] has; give it another name.',
    )


def test_everything_is_said_at_once_in_the_order_of_the_text() -> None:
    text = """
processors:
  tail_sampling:
    decision_wait: 10
    policies:
      - {name: a, type: latency, latency: {treshold_ms: 5, upper_threshold_ms: x}}
      - {name: a, type: and}
    simple_on_first_match: true
"""
    assert problems(text) == (
        f'p.yaml:4:20: decision_wait is 10: {DURATION}; write "10s" if seconds are meant.',
        "p.yaml:6:44: policies[0].latency.treshold_ms is unknown; did you mean threshold_ms?",
        f'p.yaml:6:80: policies[0].latency.upper_threshold_ms is "x": {MILLISECONDS}.',
        "p.yaml:7:9: policies[1].and is missing; a policy of this type needs its settings.",
        'p.yaml:7:16: policies[1].name is "a", which policies[0] has; give it another name.',
        "p.yaml:8:5: simple_on_first_match is unknown; did you mean sample_on_first_match?",
    )


def test_json_that_is_no_yaml_has_no_lines() -> None:
    text = '{"policies": [{"name": "\\ud83d\\ude00", "type": "latency", "latency": 5}]}'
    assert problems(text) == ("p.yaml: policies[0].latency is 5: expected a mapping.",)


def test_a_set_has_at_most_64_predicates() -> None:
    def text(n: int) -> str:
        return "policies:\n" + "".join(
            f"- {{name: p{i}, type: string_attribute, string_attribute: {{key: k{i}, values: [a]}}}}\n"
            for i in range(n)
        )

    assert len(load_policy_set(text(64), "p.yaml").policies) == 64
    assert problems(text(65)) == (
        (
            "p.yaml:1:1: policies ask more than 64 different questions of each span; "
            "merge those that test the same key, or leave some out."
        ),
    )


@pytest.mark.parametrize(
    "text",
    [
        f'{{"policies": [{{"name": "a", "type": "latency", "latency": {{"{"x" * 5000}": 1}}}}]}}',
        f"policies: [{{name: a, type: latency, latency: {{threshold_ms: {'9' * 4000}}}}}]",
        (
            "policies: [{name: a, type: string_attribute, string_attribute: "
            f"{{key: k, enabled_regex_matching: true, values: ['{'(a|' * 5000}']}}}}]"
        ),
    ],
    ids=["key", "number", "expression"],
)
def test_no_sentence_repeats_long_input(text: str) -> None:
    (sentence,) = problems(text)
    assert len(sentence) < 300
