"""`string_attribute`: keeps traces by a string attribute of any span or resource."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import StringTest, check_pattern
from streamsampler.policies.schema import Settings
from streamsampler.policies.votes import DueTraces, Vote, Votes


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

    def remarks(self) -> tuple[str, ...]:
        """A test that no value can pass."""
        if self.values if self.enabled_regex_matching else any(self.values):
            return ()
        outcome = "every trace" if self.invert_match else "no trace"
        return (f"keeps {outcome}, as without values nothing matches",)


def _compile(settings: StringAttributeSettings, compilation: Compilation) -> Vote:
    values = [value.encode() for value in settings.values]
    test = (
        StringTest(settings.key.encode(), values=None, patterns=tuple(values))
        if settings.enabled_regex_matching
        else StringTest(settings.key.encode(), values=frozenset(values) - {b""}, patterns=None)
    )
    bit = compilation.bit(test)
    invert = settings.invert_match

    def vote(traces: DueTraces) -> Votes:
        matched = traces.has(bit)
        return Votes(~matched if invert else matched)

    return vote


STRING_ATTRIBUTE: Final = PolicyType("string_attribute", StringAttributeSettings, _compile)
