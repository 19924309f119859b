"""`trace_state`: keeps traces by a member of any span's W3C tracestate."""

from typing import Final

from pydantic import Field

from streamsampler.policies.predicates import StateTest
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, SpanRule, span_policy
from streamsampler.policies.types.attribute import one_of


class TraceStateSettings(Settings):
    """Which member, and which values of it.

    Source: Collector, tailsamplingprocessor, trace_state.
    """

    key: str = Field(min_length=1, description="the member's key, not empty")
    values: tuple[str, ...] = Field(default=(), strict=False, description="a list of strings")
    scope: Scope = Field(default="any_span", description=SCOPE)

    def remarks(self) -> tuple[str, ...]:
        """A test that no value can pass."""
        return () if any(self.values) else ("keeps no trace, as without values nothing matches",)


def _rule(settings: TraceStateSettings) -> SpanRule:
    values = frozenset(value.encode() for value in settings.values)
    return SpanRule(StateTest(settings.key.encode(), values), settings.scope)


def _grounds(settings: TraceStateSettings) -> str:
    return f"tracestate {one_of(settings.key, 'is', settings.values)}"


TRACE_STATE: Final = span_policy("trace_state", TraceStateSettings, _rule, _grounds)
