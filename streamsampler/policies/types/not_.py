"""`not`: keeps traces that its part does not keep."""

from typing import Final

import numpy as np
from pydantic import Field, field_serializer

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import Negated, SpanPredicate
from streamsampler.policies.schema import Policy, Settings
from streamsampler.policies.votes import NO_THRESHOLD, Bools, DueTraces, Vote, Votes


class NotSettings(Settings):
    """What must not be true; what cannot be evaluated is neither true nor not.

    Source: Collector, tailsamplingprocessor, not.
    """

    not_sub_policy: tuple[Policy, ...] = Field(
        min_length=1, max_length=1, description="a mapping, one policy"
    )

    @field_serializer("not_sub_policy")
    def _without_list(self, parts: tuple[Policy, ...]) -> dict[str, object]:
        return parts[0].document()


def _compile(settings: NotSettings, compilation: Compilation) -> Vote:
    part = compilation.part(settings.not_sub_policy[0])

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        votes = part(traces, asked)
        sampled = ~votes.sampled
        if votes.failed is not None:
            sampled &= ~votes.failed
        if votes.threshold is None:
            return Votes(sampled, failed=votes.failed)
        # What was left out by chance is kept by a chance that nobody can put a number on.
        unknown = np.full(len(traces), NO_THRESHOLD, np.uint64)
        return Votes(sampled, threshold=unknown, failed=votes.failed)

    return vote


def _joined(_settings: NotSettings, tests: tuple[SpanPredicate, ...]) -> SpanPredicate:
    return Negated(tests[0])


NOT: Final = PolicyType(
    "not", NotSettings, _compile, parts="not_sub_policy", one_part=True, joined=_joined
)
