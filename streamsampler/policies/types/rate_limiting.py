"""`rate_limiting`: keeps traces as long as their spans fit a rate."""

from typing import Final

from pydantic import Field

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.token_bucket import Rate, vote_within
from streamsampler.policies.types.whole_numbers import Count
from streamsampler.policies.votes import Vote


class RateLimitingSettings(Settings):
    """Spans a second for the whole group, and how many may come at once.

    Source: Collector, tailsamplingprocessor, rate_limiting, where the rate is an instance's.
    """

    spans_per_second: Count = 0
    burst_capacity: Count = Field(
        default=0, description="a whole number, 0 for twice spans_per_second"
    )

    def remarks(self) -> tuple[str, ...]:
        """A rate that lets nothing through."""
        if self.spans_per_second:
            return ()
        return ("keeps next to no trace, as spans_per_second is 0",)


def _compile(settings: RateLimitingSettings, compilation: Compilation) -> Vote:
    rate = Rate.of(settings.spans_per_second, settings.burst_capacity)
    return vote_within(rate, "spans", lambda traces: traces.spans, settings, compilation)


def _grounds(settings: RateLimitingSettings) -> str:
    return f"within {settings.spans_per_second} spans per second"


RATE_LIMITING: Final = PolicyType("rate_limiting", RateLimitingSettings, _compile, grounds=_grounds)
