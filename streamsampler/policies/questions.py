"""What predicates read of a span: which attributes, and whether its events and its scope."""

from collections.abc import Iterable, Iterator

from streamsampler.policies.ottl import ParsedCondition, parse_condition
from streamsampler.policies.predicates import (
    AllOf,
    AnyOf,
    BoolTest,
    Condition,
    ConditionFails,
    HasKey,
    Negated,
    NumberTest,
    SpanPredicate,
    StringTest,
)
from streamsampler.policies.schema import TenantSource


def leaves(predicate: SpanPredicate) -> Iterator[SpanPredicate]:
    """The questions that a predicate is put together from.

    Args:
        predicate: Any.

    Yields:
        Predicates that hold no others, repeated ones as well.
    """
    if isinstance(predicate, AllOf | AnyOf):
        for test in predicate.tests:
            yield from leaves(test)
    elif isinstance(predicate, Negated):
        yield from leaves(predicate.test)
    else:
        yield predicate


def wanted_keys(predicates: Iterable[SpanPredicate], tenant: TenantSource) -> tuple[bytes, ...]:
    """The attributes that the scan has to locate.

    Args:
        predicates: What is asked of each span.
        tenant: Where its tenant is read from.

    Returns:
        Their keys, UTF-8, each once.
    """
    keys = [key for predicate in predicates for leaf in leaves(predicate) for key in _keys(leaf)]
    if tenant.source != "header":
        keys.append(tenant.key.encode())
    return tuple(dict.fromkeys(keys))


def conditions(predicates: Iterable[SpanPredicate]) -> Iterator[ParsedCondition]:
    """The OTTL conditions that predicates ask.

    Args:
        predicates: Any.

    Yields:
        The conditions, repeated ones as well.
    """
    for predicate in predicates:
        for leaf in leaves(predicate):
            if isinstance(leaf, Condition | ConditionFails):
                yield parse_condition(leaf.text, events=leaf.events)


def _keys(leaf: SpanPredicate) -> Iterable[bytes]:
    if isinstance(leaf, Condition | ConditionFails):
        return sorted(parse_condition(leaf.text, events=leaf.events).keys)
    if isinstance(leaf, StringTest | NumberTest | BoolTest | HasKey):
        return (leaf.key,)
    return ()
