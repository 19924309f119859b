"""`bytes_limiting`: keeps traces as long as their records fit a rate."""

from typing import Final

from pydantic import Field

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.token_bucket import Rate, vote_within
from streamsampler.policies.types.whole_numbers import Count
from streamsampler.policies.votes import Vote


class BytesLimitingSettings(Settings):
    """Bytes a second for the whole group, and how many may come at once.

    A trace costs the bytes of its records as they came.

    Source: Collector, tailsamplingprocessor, bytes_limiting, where the rate is an instance's.
    """

    bytes_per_second: Count = 0
    burst_capacity: Count = Field(
        default=0, description="a whole number, 0 for twice bytes_per_second"
    )

    def remarks(self) -> tuple[str, ...]:
        """A rate that lets nothing through."""
        if self.bytes_per_second:
            return ()
        return ("keeps next to no trace, as bytes_per_second is 0",)


def _compile(settings: BytesLimitingSettings, compilation: Compilation) -> Vote:
    rate = Rate.of(settings.bytes_per_second, settings.burst_capacity)
    return vote_within(rate, "bytes", lambda traces: traces.size_bytes, settings, compilation)


def _grounds(settings: BytesLimitingSettings) -> str:
    return f"within {settings.bytes_per_second} bytes per second"


BYTES_LIMITING: Final = PolicyType(
    "bytes_limiting", BytesLimitingSettings, _compile, grounds=_grounds
)
