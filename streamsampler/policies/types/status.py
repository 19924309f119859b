"""`status_code`: keeps traces in which some span has one of the given status codes."""

from typing import Final, Literal

from pydantic import Field

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import StatusIn
from streamsampler.policies.schema import Settings
from streamsampler.policies.votes import DueTraces, Vote, Votes

CODES: Final = {"UNSET": 0, "OK": 1, "ERROR": 2}
"""OTLP's numbers for the names that the Collector takes."""


class StatusCodeSettings(Settings):
    """Which status codes.

    Source: Collector, tailsamplingprocessor, status_code.
    """

    status_codes: tuple[Literal["OK", "ERROR", "UNSET"], ...] = Field(
        min_length=1, strict=False, description="a list of OK, ERROR and UNSET, one at least"
    )


def _compile(settings: StatusCodeSettings, compilation: Compilation) -> Vote:
    codes = frozenset(CODES[name] for name in settings.status_codes)
    bit = compilation.bit(StatusIn(codes))

    def vote(traces: DueTraces) -> Votes:
        return Votes(traces.has(bit))

    return vote


STATUS_CODE: Final = PolicyType("status_code", StatusCodeSettings, _compile)
