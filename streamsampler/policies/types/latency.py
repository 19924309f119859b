"""`latency`: keeps traces by the duration of the whole trace."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from streamsampler.policies.durations import NS_PER_MS
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.whole_numbers import integral
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes

LONGEST_MS: Final = (2**63 - 1) // NS_PER_MS


_Milliseconds = Annotated[
    int,
    BeforeValidator(integral),
    Field(ge=0, le=LONGEST_MS, description=f"a whole number of milliseconds, 0 to {LONGEST_MS}"),
]


class LatencySettings(Settings):
    """Bounds of the duration, in milliseconds.

    Source: Collector, tailsamplingprocessor, latency. Unlike there, where the upper bound is
    tested while spans are walked and so depends on their order, it holds for the whole trace.
    """

    threshold_ms: _Milliseconds = 0
    upper_threshold_ms: _Milliseconds = 0

    def remarks(self) -> tuple[str, ...]:
        """A pair of bounds that keeps nothing, or next to everything."""
        if 0 < self.upper_threshold_ms <= self.threshold_ms:
            bounds = f"more than {self.threshold_ms} and at most {self.upper_threshold_ms} ms"
            return (f"keeps no trace, as none lasts {bounds}",)
        if not self.threshold_ms and not self.upper_threshold_ms:
            return ("keeps every trace that lasts at all; set threshold_ms",)
        return ()


def _compile(settings: LatencySettings, _compilation: Compilation) -> Vote:
    threshold_ns = settings.threshold_ms * NS_PER_MS
    upper_ns = settings.upper_threshold_ms * NS_PER_MS

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        slow = traces.duration_ns > threshold_ns
        return Votes(slow & (traces.duration_ns <= upper_ns) if upper_ns else slow)

    return vote


def _grounds(settings: LatencySettings) -> str:
    over = f"duration over {settings.threshold_ms} ms"
    upper = settings.upper_threshold_ms
    return f"{over} and at most {upper} ms" if upper else over


LATENCY: Final = PolicyType("latency", LatencySettings, _compile, grounds=_grounds)
