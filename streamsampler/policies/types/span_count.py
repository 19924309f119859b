"""`span_count`: keeps traces by the number of their spans."""

from typing import Final

from pydantic import Field

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.whole_numbers import Count
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes


class SpanCountSettings(Settings):
    """The smallest and the largest number of spans, both inclusive.

    Source: Collector, tailsamplingprocessor, span_count.
    """

    min_spans: Count = 0
    max_spans: Count = Field(default=0, description="a whole number, 0 for no bound")

    def remarks(self) -> tuple[str, ...]:
        """A pair of bounds that keeps nothing, or everything."""
        if 0 < self.max_spans < self.min_spans:
            return ("keeps no trace, as min_spans is greater than max_spans",)
        if self.min_spans <= 1 and not self.max_spans:
            return ("keeps every trace; set min_spans or max_spans",)
        return ()


def _compile(settings: SpanCountSettings, _compilation: Compilation) -> Vote:
    least, most = settings.min_spans, settings.max_spans

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        enough = traces.spans >= least
        return Votes(enough & (traces.spans <= most) if most else enough)

    return vote


def _grounds(settings: SpanCountSettings) -> str:
    least, most = settings.min_spans, settings.max_spans
    if not most:
        return f"{least} spans or more"
    return f"at most {most} spans" if least <= 1 else f"{least} to {most} spans"


SPAN_COUNT: Final = PolicyType("span_count", SpanCountSettings, _compile, grounds=_grounds)
