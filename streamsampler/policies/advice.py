"""What is valid in a policy set and still not likely to be meant: rules that can do nothing.

Each type's own remarks speak of one policy's settings; these speak of how policies stand to one
another.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.schema import Policy, PolicySet
from streamsampler.policies.sentences import listed, shown
from streamsampler.policies.types import TYPES

_ALL: Final = 100  # percent


def advice(policy_set: PolicySet, types: Mapping[str, PolicyType] = TYPES) -> tuple[str, ...]:
    """Finds dead and suspicious rules.

    Args:
        policy_set: A set that was loaded.
        types: The registry of types.

    Returns:
        Sentences that name the policies; none where all is well.
    """
    acting = [policy for policy in policy_set.policies if not policy.dry_run]
    drops = [policy for policy in acting if types[policy.type].drops]
    rest = [policy for policy in acting if not types[policy.type].drops]
    return (
        *_drops_of_everything(drops, rest, types),
        *_shadowed_by_drops(drops, rest, types),
        *_behind_what_keeps_all(rest),
        *_said_twice(policy_set.policies),
        *_parts_that_decide_all(policy_set.policies, types),
        *_negative_without_scope(policy_set.policies, types),
        *_nothing_samples(drops, rest, acting),
    )


def _parts(policy: Policy, types: Mapping[str, PolicyType]) -> tuple[Policy, ...]:
    return types[policy.type].parts_of(policy.settings)


def _keeps_all(policy: Policy) -> bool:
    if policy.type == "probabilistic":
        return bool(getattr(policy.settings, "sampling_percentage", 0) >= _ALL)
    return policy.type == "always_sample"


def _keeps_none(policy: Policy) -> bool:
    percentage = getattr(policy.settings, "sampling_percentage", _ALL)
    return policy.type == "probabilistic" and bool(percentage <= 0)


def _tests(policy: Policy, types: Mapping[str, PolicyType]) -> list[tuple[object, ...]]:
    """What must all hold for a policy to sample or drop, without the names."""
    spread = policy.type == "drop" or (policy.type == "and" and not _asks_one_span(policy))
    parts = _parts(policy, types) if spread else ()
    if _asks_one_span(policy) or not parts:
        return [(policy.type, policy.settings)]
    return [inner for part in parts if not _keeps_all(part) for inner in _tests(part, types)]


def _asks_one_span(policy: Policy) -> bool:
    """Whether its parts are asked of one and the same span, so that they cannot be parted."""
    scope = getattr(policy.settings, "scope", "any_span")
    return policy.type in ("and", "drop") and scope != "any_span"


def _drops_of_everything(
    drops: Sequence[Policy], rest: Sequence[Policy], types: Mapping[str, PolicyType]
) -> Iterator[str]:
    for drop in drops:
        if rest and not _tests(drop, types):
            yield (
                f"policy {shown(drop.name)} drops every trace, so "
                f"{listed(shown(policy.name) for policy in rest)} can keep none."
            )


def _shadowed_by_drops(
    drops: Sequence[Policy], rest: Sequence[Policy], types: Mapping[str, PolicyType]
) -> Iterator[str]:
    for policy in rest:
        asked = _tests(policy, types)
        for drop in drops:
            dropping = _tests(drop, types)
            if dropping and all(test in asked for test in dropping):
                yield (
                    f"policy {shown(policy.name)} keeps no trace, as {shown(drop.name)} drops "
                    "all that it would keep."
                )
                break


def _behind_what_keeps_all(rest: Sequence[Policy]) -> Iterator[str]:
    first = next((i for i, policy in enumerate(rest) if _keeps_all(policy)), len(rest))
    for policy in rest[first + 1 :]:
        yield (
            f"policy {shown(policy.name)} changes nothing and is never named, as "
            f"{shown(rest[first].name)} before it keeps every trace."
        )


def _said_twice(policies: Sequence[Policy]) -> Iterator[str]:
    names: list[tuple[Policy, list[str]]] = []
    for policy in policies:
        for first, found in names:
            same = (first.type, first.settings, first.dry_run)
            if same == (policy.type, policy.settings, policy.dry_run):
                found.append(policy.name)
                break
        else:
            names.append((policy, [policy.name]))
    for _, found in names:
        if len(found) > 1:
            yield f"policies {listed(map(shown, found))} say the same; keep one."


def _parts_that_decide_all(
    policies: Sequence[Policy], types: Mapping[str, PolicyType]
) -> Iterator[str]:
    for policy in policies:
        if policy.type not in ("and", "drop"):
            continue
        never = next((part for part in _parts(policy, types) if _keeps_none(part)), None)
        if never is not None:
            does = "drops" if types[policy.type].drops else "keeps"
            yield (
                f"policy {shown(policy.name)} {does} no trace, as its part {shown(never.name)} "
                "has a percentage of 0."
            )


def _negative_without_scope(
    policies: Sequence[Policy], types: Mapping[str, PolicyType]
) -> Iterator[str]:
    for policy in policies:
        for part, one_span in _all_parts(policy, types, one_span=False):
            settings = part.settings
            left_open = "scope" in type(settings).model_fields and (
                "scope" not in settings.model_fields_set
            )
            if not one_span and left_open and getattr(settings, "invert_match", False):
                key = getattr(settings, "key", "")
                yield (
                    f"policy {shown(part.name)} is true, too, of a trace in which no span has "
                    f"{shown(key)}, as invert_match is asked of the whole trace; set its scope "
                    "(any_span if that is meant, else same_span or root)."
                )


def _all_parts(
    policy: Policy, types: Mapping[str, PolicyType], *, one_span: bool
) -> Iterator[tuple[Policy, bool]]:
    """A policy and all below it, each with whether it is asked of one span at a time."""
    yield policy, one_span
    for part in _parts(policy, types):
        yield from _all_parts(part, types, one_span=one_span or _asks_one_span(policy))


def _nothing_samples(
    drops: Sequence[Policy], rest: Sequence[Policy], acting: Sequence[Policy]
) -> Iterator[str]:
    if not acting:
        yield "no policy acts, as all are dry runs, so no trace is kept."
    elif drops and not rest:
        yield "no policy samples, as all of them drop, so no trace is kept."
