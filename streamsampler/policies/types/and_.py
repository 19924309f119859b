"""`and`: keeps traces that all of its parts keep."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydantic import Field

from streamsampler.estimates import adjusted_counts
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import AllOf, IsRoot, SpanPredicate
from streamsampler.policies.schema import Policy, Settings
from streamsampler.policies.scopes import ANY_SPAN, ROOT, SCOPE, Scope, predicate_of
from streamsampler.policies.votes import (
    NO_THRESHOLD,
    Bools,
    DueTraces,
    EvaluationError,
    Floats,
    Vote,
    Votes,
    Words,
)


class AndSettings(Settings):
    """What must all be true, and whether of one span.

    In a scope other than any_span, the parts that ask about spans and nothing else must all be
    true of one and the same span; the others are asked of the trace.

    Source: Collector, tailsamplingprocessor, and.
    """

    and_sub_policy: tuple[Policy, ...] = Field(
        min_length=1, description="a list of one policy or more"
    )
    scope: Scope = Field(default="any_span", description=SCOPE)


def of_the_same_span(scope: Scope, tests: Sequence[SpanPredicate]) -> SpanPredicate:
    """All tests, asked of one span.

    Args:
        scope: Of which span.
        tests: One or more.
    """
    asked = (IsRoot(), *tests) if scope == ROOT else tuple(tests)
    return asked[0] if len(asked) == 1 else AllOf(asked)


def vote_for_all(parts: Sequence[Policy], scope: Scope, compilation: Compilation) -> Vote:
    """Vote for the traces that all parts vote for.

    They are asked in order; a trace that one has said no to is not asked of those behind it.

    Args:
        parts: The parts.
        scope: Of which spans those ask that ask about spans.
        compilation: Compiles them.
    """
    votes: list[Vote] = []
    tests: list[SpanPredicate] = []
    for part in parts:
        test = None if scope == ANY_SPAN else predicate_of(part, compilation.types)
        if test is None:
            votes.append(compilation.part(part))
        else:
            tests.append(test)
    if tests:
        bit = compilation.bit(of_the_same_span(scope, tests))
        votes.insert(0, lambda traces, _asked: Votes(traces.has(bit)))
    return lambda traces, asked: _all_of(votes, traces, asked)


def _all_of(parts: Sequence[Vote], traces: DueTraces, asked: Bools) -> Votes:
    so_far, failed = asked, np.zeros(len(traces), np.bool_)
    given: list[Votes] = []
    for part in parts:
        if not so_far.any():
            break
        try:
            votes = part(traces, so_far)
        except EvaluationError:
            failed |= so_far
            so_far = np.zeros_like(so_far)
            break
        if votes.failed is not None:
            failed |= so_far & votes.failed
            so_far = so_far & ~votes.failed
        so_far = so_far & votes.sampled
        given.append(votes)
    threshold, adjusted = _together([votes for votes in given if votes.threshold is not None])
    measured = next((votes.measured for votes in given if votes.measured is not None), None)
    return Votes(so_far, threshold, adjusted, failed if failed.any() else None, measured)


def _together(parts: Sequence[Votes]) -> tuple[Words | None, Floats | None]:
    """T and adjusted counts where all of these have sampled.

    What rests on R alone has passed where R passes the largest T. Chances that R had no part in
    multiply only if they are independent, which nobody knows: the product is given where all but
    one are certain.
    """
    if not parts:
        return None, None
    if len(parts) == 1:
        return parts[0].threshold, parts[0].adjusted
    largest = np.zeros_like(parts[0].sampled, np.uint64)
    unstated: list[Floats] = []
    for votes in parts:
        assert votes.threshold is not None
        known = votes.threshold != NO_THRESHOLD
        largest = np.maximum(largest, np.where(known, votes.threshold, 0))
        otherwise = np.nan if votes.adjusted is None else votes.adjusted
        unstated.append(np.where(known, 1.0, otherwise))
    threshold = np.where(_all_known(parts), largest, np.uint64(NO_THRESHOLD))
    counts = np.stack([adjusted_counts(largest), *unstated])
    uncertain = (counts != 1).sum(axis=0)
    return threshold, np.where(uncertain <= 1, counts.prod(axis=0), np.nan)


def _all_known(parts: Sequence[Votes]) -> Bools:
    known: Bools = np.logical_and.reduce([votes.threshold != NO_THRESHOLD for votes in parts])
    return known


def _compile(settings: AndSettings, compilation: Compilation) -> Vote:
    return vote_for_all(settings.and_sub_policy, settings.scope, compilation)


def _joined(settings: AndSettings, tests: tuple[SpanPredicate, ...]) -> SpanPredicate:
    return of_the_same_span(settings.scope, tests)


AND: Final = PolicyType("and", AndSettings, _compile, parts="and_sub_policy", joined=_joined)
