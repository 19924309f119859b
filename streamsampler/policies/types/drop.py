"""`drop`: drops traces that all of its parts keep, before any other policy is asked."""

from typing import Final

from pydantic import Field

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Policy, Settings
from streamsampler.policies.scopes import SCOPE, Scope
from streamsampler.policies.types.and_ import vote_for_all
from streamsampler.policies.votes import Vote


class DropSettings(Settings):
    """What must all be true, and whether of one span, as for `and`.

    Source: Collector, tailsamplingprocessor, drop.
    """

    drop_sub_policy: tuple[Policy, ...] = Field(
        min_length=1, description="a list of one policy or more"
    )
    scope: Scope = Field(default="any_span", description=SCOPE)


def _compile(settings: DropSettings, compilation: Compilation) -> Vote:
    return vote_for_all(settings.drop_sub_policy, settings.scope, compilation)


DROP: Final = PolicyType("drop", DropSettings, _compile, drops=True, parts="drop_sub_policy")
