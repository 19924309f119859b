"""Which spans a test speaks of: any of the trace's, each by itself, or the root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import AllOf, HasKey, IsRoot, Negated, SpanPredicate
from streamsampler.policies.schema import Policy, Settings
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes

Scope = Literal["any_span", "same_span", "root"]
ANY_SPAN: Final = "any_span"
ROOT: Final = "root"

SCOPE: Final = "any_span, same_span or root"
"""What errors say is expected of a scope."""


@dataclass(frozen=True, slots=True)
class SpanRule:
    """What a policy asks about the spans of a trace.

    Attributes:
        test: What is asked of a span.
        scope: Of which.
        invert: Whether a match is what must not be.
        key: The attribute that the test reads; None where it reads none.
    """

    test: SpanPredicate
    scope: Scope = ANY_SPAN
    invert: bool = False
    key: bytes | None = None


def scoped(
    test: SpanPredicate, scope: Scope, *, invert: bool = False, key: bytes | None = None
) -> tuple[SpanPredicate, bool]:
    """Put a test into its scope.

    Over any span, inversion speaks of the trace: no span matches, as the Collector has it. In a
    narrower scope it speaks of one span, and that one must have the key: that some other span
    lacks it says nothing.

    Args:
        test: What is asked of a span.
        scope: Of which.
        invert: Whether a match is what must not be.
        key: The attribute that the test reads; None where it reads none.

    Returns:
        What is asked of each span, and whether the trace's answer is to be turned round.
    """
    if scope == ANY_SPAN:
        return test, invert
    return of_one_span(SpanRule(test, scope, invert, key)), False


def span_test(test: SpanPredicate, *, invert: bool, key: bytes | None) -> SpanPredicate:
    """Say what must be true of one span.

    Args:
        test: What is asked of a span.
        invert: Whether a match is what must not be.
        key: The attribute that the test reads; None where it reads none.

    Returns:
        The test, or that the span has the key and does not pass the test.
    """
    if not invert:
        return test
    absent = Negated(test)
    return absent if key is None else AllOf((HasKey(key), absent))


def of_one_span(rule: SpanRule) -> SpanPredicate:
    """Say what a rule wants to be true of one span, whatever the others are like.

    Args:
        rule: The rule; where it speaks of any span, its question is asked of each.
    """
    asked = span_test(rule.test, invert=rule.invert, key=rule.key)
    return AllOf((IsRoot(), asked)) if rule.scope == ROOT else asked


def vote_by_spans(rule: SpanRule, compilation: Compilation) -> Vote:
    """Vote for the traces that a rule holds for.

    Args:
        rule: The rule.
        compilation: Gives its question a bit.
    """
    predicate, negated = scoped(rule.test, rule.scope, invert=rule.invert, key=rule.key)
    bit = compilation.bit(predicate)

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        matched = traces.has(bit)
        return Votes(~matched if negated else matched)

    return vote


def span_policy(
    name: str,
    settings: type[Settings],
    rule: Callable[[Any], SpanRule],
    grounds: Callable[[Any], str],
) -> PolicyType:
    """Make a type of policies that ask about spans and nothing else.

    Args:
        name: What stands under `type:`.
        settings: The model of its block.
        rule: What it asks, by its settings.
        grounds: What a trace had that was sampled by it, by its settings.
    """
    return PolicyType(
        name,
        settings,
        lambda its_settings, compilation: vote_by_spans(rule(its_settings), compilation),
        test=lambda its_settings: of_one_span(rule(its_settings)),
        grounds=grounds,
    )


def predicate_of(policy: Policy, types: Mapping[str, PolicyType]) -> SpanPredicate | None:
    """What must be true of a span for a policy to hold, if it asks about spans and nothing else.

    Args:
        policy: Any.
        types: The registry of types.

    Returns:
        None for a policy that asks something of the trace as a whole.
    """
    policy_type = types[policy.type]
    if policy_type.test is not None:
        return policy_type.test(policy.settings)
    if policy_type.joined is None:
        return None
    parts = [predicate_of(part, types) for part in policy_type.parts_of(policy.settings)]
    known = tuple(part for part in parts if part is not None)
    return policy_type.joined(policy.settings, known) if len(known) == len(parts) else None
