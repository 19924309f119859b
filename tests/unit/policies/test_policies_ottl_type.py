"""ottl_condition: what it asks of spans, how it votes, and what its settings must be."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pytest

from streamsampler.policies import PolicyError, TenantNumbers, load_policy_set
from streamsampler.policies.policy_type import Compilation
from streamsampler.policies.predicates import (
    AllOf,
    AnyOf,
    Condition,
    ConditionFails,
    IsRoot,
    SpanPredicate,
)
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.ottl_condition import OTTL_CONDITION
from streamsampler.policies.votes import DueTraces

SPAN: Final = 'attributes["a"] == 1'
EVENT: Final = 'name == "exception"'
TRUE: Final = Condition(SPAN, events=False)
FAILS: Final = ConditionFails(SPAN, events=False)


def settings_of(values: Mapping[str, object]) -> Settings:
    return OTTL_CONDITION.settings(**values)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"span": [SPAN]}, [TRUE, FAILS]),
        ({"span": [SPAN], "error_mode": "propagate"}, [TRUE, FAILS]),
        ({"span": [SPAN], "error_mode": "ignore"}, [TRUE]),
        ({"span": [SPAN], "error_mode": "silent"}, [TRUE]),
        ({"spanevent": [EVENT], "error_mode": "ignore"}, [Condition(EVENT, events=True)]),
        (
            {"span": [SPAN], "spanevent": [EVENT], "error_mode": "ignore"},
            [AnyOf((TRUE, Condition(EVENT, events=True)))],
        ),
        (
            {"span": [SPAN], "scope": "root"},
            [AllOf((IsRoot(), TRUE)), AllOf((IsRoot(), FAILS))],
        ),
        ({"span": [SPAN], "scope": "same_span", "error_mode": "ignore"}, [TRUE]),
    ],
)
def test_what_is_asked_of_spans(settings: Mapping[str, object], asked: list[SpanPredicate]) -> None:
    compilation = Compilation(TenantNumbers())
    OTTL_CONDITION.compile(settings_of(settings), compilation)
    assert list(compilation.bits) == asked
    assert OTTL_CONDITION.test is not None
    assert OTTL_CONDITION.test(settings_of(settings)) == asked[0]


def due(matched: list[int]) -> DueTraces:
    n = len(matched)
    words = np.zeros(n, np.uint64)
    ints = np.zeros(n, np.int64)
    return DueTraces(
        id_hi=words,
        id_lo=words,
        duration_ns=ints,
        spans=ints,
        size_bytes=ints,
        matched=np.array(matched, np.uint64),
        tenant=np.zeros(n, np.int32),
        group=np.zeros(n, np.int32),
        randomness=words,
        incoming=np.zeros(n, np.uint64),
        partition=np.zeros(n, np.int32),
        decided_ms=ints,
    )


@pytest.mark.parametrize(
    ("error_mode", "failed"),
    [("propagate", [False, False, True, False]), ("ignore", None), ("silent", None)],
)
def test_a_trace_is_sampled_or_else_has_failed(error_mode: str, failed: list[bool] | None) -> None:
    compilation = Compilation(TenantNumbers())
    settings = settings_of({"span": [SPAN], "error_mode": error_mode})
    vote = OTTL_CONDITION.compile(settings, compilation)
    bits = compilation.bits
    true, fails = 1 << bits[TRUE], 1 << bits.get(FAILS, 63)
    traces = due([0, true, fails, true | fails])
    votes = vote(traces, np.ones(4, np.bool_))
    assert votes.sampled.tolist() == [False, True, False, True]
    assert (None if votes.failed is None else votes.failed.tolist()) == failed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("{span: ['name =']}", "column 6, = assigns"),
        ("{span: ['name == \"a\"', 'nam == \"a\"']}", "did you mean name?"),
        ("{spanevent: ['kind == 1']}", "did you mean span.kind?"),
        ("{span: []}", "a condition at least"),
        ("{error_mode: ignore}", "a condition at least"),
        ("{error_mode: ignored, span: ['true']}", "did you mean ignore?"),
        ("{span: ['true'], scope: all}", "any_span, same_span or root"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: str, words: str) -> None:
    text = f"policies: [{{name: p, type: ottl_condition, ottl_condition: {settings}}}]"
    with pytest.raises(PolicyError) as caught:
        load_policy_set(text, "table")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "grounds"),
    [
        ({"span": [SPAN]}, SPAN),
        ({"span": [SPAN], "spanevent": [EVENT]}, f"{SPAN} or one of 1 more"),
    ],
)
def test_the_grounds_name_the_condition(settings: Mapping[str, object], grounds: str) -> None:
    assert OTTL_CONDITION.grounds is not None
    assert OTTL_CONDITION.grounds(settings_of(settings)) == grounds
