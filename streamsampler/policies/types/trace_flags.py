"""`trace_flags`: keeps traces of which a span says that its caller sampled it."""

from typing import Final

from pydantic import Field

from streamsampler.policies.predicates import FlagsTest
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, SpanRule, span_policy

SAMPLED_FLAG: Final = 1
"""The bit of W3C's trace flags that says sampled."""


class TraceFlagsSettings(Settings):
    """Of which span it is asked.

    Source: Collector, tailsamplingprocessor, trace_flags.
    """

    scope: Scope = Field(default="any_span", description=SCOPE)


TRACE_FLAGS: Final = span_policy(
    "trace_flags",
    TraceFlagsSettings,
    lambda settings: SpanRule(FlagsTest(SAMPLED_FLAG), settings.scope),
    lambda _settings: "the sampled flag is set",
)
