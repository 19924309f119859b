"""`canary`: keeps a percentage of the traces of each cohort, told apart by an attribute."""

from typing import Annotated, Final

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from streamsampler.estimates import MODULUS
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import StringTest, check_pattern
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, scoped
from streamsampler.policies.sentences import shorten
from streamsampler.policies.types.percentages import PERCENTAGE, Percentage, threshold_or_never
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes

_COHORTS: Final = "a list of one cohort or more"


def _compiles(value: str, info: ValidationInfo) -> str:
    if info.data.get("enabled_regex_matching") and (reason := check_pattern(value)):
        raise ValueError(f"expected an RE2 expression; RE2 says: {reason}")
    return value


class Cohort(Settings):
    """Which values of the attribute make a cohort, and how much of it is kept."""

    enabled_regex_matching: bool = Field(default=False, description="true or false")
    values: tuple[Annotated[str, AfterValidator(_compiles)], ...] = Field(
        min_length=1, strict=False, description="a list of strings, one at least"
    )
    sampling_percentage: Percentage = Field(description=PERCENTAGE)

    def test(self, key: bytes) -> StringTest:
        """What is asked of a span.

        Args:
            key: The attribute's key.
        """
        values = [value.encode() for value in self.values]
        if self.enabled_regex_matching:
            return StringTest(key, values=None, patterns=tuple(values))
        return StringTest(key, values=frozenset(values) - {b""}, patterns=None)


class CanarySettings(Settings):
    """The attribute that tells cohorts apart, and the cohorts.

    A trace belongs to the first cohort that it matches; one that matches none is not sampled.
    """

    key: str = Field(min_length=1, description="the attribute's key, not empty")
    cohorts: tuple[Cohort, ...] = Field(
        strict=False, description=_COHORTS, json_schema_extra={"minItems": 1}
    )
    scope: Scope = Field(default="any_span", description=SCOPE)

    @field_validator("cohorts")
    @classmethod
    def _some(cls, cohorts: tuple[Cohort, ...]) -> tuple[Cohort, ...]:
        if not cohorts:
            raise ValueError(f"expected {_COHORTS}")
        return cohorts

    def remarks(self) -> tuple[str, ...]:
        """Cohorts of which nothing is kept."""
        if any(cohort.sampling_percentage for cohort in self.cohorts):
            return ()
        return ("keeps no trace, as no percentage is above 0",)


def _compile(settings: CanarySettings, compilation: Compilation) -> Vote:
    key = settings.key.encode()
    cohorts = [
        (
            compilation.bit(scoped(cohort.test(key), settings.scope, key=key)[0]),
            np.uint64(threshold_or_never(cohort.sampling_percentage)),
        )
        for cohort in settings.cohorts
    ]

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        thresholds = np.full(len(traces), MODULUS, np.uint64)  # of no cohort: never
        for bit, rejected in reversed(cohorts):  # the first is written last and stays
            thresholds[traces.has(bit)] = rejected
        return Votes(traces.randomness >= thresholds, thresholds)

    return vote


def _grounds(settings: CanarySettings) -> str:
    return f"its share of a cohort by {shorten(settings.key)}"


CANARY: Final = PolicyType("canary", CanarySettings, _compile, grounds=_grounds)
