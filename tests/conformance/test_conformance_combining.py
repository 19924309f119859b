"""How the policies of a set combine to one verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import MODULUS, NO_THRESHOLD, adjusted_count
from streamsampler.policies import (
    Policy,
    PolicySet,
    Settings,
    TenantNumbers,
    Votes,
    compile_policies,
)
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.votes import DueTraces, EvaluationError, Vote
from tests.conformance.due_traces import Trace, due_traces

HALF, TENTH = 0x80000000000000, 0xE6666666666666


class Fixed(Settings):
    """A policy that votes as the test says."""

    sampled: bool = True
    threshold: int | None = 0
    adjusted: float | None = None
    fails: bool = False


def fixed_vote(settings: Fixed, _compilation: Compilation) -> Vote:
    def vote(traces: DueTraces) -> Votes:
        if settings.fails:
            raise EvaluationError
        n = len(traces)
        return Votes(
            np.full(n, settings.sampled),
            None
            if settings.threshold == 0
            else np.full(
                n, NO_THRESHOLD if settings.threshold is None else settings.threshold, np.uint64
            ),
            None if settings.adjusted is None else np.full(n, settings.adjusted),
        )

    return vote


TYPES: Mapping[str, PolicyType] = {
    "fixed": PolicyType("fixed", Fixed, fixed_vote),
    "discard": PolicyType("discard", Fixed, fixed_vote, drops=True),
}

KEEP = Policy("keep", "fixed", Fixed())
PASS = Policy("pass", "fixed", Fixed(sampled=False))
AT_HALF = Policy("half", "fixed", Fixed(threshold=HALF))
AT_TENTH = Policy("tenth", "fixed", Fixed(threshold=TENTH))
HASHED = Policy("hashed", "fixed", Fixed(threshold=None, adjusted=4.0))
HASHED_LESS = Policy("hashed-less", "fixed", Fixed(threshold=None, adjusted=10.0))
LIMITED = Policy("limited", "fixed", Fixed(threshold=None))
BROKEN = Policy("broken", "fixed", Fixed(fails=True))
DISCARD = Policy("discard", "discard", Fixed())
SPARE = Policy("spare", "discard", Fixed(sampled=False))


@dataclass(frozen=True, slots=True)
class Verdict:
    decision: str
    policy: str | None = None
    threshold: int | None = None
    adjusted: float | None = None


def verdict(policies: Sequence[Policy], *, first: bool = False) -> Verdict:
    policy_set = PolicySet(tuple(policies), sample_on_first_match=first)
    tenants = TenantNumbers()
    compiled = compile_policies(policy_set, tenants, TYPES)
    got = compiled.decide(due_traces([Trace()], compiled, tenants))
    index, threshold = int(got.policy[0]), int(got.threshold[0])
    return Verdict(
        ("not_sampled", "sampled", "dropped")[got.decision[0]],
        None if index < 0 else policies[index].name,
        None if threshold == NO_THRESHOLD else threshold,
        None if np.isnan(got.adjusted[0]) else float(got.adjusted[0]),
    )


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([PASS], Verdict("not_sampled")),
        ([PASS, PASS], Verdict("not_sampled")),
        ([KEEP], Verdict("sampled", "keep", 0, 1.0)),
        ([PASS, KEEP], Verdict("sampled", "keep", 0, 1.0)),
        ([AT_HALF], Verdict("sampled", "half", HALF, 2.0)),
        # the least strict is named and its threshold is the verdict's
        ([AT_TENTH, AT_HALF], Verdict("sampled", "half", HALF, 2.0)),
        ([AT_HALF, AT_TENTH], Verdict("sampled", "half", HALF, 2.0)),
        ([AT_TENTH, KEEP, AT_HALF], Verdict("sampled", "keep", 0, 1.0)),
        ([KEEP, Policy("too", "fixed", Fixed())], Verdict("sampled", "keep", 0, 1.0)),
        # a threshold comes before a chance that R had no part in
        ([HASHED], Verdict("sampled", "hashed", None, 4.0)),
        ([HASHED, AT_TENTH], Verdict("sampled", "tenth", TENTH, 10.0)),
        ([HASHED, KEEP], Verdict("sampled", "keep", 0, 1.0)),
        ([HASHED_LESS, HASHED], Verdict("sampled", "hashed", None, 4.0)),
        ([LIMITED], Verdict("sampled", "limited")),
        ([LIMITED, HASHED], Verdict("sampled", "hashed", None, 4.0)),
        # drops come first, whatever the order
        ([KEEP, DISCARD], Verdict("dropped", "discard")),
        ([DISCARD, KEEP], Verdict("dropped", "discard")),
        ([KEEP, SPARE], Verdict("sampled", "keep", 0, 1.0)),
        ([SPARE, DISCARD], Verdict("dropped", "discard")),
        ([SPARE, PASS], Verdict("not_sampled")),
        # what cannot evaluate neither keeps nor drops
        ([BROKEN], Verdict("not_sampled")),
        ([BROKEN, KEEP], Verdict("sampled", "keep", 0, 1.0)),
    ],
)
def test_one_verdict(policies: list[Policy], expected: Verdict) -> None:
    assert verdict(policies) == expected


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([AT_TENTH, AT_HALF], Verdict("sampled", "tenth", TENTH, 10.0)),
        ([PASS, HASHED, KEEP], Verdict("sampled", "hashed", None, 4.0)),
        ([KEEP, DISCARD], Verdict("dropped", "discard")),
        ([BROKEN, AT_HALF, KEEP], Verdict("sampled", "half", HALF, 2.0)),
        ([PASS], Verdict("not_sampled")),
    ],
)
def test_sample_on_first_match_stops_there(policies: list[Policy], expected: Verdict) -> None:
    assert verdict(policies, first=True) == expected


def test_what_could_not_be_evaluated_is_counted_by_policy() -> None:
    tenants = TenantNumbers()
    compiled = compile_policies(PolicySet((KEEP, BROKEN, PASS)), tenants, TYPES)
    verdicts = compiled.decide(due_traces([Trace(), Trace(), Trace()], compiled, tenants))
    assert verdicts.failures.tolist() == [0, 3, 0]


def test_only_an_evaluation_error_is_skipped() -> None:
    def vote(_settings: Fixed, _compilation: Compilation) -> Vote:
        def broken(_traces: DueTraces) -> Votes:
            raise ZeroDivisionError

        return broken

    types = {"bug": PolicyType("bug", Fixed, vote)}
    tenants = TenantNumbers()
    compiled = compile_policies(PolicySet((Policy("b", "bug", Fixed()),)), tenants, types)
    with pytest.raises(ZeroDivisionError):
        compiled.decide(due_traces([Trace()], compiled, tenants))


def test_no_traces_give_no_verdicts() -> None:
    tenants = TenantNumbers()
    compiled = compile_policies(PolicySet((KEEP, AT_HALF, DISCARD)), tenants, TYPES)
    assert len(compiled.decide(due_traces([], compiled, tenants)).decision) == 0


drawn_policies = st.lists(
    st.builds(
        Fixed,
        sampled=st.booleans(),
        threshold=st.one_of(st.none(), st.integers(0, 3).map(lambda q: q * MODULUS // 4)),
        adjusted=st.one_of(st.none(), st.sampled_from([2.0, 4.0])),
        fails=st.booleans(),
    ).flatmap(lambda settings: st.tuples(st.sampled_from(["fixed", "discard"]), st.just(settings))),
    min_size=1,
    max_size=6,
)


def strictness(settings: Fixed) -> tuple[int, float]:
    if settings.threshold is not None:
        return settings.threshold, adjusted_count(settings.threshold)
    return NO_THRESHOLD, settings.adjusted or np.inf


@given(drawn_policies, st.booleans())
def test_compiled_and_plain_agree(
    drawn: list[tuple[str, Fixed]],
    first: bool,  # noqa: FBT001 - drawn
) -> None:
    policies = [Policy(f"p{i}", kind, settings) for i, (kind, settings) in enumerate(drawn)]
    for_it = [(p.name, k, s) for p, (k, s) in zip(policies, drawn, strict=True)]
    willing = [(name, kind, s) for name, kind, s in for_it if s.sampled and not s.fails]
    drops = [name for name, kind, _ in willing if kind == "discard"]
    samples = [(name, *strictness(s)) for name, kind, s in willing if kind == "fixed"]
    if drops:
        expected = Verdict("dropped", drops[0])
    elif samples:
        name, threshold, adjusted = (
            samples[0] if first else min(samples, key=lambda s: (s[1], s[2]))
        )
        expected = Verdict(
            "sampled",
            name,
            None if threshold == NO_THRESHOLD else threshold,
            None if adjusted == np.inf else adjusted,
        )
    else:
        expected = Verdict("not_sampled")
    assert verdict(policies, first=first) == expected
