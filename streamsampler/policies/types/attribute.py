"""`string_attribute`: keeps traces by a string attribute of any span or resource."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo

from streamsampler.policies.predicates import StringTest, check_pattern
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, SpanRule, span_policy
from streamsampler.policies.sentences import shorten, shown


def _compiles(value: str, info: ValidationInfo) -> str:
    if info.data.get("enabled_regex_matching") and (reason := check_pattern(value)):
        raise ValueError(f"expected an RE2 expression; RE2 says: {reason}")
    return value


_Value = Annotated[str, AfterValidator(_compiles)]


class StringAttributeSettings(Settings):
    """Which attribute, and which values of it.

    Source: Collector, tailsamplingprocessor, string_attribute.
    """

    key: str = Field(min_length=1, description="the attribute's key, not empty")
    enabled_regex_matching: bool = Field(default=False, description="true or false")
    values: tuple[_Value, ...] = Field(default=(), strict=False, description="a list of strings")
    cache_max_size: int = Field(
        default=0, ge=0, description="a whole number, 0 or more"
    )  # every distinct value is asked once here, whatever it says
    invert_match: bool = Field(default=False, description="true or false")
    scope: Scope = Field(default="any_span", description=SCOPE)

    def remarks(self) -> tuple[str, ...]:
        """A test that no value can pass."""
        if self.values if self.enabled_regex_matching else any(self.values):
            return ()
        outcome = "every trace" if self.invert_match else "no trace"
        return (f"keeps {outcome}, as without values nothing matches",)


def _rule(settings: StringAttributeSettings) -> SpanRule:
    key, values = settings.key.encode(), [value.encode() for value in settings.values]
    test = (
        StringTest(key, values=None, patterns=tuple(values))
        if settings.enabled_regex_matching
        else StringTest(key, values=frozenset(values) - {b""}, patterns=None)
    )
    return SpanRule(test, settings.scope, settings.invert_match, key)


def _grounds(settings: StringAttributeSettings) -> str:
    verb = "matches" if settings.enabled_regex_matching else "is"
    what = one_of(settings.key, verb, settings.values)
    return f"not: {what}" if settings.invert_match else what


def one_of(key: str, verb: str, values: tuple[str, ...]) -> str:
    """That an attribute has one of some values, in a few words.

    Args:
        key: The attribute's key.
        verb: Such as `is`.
        values: The values.
    """
    named = shown(values[0]) if len(values) == 1 else f"one of {len(values)} values"
    return f"{shorten(key)} {verb} {named}"


STRING_ATTRIBUTE: Final = span_policy("string_attribute", StringAttributeSettings, _rule, _grounds)
