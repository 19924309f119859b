"""and, not and drop: policies that are put together from others."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import NO_THRESHOLD
from streamsampler.policies import Policy, PolicySet, Settings, TenantNumbers, compile_policies
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.types.and_ import AND, AndSettings
from streamsampler.policies.types.drop import DROP, DropSettings
from streamsampler.policies.types.not_ import NOT, NotSettings
from streamsampler.policies.votes import Bools, DueTraces, EvaluationError, Vote, Votes
from tests.conformance.due_traces import Span, Trace, decided_by, due_traces

HALF, TENTH = 0x80000000000000, 0xE6666666666666

SLOW = "{name: s, type: latency, latency: {threshold_ms: 5}}"
FAILED = "{name: f, type: status_code, status_code: {status_codes: [ERROR]}}"
ALL = "{name: all, type: always_sample}"
NONE = "{name: none, type: not, not: {not_sub_policy: {name: all, type: always_sample}}}"

QUICK_OK = Trace((Span(),))
QUICK_FAILED = Trace((Span(2),))
SLOW_OK = Trace((Span(end_ns=6_000_000),))
SLOW_FAILED = Trace((Span(2), Span(end_ns=6_000_000)))
TRACES = [QUICK_OK, QUICK_FAILED, SLOW_OK, SLOW_FAILED]


@pytest.mark.parametrize(
    ("parts", "sampled"),
    [
        ([SLOW], [0, 0, 1, 1]),
        ([SLOW, FAILED], [0, 0, 0, 1]),
        ([FAILED, SLOW], [0, 0, 0, 1]),
        ([ALL, SLOW], [0, 0, 1, 1]),
        ([ALL], [1, 1, 1, 1]),
        ([ALL, NONE], [0, 0, 0, 0]),
    ],
)
def test_all_parts_or_nothing(parts: list[str], sampled: list[int]) -> None:
    listed = ", ".join(parts)
    assert decided_by("and", f"{{and_sub_policy: [{listed}]}}", TRACES) == sampled
    dropped = [2 * yes for yes in sampled]
    assert decided_by("drop", f"{{drop_sub_policy: [{listed}]}}", TRACES) == dropped


@pytest.mark.parametrize(
    ("part", "sampled"), [(SLOW, [1, 1, 0, 0]), (ALL, [0, 0, 0, 0]), (NONE, [1, 1, 1, 1])]
)
def test_not_swaps(part: str, sampled: list[int]) -> None:
    assert decided_by("not", f"{{not_sub_policy: {part}}}", TRACES) == sampled


# What parts vote, trace by trace, and what comes of it.


class Fixed(Settings):
    """Votes as the test says, and remembers of which traces it was asked."""

    sampled: tuple[bool, ...]
    threshold: int | None = 0
    adjusted: float | None = None
    failed: tuple[bool, ...] = ()
    raises: bool = False


asked_of: list[list[bool]] = []


def fixed_vote(settings: Fixed, _compilation: Compilation) -> Vote:
    def vote(traces: DueTraces, asked: Bools) -> Votes:
        asked_of.append(asked.tolist())
        if settings.raises:
            raise EvaluationError
        n = len(traces)
        threshold = NO_THRESHOLD if settings.threshold is None else settings.threshold
        return Votes(
            np.array(settings.sampled),
            None if settings.threshold == 0 else np.full(n, threshold, np.uint64),
            None if settings.adjusted is None else np.full(n, settings.adjusted),
            np.array(settings.failed) if settings.failed else None,
        )

    return vote


FIXED = PolicyType("fixed", Fixed, fixed_vote)
TYPES = {one.name: one for one in (FIXED, AND, NOT, DROP)}


def fixed(sampled: str, failed: str = "", **settings: object) -> Policy:
    """Votes y or n on each trace, and fails where there is a y in failed."""
    rows = {"sampled": _rows(sampled), "failed": _rows(failed)}
    return Policy("p", "fixed", Fixed.model_validate({**rows, **settings}))


def _rows(letters: str) -> tuple[bool, ...]:
    return tuple(letter == "y" for letter in letters)


def both(*parts: Policy) -> Policy:
    return Policy("and", "and", AndSettings(and_sub_policy=parts))


def swapped(part: Policy) -> Policy:
    return Policy("not", "not", NotSettings(not_sub_policy=(part,)))


def voted(policy: Policy, n: int = 1) -> Votes:
    asked_of.clear()
    tenants = TenantNumbers()
    compiled = compile_policies(PolicySet((policy,)), tenants, TYPES)
    traces = due_traces([Trace()] * n, compiled, tenants)
    return compiled.voters[0].vote(traces, np.ones(n, np.bool_))


def chance(policy: Policy) -> tuple[int | None, float | None]:
    """T and, where there is none, how many traces one stands for."""
    votes = voted(policy)
    assert votes.sampled.tolist() == [True]
    if votes.threshold is None:
        return 0, None
    threshold = int(votes.threshold[0])
    if threshold != NO_THRESHOLD:
        return threshold, None
    adjusted = np.nan if votes.adjusted is None else float(votes.adjusted[0])
    return None, None if np.isnan(adjusted) else adjusted


SURE = fixed("y")
AT_HALF, AT_TENTH = fixed("y", threshold=HALF), fixed("y", threshold=TENTH)
HASHED = fixed("y", threshold=None, adjusted=4.0)
AT_ONE = fixed("y", threshold=None, adjusted=1.0)
LIMITED = fixed("y", threshold=None)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([SURE, SURE], (0, None)),
        ([SURE, AT_HALF], (HALF, None)),
        # R that passes the larger T passes both
        ([AT_HALF, AT_TENTH], (TENTH, None)),
        ([AT_TENTH, SURE, AT_HALF], (TENTH, None)),
        # chances that R had no part in are known where all others are certain
        ([HASHED, SURE], (None, 4.0)),
        ([SURE, HASHED], (None, 4.0)),
        ([HASHED, AT_ONE], (None, 4.0)),
        ([AT_ONE, AT_HALF], (None, 2.0)),
        ([HASHED, HASHED], (None, None)),
        ([HASHED, AT_HALF], (None, None)),
        ([LIMITED, SURE], (None, None)),
        ([LIMITED, AT_ONE], (None, None)),
        ([both(SURE, AT_HALF), AT_TENTH], (TENTH, None)),
    ],
)
def test_the_chance_of_all_parts(
    parts: Sequence[Policy], expected: tuple[int | None, float | None]
) -> None:
    assert chance(both(*parts)) == expected


def test_the_chance_of_a_not() -> None:
    out = fixed("n", threshold=HALF)
    assert chance(swapped(fixed("n"))) == (0, None)
    assert chance(swapped(out)) == (None, None)
    assert chance(both(SURE, swapped(out))) == (None, None)


def test_a_part_is_asked_where_all_before_it_have_sampled() -> None:
    parts = [
        fixed("yyny"),
        fixed("yyyy", failed="nynn"),
        fixed("nyyy"),
        fixed("yyyy"),
    ]
    votes = voted(both(*parts), 4)
    assert asked_of == [
        [True, True, True, True],
        [True, True, False, True],
        [True, False, False, True],
        [False, False, False, True],
    ]
    assert votes.sampled.tolist() == [False, False, False, True]
    assert votes.failed is not None
    assert votes.failed.tolist() == [False, True, False, False]


def test_nobody_is_asked_of_no_traces() -> None:
    nothing = fixed("nn")
    voted(both(nothing, fixed("yy")), 2)
    assert asked_of == [[True, True]]


def test_what_cannot_be_evaluated_is_neither_true_nor_not() -> None:
    failing = fixed("ynn", failed="yyn")
    votes = voted(swapped(failing), 3)
    assert votes.failed is not None
    assert (votes.sampled & ~votes.failed).tolist() == [False, False, True]
    assert votes.failed.tolist() == [True, True, False]


def test_a_part_that_fails_altogether_fails_where_it_was_asked() -> None:
    broken = fixed("n", raises=True)
    votes = voted(both(fixed("yn"), broken), 2)
    assert votes.failed is not None
    assert votes.failed.tolist() == [True, False]
    assert votes.sampled.tolist() == [False, False]


# Any nest, against the plain reading of it.

Answer = bool | None  # None: cannot be evaluated


def plain(policy: Policy, row: int) -> Answer:
    settings = policy.settings
    if isinstance(settings, NotSettings):
        answer = plain(settings.not_sub_policy[0], row)
        return None if answer is None else not answer
    if isinstance(settings, AndSettings):
        return plain_all(settings.and_sub_policy, row)
    if isinstance(settings, DropSettings):
        return plain_all(settings.drop_sub_policy, row)
    assert isinstance(settings, Fixed)
    return None if settings.raises or settings.failed[row] else settings.sampled[row]


def plain_all(parts: Sequence[Policy], row: int) -> Answer:
    for part in parts:
        answer = plain(part, row)
        if not answer:
            return answer
    return True


N = 3
flags = st.tuples(*[st.booleans()] * N)
leaves = st.builds(
    Fixed,
    sampled=flags,
    failed=flags,
    raises=st.sampled_from([False, False, False, True]),
    threshold=st.sampled_from([0, HALF, TENTH, None]),
).map(lambda settings: Policy("leaf", "fixed", settings))
nests = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(swapped), st.lists(inner, min_size=1, max_size=3).map(lambda parts: both(*parts))
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(nests, st.booleans()), min_size=1, max_size=4))
def test_compiled_and_plain_agree(drawn: list[tuple[Policy, bool]]) -> None:
    policies = [
        Policy("drop", "drop", DropSettings(drop_sub_policy=(policy,))) if drops else policy
        for policy, drops in drawn
    ]
    tenants = TenantNumbers()
    compiled = compile_policies(PolicySet(tuple(policies)), tenants, TYPES)
    verdicts = compiled.decide(due_traces([Trace()] * N, compiled, tenants))
    for row in range(N):
        answers = [(plain(policy, row), policy.type == "drop") for policy in policies]
        expected = 2 if (True, True) in answers else int((True, False) in answers)
        assert verdicts.decision[row] == expected
