"""`numeric_attribute`: keeps traces by an integer attribute of any span or resource."""

from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from streamsampler.policies.predicates import NumberTest
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, SpanRule, span_policy
from streamsampler.policies.sentences import shorten
from streamsampler.policies.types.whole_numbers import MOST_INT64, integral

_Bound = Annotated[
    Annotated[int, Field(ge=-(2**63), le=MOST_INT64)] | None, BeforeValidator(integral)
]
_BOUND: Final = "a whole number of 64 bits"


class NumericAttributeSettings(Settings):
    """Which attribute, and the smallest and largest value of it, both inclusive.

    Source: Collector, tailsamplingprocessor, numeric_attribute.
    """

    key: str = Field(min_length=1, description="the attribute's key, not empty")
    min_value: _Bound = Field(default=None, description=_BOUND)
    max_value: _Bound = Field(default=None, description=_BOUND)
    invert_match: bool = Field(default=False, description="true or false")
    scope: Scope = Field(default="any_span", description=SCOPE)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min_value is None and self.max_value is None:
            raise ValueError("it has no bound; set min_value, max_value or both")
        return self

    def remarks(self) -> tuple[str, ...]:
        """Bounds that no number is within."""
        if self.min_value is None or self.max_value is None or self.min_value <= self.max_value:
            return ()
        outcome = "every trace" if self.invert_match else "no trace"
        return (f"keeps {outcome}, as min_value is greater than max_value",)


def _rule(settings: NumericAttributeSettings) -> SpanRule:
    key = settings.key.encode()
    test = NumberTest(key, settings.min_value, settings.max_value)
    return SpanRule(test, settings.scope, settings.invert_match, key)


def _grounds(settings: NumericAttributeSettings) -> str:
    least, most = settings.min_value, settings.max_value
    if least is None:
        within = f"at most {most}"
    elif most is None:
        within = f"at least {least}"
    else:
        within = str(least) if least == most else f"from {least} to {most}"
    what = f"{shorten(settings.key)} is {within}"
    return f"not: {what}" if settings.invert_match else what


NUMERIC_ATTRIBUTE: Final = span_policy(
    "numeric_attribute", NumericAttributeSettings, _rule, _grounds
)
