"""How the policies of a set combine to one verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import MODULUS, NO_THRESHOLD, adjusted_count
from streamsampler.policies import (
    Policy,
    PolicySet,
    Settings,
    StatusCodeSettings,
    StatusIn,
    TenantNumbers,
    Verdicts,
    Votes,
    compile_policies,
)
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.votes import Bools, DueTraces, EvaluationError, Vote
from tests.conformance.due_traces import Trace, due_traces

HALF, TENTH = 0x80000000000000, 0xE6666666666666


class Fixed(Settings):
    """A policy that votes as the test says."""

    sampled: bool = True
    threshold: int | None = 0
    adjusted: float | None = None
    fails: bool = False
    fails_in_part: bool = False


asked_of: list[list[bool]] = []


def fixed_vote(settings: Fixed, _compilation: Compilation) -> Vote:
    def vote(traces: DueTraces, asked: Bools) -> Votes:
        asked_of.append(asked.tolist())
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
            np.arange(n) % 2 == 1 if settings.fails_in_part else None,
        )

    return vote


TYPES: Mapping[str, PolicyType] = {
    "fixed": PolicyType("fixed", Fixed, fixed_vote),
    "discard": PolicyType("discard", Fixed, fixed_vote, drops=True),
    "costly": PolicyType("costly", Fixed, fixed_vote, reads_tree=True),
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
        def broken(_traces: DueTraces, _asked: Bools) -> Votes:
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


def decided(policies: Sequence[Policy], n: int = 2, *, first: bool = False) -> Verdicts:
    asked_of.clear()
    tenants = TenantNumbers()
    policy_set = PolicySet(tuple(policies), sample_on_first_match=first)
    compiled = compile_policies(policy_set, tenants, TYPES)
    return compiled.decide(due_traces([Trace()] * n, compiled, tenants))


def test_what_a_policy_cannot_evaluate_counts_neither_way() -> None:
    partly = Fixed(fails_in_part=True)
    kept = decided([Policy("p", "fixed", partly)], 4)
    assert (kept.decision.tolist(), kept.failures.tolist()) == ([1, 0, 1, 0], [2])
    dropped = decided([KEEP, Policy("p", "discard", partly)], 4)
    assert (dropped.decision.tolist(), dropped.failures.tolist()) == ([2, 1, 2, 1], [0, 2])


COSTLY = Policy("costly", "costly", Fixed())
COSTLY_HALF = Policy("costly", "costly", Fixed(threshold=HALF))


@pytest.mark.parametrize(
    ("policies", "expected", "calls"),
    [
        # what reads spans comes last, and only where it can change something
        ([COSTLY, KEEP], Verdict("sampled", "keep", 0, 1.0), 1),
        ([COSTLY, PASS], Verdict("sampled", "costly", 0, 1.0), 2),
        ([COSTLY, AT_HALF], Verdict("sampled", "costly", 0, 1.0), 2),
        ([COSTLY, LIMITED], Verdict("sampled", "costly", 0, 1.0), 2),
        ([COSTLY, DISCARD], Verdict("dropped", "discard"), 1),
        ([COSTLY_HALF, AT_HALF], Verdict("sampled", "costly", HALF, 2.0), 2),
        ([AT_HALF, COSTLY_HALF], Verdict("sampled", "half", HALF, 2.0), 2),
    ],
)
def test_what_reads_spans_is_asked_last(
    policies: list[Policy], expected: Verdict, calls: int
) -> None:
    assert verdict(policies) == expected
    decided(policies)
    assert len(asked_of) == calls


def test_with_first_match_nothing_is_asked_out_of_order() -> None:
    assert verdict([COSTLY, KEEP], first=True) == Verdict("sampled", "costly", 0, 1.0)
    decided([COSTLY, KEEP], first=True)
    assert asked_of == [[True, True]]


def test_a_policy_is_asked_of_what_is_not_decided() -> None:
    decided([Policy("d", "discard", Fixed(fails_in_part=True)), KEEP, AT_HALF], 3)
    assert asked_of == [[True, True, True], [False, True, False], [False, True, False]]


# Dry runs: counted, never acted on.


def dry(policy: Policy) -> Policy:
    return replace(policy, dry_run=True)


@pytest.mark.parametrize(
    ("policies", "decision", "votes", "changed"),
    [
        ([dry(KEEP)], 0, [2], 0),
        ([dry(KEEP), KEEP], 1, [2, 2], -1),
        ([KEEP, dry(KEEP)], 1, [2, 2], -1),
        ([PASS, dry(KEEP)], 0, [0, 2], 1),
        ([dry(PASS)], 0, [0], -1),
        ([dry(BROKEN)], 0, [0], -1),
        ([dry(KEEP), dry(KEEP)], 0, [2, 2], 0),
        ([dry(DISCARD)], 0, [2], 0),
        ([KEEP, dry(DISCARD)], 1, [2, 2], 1),
        ([DISCARD, dry(DISCARD)], 2, [2, 0], -1),
        ([dry(DISCARD), DISCARD], 2, [2, 2], -1),
        ([dry(DISCARD), dry(KEEP), KEEP], 1, [2, 2, 2], 0),
        ([dry(KEEP), dry(DISCARD)], 0, [2, 2], 0),
        ([dry(COSTLY), PASS], 0, [2, 0], 0),
        ([dry(COSTLY), KEEP], 1, [0, 2], -1),
    ],
)
def test_dry_runs_are_counted_and_not_acted_on(
    policies: list[Policy], decision: int, votes: list[int], changed: int
) -> None:
    verdicts = decided(policies)
    assert verdicts.decision.tolist() == [decision] * 2
    assert verdicts.votes.tolist() == votes
    assert verdicts.dry.tolist() == [changed] * 2


def test_a_dry_run_does_not_stop_at_the_first_match() -> None:
    verdicts = decided([dry(AT_TENTH), AT_HALF, KEEP], first=True)
    assert verdicts.policy.tolist() == [1, 1]
    assert verdicts.votes.tolist() == [2, 2, 0]


# What earlier sets asked and learned.


def test_a_set_keeps_the_bits_of_those_before_it() -> None:
    error = Policy("e", "status_code", StatusCodeSettings(status_codes=("ERROR",)))
    ok = Policy("o", "status_code", StatusCodeSettings(status_codes=("OK",)))
    tenants = TenantNumbers()
    compilation = Compilation(tenants)
    first = compile_policies(PolicySet((error,)), tenants, compilation=compilation)
    second = compile_policies(PolicySet((ok,)), tenants, compilation=compilation)
    again = compile_policies(PolicySet((ok, error)), tenants, compilation=compilation)
    asked_first, asked_second = StatusIn(frozenset({2})), StatusIn(frozenset({1}))
    assert first.predicates == {0: asked_first}
    assert second.predicates == {1: asked_second}
    assert again.predicates == {0: asked_first, 1: asked_second}
    assert compilation.asked == {0, 1}


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
