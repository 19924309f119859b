"""Why a policy samples or drops a trace, in a few words: what it asks for."""

from collections.abc import Mapping
from typing import Final

from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.schema import Policy
from streamsampler.policies.types import TYPES

MOST_CHARACTERS: Final = 200


def grounds_of(policy: Policy, types: Mapping[str, PolicyType] = TYPES) -> str:
    """Say what a trace had that was sampled or dropped by a policy.

    Args:
        policy: Any.
        types: The registry of types.

    Returns:
        At most 200 characters; the name of its type where that has nothing to say.
    """
    words = _words(policy, types)
    return words if len(words) <= MOST_CHARACTERS else f"{words[: MOST_CHARACTERS - 3]}..."


def _words(policy: Policy, types: Mapping[str, PolicyType]) -> str:
    policy_type = types[policy.type]
    if policy_type.grounds is not None:
        return policy_type.grounds(policy.settings)
    parts = [_words(part, types) for part in policy_type.parts_of(policy.settings)]
    if not parts:
        return policy.type
    return f"not ({parts[0]})" if policy_type.one_part else " and ".join(parts)
