"""`status_code`: keeps traces in which some span has one of the given status codes."""

from typing import Final, Literal

from pydantic import Field

from streamsampler.policies.predicates import StatusIn
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, SpanRule, span_policy

CODES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}
"""OTLP's numbers for the names that the Collector takes."""


class StatusCodeSettings(Settings):
    """Which status codes.

    Source: Collector, tailsamplingprocessor, status_code.
    """

    status_codes: tuple[Literal["OK", "ERROR", "UNSET"], ...] = Field(
        min_length=1, strict=False, description="a list of OK, ERROR and UNSET, one at least"
    )
    scope: Scope = Field(default="any_span", description=SCOPE)


def _rule(settings: StatusCodeSettings) -> SpanRule:
    codes = frozenset(CODES[name] for name in settings.status_codes)
    return SpanRule(StatusIn(codes), settings.scope)


def _grounds(settings: StatusCodeSettings) -> str:
    return f"status {' or '.join(dict.fromkeys(settings.status_codes))}"


STATUS_CODE: Final = span_policy("status_code", StatusCodeSettings, _rule, _grounds)
