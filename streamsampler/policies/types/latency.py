"""`latency`: keeps traces by the duration of the whole trace.

Against bounds that are set, or against what the traces of its group take: the tenant's that began
with the same operation.
"""

from typing import Annotated, Final, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from streamsampler.estimates.tables import PERCENTILES
from streamsampler.policies.durations import NS_PER_MS
from streamsampler.policies.percentiles import UNKNOWN, Percentiles
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.whole_numbers import integral
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes

LONGEST_MS: Final = (2**63 - 1) // NS_PER_MS
NEVER_NS: Final = 2**63 - 1
_KNOWN: Final = ", ".join(f"{percentile:g}" for percentile in PERCENTILES)


def _measured(percentile: float) -> float:
    if percentile not in PERCENTILES:
        raise ValueError(f"expected one of {_KNOWN}")
    return percentile


_Percentile = Annotated[float, AfterValidator(_measured), Field(description=f"one of {_KNOWN}")]


_Milliseconds = Annotated[
    int,
    BeforeValidator(integral),
    Field(ge=0, le=LONGEST_MS, description=f"a whole number of milliseconds, 0 to {LONGEST_MS}"),
]


class LatencySettings(Settings):
    """Bounds of the duration, in milliseconds, or the percentile of the group's that bounds it.

    A percentile counts where it is known of `min_traces` or more, `fallback_ms` where it is not; 0
    keeps nothing then.

    Source: Collector, tailsamplingprocessor, latency. Unlike there, where the upper bound is
    tested while spans are walked and so depends on their order, it holds for the whole trace.
    """

    threshold_ms: _Milliseconds = 0
    upper_threshold_ms: _Milliseconds = 0

    percentile: _Percentile | None = None
    min_traces: Annotated[int, Field(ge=1, description="a whole number, 1 or more")] = 200
    fallback_ms: _Milliseconds = 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.percentile is not None and (self.threshold_ms or self.upper_threshold_ms):
            raise ValueError("set percentile, or threshold_ms and upper_threshold_ms, not both")
        if self.percentile is None and self.fallback_ms:
            raise ValueError("fallback_ms stands in for percentile, which is not set")
        return self

    def remarks(self) -> tuple[str, ...]:
        """A pair of bounds that keeps nothing, or next to everything."""
        if 0 < self.upper_threshold_ms <= self.threshold_ms:
            bounds = f"more than {self.threshold_ms} and at most {self.upper_threshold_ms} ms"
            return (f"keeps no trace, as none lasts {bounds}",)
        if self.percentile is None and not self.threshold_ms and not self.upper_threshold_ms:
            return ("keeps every trace that lasts at all; set threshold_ms",)
        return ()


def _compile(settings: LatencySettings, compilation: Compilation) -> Vote:
    if settings.percentile is not None:
        return _vote_by_percentile(settings, settings.percentile, compilation.percentiles)
    threshold_ns = settings.threshold_ms * NS_PER_MS
    upper_ns = settings.upper_threshold_ms * NS_PER_MS

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        slow = traces.duration_ns > threshold_ns
        return Votes(slow & (traces.duration_ns <= upper_ns) if upper_ns else slow)

    return vote


def _vote_by_percentile(
    settings: LatencySettings, percentile: float, percentiles: Percentiles
) -> Vote:
    fallback_ns = settings.fallback_ms * NS_PER_MS or NEVER_NS
    instead = f"not known: {settings.fallback_ms} ms"

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        slow = np.zeros(len(traces), np.bool_)
        measured = np.full(len(traces), None, np.object_)
        rows = np.flatnonzero(asked)
        if len(rows):
            bounds, words = percentiles.thresholds_ns(
                traces.partition[rows], traces.group[rows], traces.decided_ms[rows],
                percentile, settings.min_traces,
            )  # fmt: skip
            unknown = bounds == UNKNOWN
            bounds[unknown] = fallback_ns
            words[unknown] = instead
            slow[rows] = traces.duration_ns[rows] > bounds
            measured[rows] = words
        return Votes(slow, measured=measured)

    return vote


def _grounds(settings: LatencySettings) -> str:
    if settings.percentile is not None:
        return f"duration over p{settings.percentile:g} of its group"
    over = f"duration over {settings.threshold_ms} ms"
    upper = settings.upper_threshold_ms
    return f"{over} and at most {upper} ms" if upper else over


LATENCY: Final = PolicyType("latency", LatencySettings, _compile, grounds=_grounds)
