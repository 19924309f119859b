"""`boolean_attribute`: keeps traces by a boolean attribute of any span or resource."""

from typing import Final

from pydantic import Field

from streamsampler.policies.predicates import BoolTest
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, SpanRule, span_policy
from streamsampler.policies.sentences import shorten


class BooleanAttributeSettings(Settings):
    """Which attribute, and which of its two values.

    Source: Collector, tailsamplingprocessor, boolean_attribute.
    """

    key: str = Field(min_length=1, description="the attribute's key, not empty")
    value: bool = Field(default=False, description="true or false")
    invert_match: bool = Field(default=False, description="true or false")
    scope: Scope = Field(default="any_span", description=SCOPE)


def _rule(settings: BooleanAttributeSettings) -> SpanRule:
    key = settings.key.encode()
    return SpanRule(BoolTest(key, settings.value), settings.scope, settings.invert_match, key)


def _grounds(settings: BooleanAttributeSettings) -> str:
    what = f"{shorten(settings.key)} is {'true' if settings.value else 'false'}"
    return f"not: {what}" if settings.invert_match else what


BOOLEAN_ATTRIBUTE: Final = span_policy(
    "boolean_attribute", BooleanAttributeSettings, _rule, _grounds
)
