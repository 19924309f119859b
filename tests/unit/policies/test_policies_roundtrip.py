"""Any valid set, written and loaded again, is the same set and decides alike."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from streamsampler.policies import (
    AlwaysSampleSettings,
    LatencySettings,
    Policy,
    PolicyError,
    PolicySet,
    ProbabilisticSettings,
    Settings,
    StatusCodeSettings,
    StringAttributeSettings,
    TenantNumbers,
    TenantSettings,
    TenantSource,
    Verdicts,
    compile_policies,
    load_policy_set,
)
from streamsampler.policies.types import TYPES
from tests.conformance.due_traces import Span, Trace, due_traces

texts = st.text(max_size=4).filter(lambda text: "${" not in text)
keys = st.one_of(texts.filter(bool), st.just("k"))
percentages = st.one_of(st.just(0.0), st.just(100.0), st.floats(0.001, 100))
SETTINGS: dict[str, SearchStrategy[Settings]] = {
    "always_sample": st.builds(AlwaysSampleSettings),
    "status_code": st.builds(
        StatusCodeSettings,
        status_codes=st.lists(st.sampled_from(["OK", "ERROR", "UNSET"]), min_size=1, max_size=3),
    ),
    "latency": st.builds(
        LatencySettings,
        threshold_ms=st.integers(0, 2000),
        upper_threshold_ms=st.integers(0, 2000),
    ),
    "string_attribute": st.builds(
        StringAttributeSettings,
        key=keys,
        values=st.lists(texts, max_size=3),
        cache_max_size=st.integers(0, 10),
        invert_match=st.booleans(),
    ),
    "probabilistic": st.builds(
        ProbabilisticSettings,
        sampling_percentage=st.floats(-10, 110),
        hash_salt=texts,
    ),
    "tenant": st.builds(
        TenantSettings,
        tenants=st.dictionaries(texts.filter(bool), percentages, max_size=3),
        other=st.one_of(st.none(), percentages),
    ),
}
policies = st.sampled_from(sorted(SETTINGS)).flatmap(
    lambda name: st.builds(Policy, name=keys, type=st.just(name), settings=SETTINGS[name])
)
milliseconds = st.integers(1, 10**9)
policy_sets = st.builds(
    PolicySet,
    policies=st.lists(policies, min_size=1, max_size=5, unique_by=lambda p: p.name).map(tuple),
    decision_wait_ms=milliseconds,
    completion_grace_ms=milliseconds,
    decision_ttl_ms=milliseconds,
    sample_on_first_match=st.booleans(),
    tenant=st.builds(
        TenantSource, key=keys, source=st.sampled_from(["any", "resource", "span", "header"])
    ),
)
spans = st.builds(
    Span,
    status=st.integers(0, 2),
    attributes=st.dictionaries(keys, texts, max_size=2),
    end_ns=st.integers(0, 3 * 10**9),
)
some_traces = st.lists(
    st.builds(
        Trace,
        spans=st.lists(spans, min_size=1, max_size=3).map(tuple),
        trace_id=st.binary(min_size=16, max_size=16),
        tenant=texts,
    ),
    max_size=5,
)


def decided(policy_set: PolicySet, traces: Sequence[Trace]) -> Verdicts:
    tenants = TenantNumbers()
    compiled = compile_policies(policy_set, tenants)
    return compiled.decide(due_traces(traces, compiled, tenants))


def test_every_type_is_drawn() -> None:
    assert SETTINGS.keys() == TYPES.keys()


@settings(max_examples=60)
@given(policy_sets, some_traces)
def test_a_set_survives_json_and_yaml(policy_set: PolicySet, traces: list[Trace]) -> None:
    document = policy_set.document()
    for text in (
        json.dumps(document),
        json.dumps({"processors": {"tail_sampling": document}}, ensure_ascii=False, indent=2),
        yaml.safe_dump(document, default_style='"'),
    ):
        again = load_policy_set(text, "again")
        assert (again.policies, again.version) == (policy_set.policies, policy_set.version)
        before, after = decided(policy_set, traces), decided(again, traces)
        assert np.array_equal(before.decision, after.decision)
        assert np.array_equal(before.policy, after.policy)
        assert np.array_equal(before.threshold, after.threshold)
        assert np.array_equal(before.adjusted, after.adjusted, equal_nan=True)


@settings(max_examples=60)
@given(policy_sets, some_traces, st.randoms(use_true_random=False))
def test_the_order_of_spans_never_changes_a_verdict(
    policy_set: PolicySet, traces: list[Trace], random: Random
) -> None:
    shuffled = [
        Trace(tuple(random.sample(t.spans, len(t.spans))), t.trace_id, t.rv, t.tenant)
        for t in traces
    ]
    before, after = decided(policy_set, traces), decided(policy_set, shuffled)
    assert np.array_equal(before.decision, after.decision)
    assert np.array_equal(before.policy, after.policy)


@given(st.text(max_size=300))
def test_any_text_is_a_set_or_refused(text: str) -> None:
    try:
        outcome = load_policy_set(text, "t").version
    except PolicyError as error:
        outcome = str(error)
    assert outcome


def paths(value: object) -> list[tuple[str | int, ...]]:
    """The path of everything within a document."""
    steps: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    return [(), *((step, *rest) for step, inner in steps for rest in paths(inner))]


def with_one_replaced(value: Any, path: Sequence[str | int], replacement: object) -> object:
    if not path:
        return replacement
    copy = value.copy()
    copy[path[0]] = with_one_replaced(value[path[0]], path[1:], replacement)
    return copy


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(policy_sets, st.data())
def test_anything_in_the_place_of_anything_gives_a_set_or_sentences(
    policy_set: PolicySet, data: st.DataObject
) -> None:
    document = policy_set.document()
    path = data.draw(st.sampled_from(paths(document)))
    text = json.dumps(with_one_replaced(document, path, data.draw(junk)))
    try:
        outcome = load_policy_set(text, "t").version
    except PolicyError as error:
        outcome = error.problems[0]
        assert outcome.startswith("t:")
    assert outcome
