"""`tenant`: keeps a percentage of each tenant's traces, consistently with other samplers."""

from typing import Annotated, Final

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from streamsampler.estimates import MODULUS, threshold
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.tenants import NO_TENANT
from streamsampler.policies.votes import DueTraces, Vote, Votes

SMALLEST_PERCENTAGE: Final = 100 / MODULUS


def _percentage(value: object) -> float:
    if value == "always":
        return 100.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError("expected a percentage from 0 to 100, or always")
    if 0 < value < SMALLEST_PERCENTAGE:
        raise ValueError(f"the smallest percentage above 0 is {SMALLEST_PERCENTAGE:.2g}")
    return float(value)


_Percentage = Annotated[float, BeforeValidator(_percentage)]
_OptionalPercentage = Annotated[
    float | None, BeforeValidator(lambda value: None if value is None else _percentage(value))
]


class TenantSettings(Settings):
    """The percentage of each tenant.

    Attributes:
        tenants: Percentage by tenant; `always` is 100.
        other: Percentage for a tenant that is not listed, and for traces without one; None:
            this policy does not sample them.
    """

    tenants: dict[str, _Percentage] = Field(
        default_factory=dict, description="a mapping from tenant to percentage"
    )
    other: _OptionalPercentage = Field(
        default=None, description="a percentage from 0 to 100, or always"
    )

    @field_validator("tenants")
    @classmethod
    def _named(cls, tenants: dict[str, float]) -> dict[str, float]:
        if "" in tenants:
            raise ValueError(
                "a tenant's name is empty; traces without a tenant get what other says"
            )
        return tenants

    def remarks(self) -> tuple[str, ...]:
        """Percentages that keep nothing at all."""
        if any(self.tenants.values()) or self.other:
            return ()
        return ("keeps no trace, as no percentage is above 0",)


def _threshold_or_never(percentage: float | None) -> int:
    """T, or MODULUS, which no randomness reaches."""
    return threshold(percentage / 100) if percentage else MODULUS


def _compile(settings: TenantSettings, compilation: Compilation) -> Vote:
    by_number = {
        compilation.tenants.register(tenant.encode()): _threshold_or_never(percentage)
        for tenant, percentage in settings.tenants.items()
    }
    table = np.full(
        1 + max(by_number, default=NO_TENANT), _threshold_or_never(settings.other), dtype=np.uint64
    )
    for number, rejection_threshold in by_number.items():
        table[number] = rejection_threshold

    def vote(traces: DueTraces) -> Votes:
        listed = np.where(traces.tenant < len(table), traces.tenant, NO_TENANT)
        thresholds = table[listed]
        return Votes(sampled=traces.randomness >= thresholds, threshold=thresholds)

    return vote


TENANT: Final = PolicyType("tenant", TenantSettings, _compile)
