"""canary: cohorts by an attribute, each with a percentage of its own; R >= T decides."""

# ruff: noqa: E501 - a sentence is one line, so that it can be found

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import MODULUS, threshold
from streamsampler.policies import PolicyError, load_policy_set
from streamsampler.policies.grounds import grounds_of
from tests.conformance.due_traces import Span, Trace
from tests.conformance.one_policy import OnePolicy, letters, text_of

HALF, BELOW_HALF, LOWEST = "80000000000000", "7fffffffffffff", "0" * 14

RINGS = """{key: ring, cohorts: [
    {values: [canary], sampling_percentage: always},
    {values: ['^beta-'], enabled_regex_matching: true, sampling_percentage: 50},
    {values: [stable, canary], sampling_percentage: 10},
    {values: [off], sampling_percentage: 0}]}"""


def in_rings(*rings: str, rv: str = LOWEST) -> Trace:
    return Trace(tuple(Span(attributes={"ring": ring}) for ring in rings), rv=rv)


@pytest.mark.parametrize(
    ("trace", "sampled"),
    [
        (in_rings("canary"), "y"),
        (in_rings("beta-1", rv=HALF), "y"),
        (in_rings("beta-1", rv=BELOW_HALF), "n"),
        (in_rings("stable", rv=HALF), "n"),
        (in_rings("stable", rv="e6666666666666"), "y"),
        (in_rings("off", rv="f" * 14), "n"),
        (in_rings("another", rv="f" * 14), "n"),
        (in_rings("", rv="f" * 14), "n"),
        (Trace(rv="f" * 14), "n"),
        # the first cohort that any span is in
        (in_rings("stable", "canary"), "y"),
        (in_rings("off", "stable", rv="f" * 14), "y"),
        (in_rings("stable", "beta-1", rv=HALF), "y"),
        # a resource's attribute counts
        (Trace((Span(resource={"ring": "canary"}),), rv=LOWEST), "y"),
    ],
)
def test_cohorts(trace: Trace, sampled: str) -> None:
    assert letters(OnePolicy(text_of("canary", RINGS)).keeps([trace])) == sampled


@pytest.mark.parametrize(
    ("scope", "sampled"), [("any_span", "yyn"), ("same_span", "yyn"), ("root", "ynn")]
)
def test_scopes(scope: str, sampled: str) -> None:
    settings = (
        f"{{key: ring, cohorts: [{{values: [canary], sampling_percentage: 100}}], scope: {scope}}}"
    )
    mine, other = {"ring": "canary"}, {"ring": "stable"}
    traces = [
        Trace((Span(attributes=mine, root=True), Span(attributes=other))),
        Trace((Span(attributes=other, root=True), Span(attributes=mine))),
        Trace((Span(attributes=other, root=True),)),
    ]
    assert letters(OnePolicy(text_of("canary", settings)).keeps(traces)) == sampled


def test_the_verdict_carries_the_cohorts_threshold() -> None:
    traces = [in_rings(ring, rv="f" * 14) for ring in ("canary", "beta-x", "stable")]
    verdicts = OnePolicy(text_of("canary", RINGS)).decide(traces)
    assert verdicts.threshold.tolist() == [0, 0x80000000000000, 0xE6666666666666]
    assert verdicts.adjusted.tolist() == [1.0, 2.0, 10.0]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("{cohorts: [{values: [a], sampling_percentage: 5}]}", "canary.key is missing; expected the attribute's key, not empty."),
        ("{key: k}", "canary.cohorts is missing; expected a list of one cohort or more."),
        ("{key: k, cohorts: []}", "canary.cohorts is an empty list: expected a list of one cohort or more."),
        ("{key: k, cohorts: [{values: [a], sampling_percentage: 101}]}", "canary.cohorts[0].sampling_percentage is 101: expected a percentage from 0 to 100, or always."),
        ("{key: k, cohorts: [{values: ['(b'], enabled_regex_matching: true, sampling_percentage: 5}]}", 'canary.cohorts[0].values[0] is "(b": expected an RE2 expression; RE2 says: missing ): (b.'),
        ("{key: k, cohorts: [{values: [a], sampling_percentage: 5}], scope: span}", 'canary.scope is "span": expected any_span, same_span or root; did you mean any_span?'),
    ],
)  # fmt: skip
def test_what_is_refused(settings: str, problem: str) -> None:
    with pytest.raises(PolicyError) as refused:
        OnePolicy(text_of("canary", settings))
    (sentence,) = refused.value.problems
    assert sentence.endswith(f": policies[0].{problem}")


def test_cohorts_of_which_nothing_is_kept_are_remarked_on() -> None:
    text = text_of("canary", "{key: k, cohorts: [{values: [a], sampling_percentage: 0}]}")
    (warning,) = load_policy_set(text, "t").warnings
    assert warning.endswith("keeps no trace, as no percentage is above 0.")


def test_grounds() -> None:
    (policy,) = load_policy_set(text_of("canary", RINGS), "t").policies
    assert grounds_of(policy) == "its share of a cohort by ring"


cohorts = st.lists(
    st.fixed_dictionaries(
        {
            "values": st.lists(st.sampled_from("abcd"), min_size=1, max_size=2),
            "enabled_regex_matching": st.booleans(),
            "sampling_percentage": st.one_of(st.just(0.0), st.floats(0.001, 100)),
        }
    ),
    min_size=1,
    max_size=3,
)


@given(
    cohorts,
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["", "a", "b", "ab", "cd"]), min_size=1, max_size=2),
            st.integers(0, MODULUS - 1),
        ),
        max_size=8,
    ),
)
def test_compiled_and_plain_agree(
    written: list[dict[str, object]], rows: list[tuple[list[str], int]]
) -> None:
    def matches(cohort: dict[str, object], value: str) -> bool:
        values = cohort["values"]
        assert isinstance(values, list)
        if cohort["enabled_regex_matching"]:
            return value != "" and any(re.search(one, value) for one in values)
        return value in values

    expected = []
    for rings, randomness in rows:
        first = next((c for c in written if any(matches(c, ring) for ring in rings)), None)
        percentage = float(str(first["sampling_percentage"])) if first else 0.0
        expected.append(bool(percentage) and randomness >= threshold(percentage / 100))
    policy = OnePolicy(text_of("canary", {"key": "ring", "cohorts": written}))
    assert policy.keeps([in_rings(*rings, rv=f"{r:014x}") for rings, r in rows]) == expected
