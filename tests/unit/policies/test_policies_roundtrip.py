"""Any valid set, written and loaded again, is the same set and decides alike."""

import json
from collections.abc import Sequence
from dataclasses import replace
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
from streamsampler.policies.types.adaptive import AdaptiveSettings
from streamsampler.policies.types.and_ import AndSettings
from streamsampler.policies.types.boolean_attribute import BooleanAttributeSettings
from streamsampler.policies.types.bytes_limiting import BytesLimitingSettings
from streamsampler.policies.types.canary import CanarySettings, Cohort
from streamsampler.policies.types.composite import CompositeSettings
from streamsampler.policies.types.drop import DropSettings
from streamsampler.policies.types.not_ import NotSettings
from streamsampler.policies.types.numeric_attribute import NumericAttributeSettings
from streamsampler.policies.types.ottl_condition import OttlConditionSettings
from streamsampler.policies.types.rare import RareSettings
from streamsampler.policies.types.rate_limiting import RateLimitingSettings
from streamsampler.policies.types.shape import ServiceShare, ShapeSettings
from streamsampler.policies.types.span_count import SpanCountSettings
from streamsampler.policies.types.tenant import TenantBudget
from streamsampler.policies.types.trace_flags import TraceFlagsSettings
from streamsampler.policies.types.trace_state import TraceStateSettings
from tests.conformance.due_traces import Span, Trace, due_traces

texts = st.text(max_size=4).filter(lambda text: "${" not in text)
keys = st.one_of(texts.filter(bool), st.just("k"))
percentages = st.one_of(st.just(0.0), st.just(100.0), st.floats(0.001, 100))
integers = st.integers(-3, 3)
scopes = st.sampled_from(["any_span", "same_span", "root"])
conditions = st.sampled_from(['name == "a"', "name == nil"])
SETTINGS: dict[str, SearchStrategy[Settings]] = {
    "always_sample": st.builds(AlwaysSampleSettings),
    "status_code": st.builds(
        StatusCodeSettings,
        status_codes=st.lists(st.sampled_from(["OK", "ERROR", "UNSET"]), min_size=1, max_size=3),
        scope=scopes,
    ),
    "latency": st.builds(
        LatencySettings,
        threshold_ms=st.integers(0, 2000),
        upper_threshold_ms=st.integers(0, 2000),
    )
    | st.builds(
        LatencySettings,
        percentile=st.sampled_from([50.0, 99.0, 99.9]),
        min_traces=st.integers(1, 9),
        fallback_ms=st.integers(0, 9),
    ),
    "string_attribute": st.builds(
        StringAttributeSettings,
        key=keys,
        values=st.lists(texts, max_size=3),
        cache_max_size=st.integers(0, 10),
        invert_match=st.booleans(),
        scope=scopes,
    ),
    "probabilistic": st.builds(
        ProbabilisticSettings,
        sampling_percentage=st.floats(-10, 110),
        hash_salt=texts,
        mode=st.sampled_from(["hash_seed", "equalizing", "proportional"]),
    ),
    "numeric_attribute": st.builds(
        NumericAttributeSettings,
        key=keys,
        min_value=integers,
        max_value=st.one_of(st.none(), integers),
        invert_match=st.booleans(),
        scope=scopes,
    ),
    "boolean_attribute": st.builds(
        BooleanAttributeSettings,
        key=keys,
        value=st.booleans(),
        invert_match=st.booleans(),
        scope=scopes,
    ),
    "trace_state": st.builds(
        TraceStateSettings,
        key=st.sampled_from(["a", "b"]),
        values=st.lists(st.sampled_from(["x", "y"])),
        scope=scopes,
    ),
    "trace_flags": st.builds(TraceFlagsSettings, scope=scopes),
    "span_count": st.builds(
        SpanCountSettings, min_spans=st.integers(0, 4), max_spans=st.integers(0, 4)
    ),
    "adaptive": st.builds(
        AdaptiveSettings,
        spans_per_second=st.floats(0.5, 9),
        key=st.sampled_from([("tenant",), ("service", "name")]),
        balance=st.sampled_from(["fair", "log"]),
    ),
    "rate_limiting": st.builds(
        RateLimitingSettings, spans_per_second=st.integers(0, 5), burst_capacity=st.integers(0, 9)
    ),
    "bytes_limiting": st.builds(BytesLimitingSettings, bytes_per_second=st.integers(0, 5)),
    "canary": st.builds(
        CanarySettings,
        key=keys,
        cohorts=st.lists(
            st.builds(
                Cohort,
                values=st.lists(texts, min_size=1, max_size=2),
                sampling_percentage=percentages,
            ),
            min_size=1,
            max_size=2,
        ),
        scope=scopes,
    ),
    "ottl_condition": st.builds(
        OttlConditionSettings,
        error_mode=st.sampled_from(["ignore", "silent", "propagate"]),
        span=st.lists(conditions, min_size=1, max_size=2),
        spanevent=st.lists(conditions, max_size=1),
        scope=scopes,
    ),
    "shape": st.builds(
        ShapeSettings,
        min_depth=st.integers(1, 9),
        missing_root=st.one_of(st.none(), st.booleans()),
        service_share=st.builds(ServiceShare, min_share=st.one_of(st.none(), st.floats(0.1, 1))),
    ),
    "rare": st.builds(RareSettings, traces_per_shape=st.integers(1, 5)),
    "tenant": st.builds(
        TenantSettings,
        tenants=st.dictionaries(texts.filter(bool), percentages, max_size=3),
        other=st.one_of(st.none(), percentages),
        budget=st.one_of(
            st.none(),
            st.builds(
                TenantBudget,
                spans_per_second=st.integers(1, 50).map(float),
                weights=st.dictionaries(texts.filter(bool), st.floats(0.1, 9), max_size=2),
            ),
        ),
        always_keep=st.lists(texts.filter(bool), max_size=2, unique=True).map(tuple),
    ),
}


def side_by_side(policies: SearchStrategy[Policy], most: int) -> SearchStrategy[tuple[Policy, ...]]:
    return st.lists(policies, min_size=1, max_size=most, unique_by=lambda p: p.name).map(tuple)


leaves = st.sampled_from(sorted(SETTINGS)).flatmap(
    lambda name: st.builds(Policy, name=keys, type=st.just(name), settings=SETTINGS[name])
)


def nested(kind: str, settings: SearchStrategy[Settings]) -> SearchStrategy[Policy]:
    return st.builds(Policy, name=keys, type=st.just(kind), settings=settings)


def ands(inner: SearchStrategy[Policy]) -> SearchStrategy[Policy]:
    parts = side_by_side(inner, 3)
    return nested("and", st.builds(AndSettings, and_sub_policy=parts, scope=scopes))


def nots(inner: SearchStrategy[Policy]) -> SearchStrategy[Policy]:
    return nested("not", st.builds(NotSettings, not_sub_policy=st.tuples(inner)))


def composites(inner: SearchStrategy[Policy]) -> SearchStrategy[Policy]:
    settings = st.builds(
        CompositeSettings,
        composite_sub_policy=side_by_side(inner, 2),
        max_total_spans_per_second=st.integers(0, 9),
        overflow=st.sampled_from(["next", "stop"]),
    )
    return nested("composite", settings)


def drops(inner: SearchStrategy[Policy]) -> SearchStrategy[Policy]:
    parts = side_by_side(inner, 2)
    return nested("drop", st.builds(DropSettings, drop_sub_policy=parts, scope=scopes))


parts = st.one_of(leaves, ands(leaves), nots(leaves), ands(st.one_of(leaves, nots(leaves))))
policies = st.builds(
    replace,
    st.one_of(leaves, ands(parts), nots(parts), drops(parts), composites(parts)),
    dry_run=st.booleans(),
    priority=st.one_of(st.none(), texts),
)
milliseconds = st.integers(1, 10**9)
policy_sets = st.builds(
    PolicySet,
    policies=side_by_side(policies, 5),
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
    attributes=st.dictionaries(keys, st.one_of(texts, integers, st.booleans()), max_size=2),
    resource=st.dictionaries(keys, st.one_of(texts, integers, st.booleans()), max_size=1),
    end_ns=st.integers(0, 3 * 10**9),
    root=st.booleans(),
    state=st.sampled_from(["", "a=x", "b=y,a=x", "a=x,a=y"]),
    flags=st.integers(0, 1),
    true_of=st.frozensets(conditions),
    fails_of=st.frozensets(conditions),
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
    assert SETTINGS.keys() | {"and", "not", "drop", "composite"} == TYPES.keys()


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
        assert np.array_equal(before.dry, after.dry)


@settings(max_examples=60)
@given(policy_sets, some_traces, st.randoms(use_true_random=False))
def test_the_order_of_spans_never_changes_a_verdict(
    policy_set: PolicySet, traces: list[Trace], random: Random
) -> None:
    shuffled = [replace(t, spans=tuple(random.sample(t.spans, len(t.spans)))) for t in traces]
    before, after = decided(policy_set, traces), decided(policy_set, shuffled)
    assert np.array_equal(before.decision, after.decision)
    assert np.array_equal(before.policy, after.policy)
    assert np.array_equal(before.votes, after.votes)


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
