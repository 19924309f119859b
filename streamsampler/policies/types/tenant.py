"""`tenant`: keeps a share of each tenant's traces, consistently with other samplers."""

from collections.abc import Callable, Mapping
from typing import Annotated, Final

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from streamsampler.estimates import MODULUS
from streamsampler.estimates.summaries import Goal, Key
from streamsampler.policies.budgets import Account
from streamsampler.policies.demands import DemandRecord, Plan
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.sentences import shown
from streamsampler.policies.tenants import NO_TENANT
from streamsampler.policies.types.partition_rows import rows_by_partition
from streamsampler.policies.types.percentages import (
    PERCENTAGE,
    Percentage,
    percentage,
    threshold_or_never,
)
from streamsampler.policies.types.tenant_budget import BudgetPlan, ByTenant, TenantShares
from streamsampler.policies.votes import Bools, DueTraces, Ints64, Vote, Votes, Words

ALL: Final = 100.0  # percent
MOST_TENANTS: Final = 5_000
"""Of one budget, those that ask for most have rates of their own in the control plane's table."""

_COSTS: Final[Mapping[str, Callable[[DueTraces], Ints64]]] = {
    "traces": lambda traces: np.ones(len(traces), np.int64),
    "spans": lambda traces: traces.spans,
    "bytes": lambda traces: traces.size_bytes,
}


def _below_a_budget(value: object, info: ValidationInfo) -> float:
    if value == "always" and info.data.get("budget") is not None:
        raise ValueError(
            "there is a budget; give the percentage that is the most, or list it in always_keep"
        )
    return percentage(value)


def _or_none(value: object, info: ValidationInfo) -> float | None:
    return None if value is None else _below_a_budget(value, info)


def _named(tenants: Mapping[str, float]) -> Mapping[str, float]:
    if "" in tenants:
        raise ValueError("a tenant's name is empty; traces without a tenant get what other says")
    return tenants


_Most = Annotated[float, BeforeValidator(_below_a_budget)]
_PerSecond = Annotated[
    float | None, Field(default=None, gt=0, le=1e15, description="a number above 0")
]
_Weight = Annotated[float, Field(ge=1e-6, le=1e6, description="a number from 0.000001 to 1000000")]


class TenantBudget(Settings):
    """How much all tenants together may keep in the whole group, and how they share it.

    Attributes:
        traces_per_second: The budget in traces; exactly one of the three is given.
        spans_per_second: The budget in spans.
        bytes_per_second: The budget in bytes of records as they came.
        weights: What the tenants' parts are to one another where they ask for more.
        default_weight: The part of a tenant that is not listed.
        initial_percentage: How much is kept of a tenant of which nothing is known yet. It counts.
    """

    traces_per_second: _PerSecond
    spans_per_second: _PerSecond
    bytes_per_second: _PerSecond
    weights: dict[str, _Weight] = Field(
        default_factory=dict, description="a mapping from tenant to weight"
    )
    default_weight: _Weight = 1.0
    initial_percentage: Percentage = Field(default=ALL, description=PERCENTAGE)

    _tenants_have_names = field_validator("weights")(_named)

    @model_validator(mode="after")
    def _one_rate(self) -> "TenantBudget":
        given = len(self.rates())
        if given != 1:
            what = "two rates" if given else "no rate"
            rates = "traces_per_second, spans_per_second or bytes_per_second"
            raise ValueError(f"it has {what}; set one of {rates}")
        return self

    def rates(self) -> dict[str, float]:
        """What is given, by what it counts: traces, spans or bytes."""
        rates = {
            "traces": self.traces_per_second,
            "spans": self.spans_per_second,
            "bytes": self.bytes_per_second,
        }
        return {counted: rate for counted, rate in rates.items() if rate is not None}


class TenantSettings(Settings):
    """How much of each tenant is kept.

    Attributes:
        budget: What all tenants together may keep; the percentages are the most that each does.
        tenants: Percentage by tenant; `always` is 100.
        other: Percentage for a tenant that is not listed, and for traces without one; None: this
            policy does not sample them, or with a budget, 100. Traces without a tenant share in a
            budget as if they were one tenant, and so do those of tenants that had no place.
        always_keep: Tenants of which everything is kept; no part of a budget.
    """

    budget: TenantBudget | None = Field(default=None, description="a mapping")
    tenants: dict[str, _Most] = Field(
        default_factory=dict, description="a mapping from tenant to percentage"
    )
    other: Annotated[float | None, BeforeValidator(_or_none)] = Field(
        default=None, description=PERCENTAGE
    )
    always_keep: tuple[str, ...] = Field(default=(), strict=False, description="a list of tenants")

    _tenants_have_names = field_validator("tenants")(_named)

    @field_validator("always_keep")
    @classmethod
    def _nowhere_else(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "" in names:
            raise ValueError("a tenant's name is empty; leave it out")
        also = next((name for name in names if name in info.data.get("tenants", {})), None)
        if also is not None:
            raise ValueError(f"{shown(also)} has a percentage, too; keep one of the two")
        return names

    def rest(self) -> float:
        """The percentage of a tenant that is not listed."""
        if self.other is None:
            return ALL if self.budget else 0.0
        return self.other

    def remarks(self) -> tuple[str, ...]:
        """Percentages that keep nothing at all."""
        if self.always_keep or any(self.tenants.values()) or self.rest():
            return ()
        return ("keeps no trace, as no percentage is above 0",)


def _by_number(values: Mapping[str, float], compilation: Compilation) -> dict[int, float]:
    return {
        compilation.tenants.register(tenant.encode()): value for tenant, value in values.items()
    }


def _listed(traces: DueTraces, table: Words) -> Words:
    """The table's word for each trace's tenant; a tenant beyond it stands for none."""
    words: Words = table[np.where(traces.tenant < len(table), traces.tenant, NO_TENANT)]
    return words


def _compile(settings: TenantSettings, compilation: Compilation) -> Vote:
    percentages = _by_number(
        {**settings.tenants, **dict.fromkeys(settings.always_keep, ALL)}, compilation
    )
    rest, size = settings.rest(), 1 + max(percentages, default=NO_TENANT)
    table = np.full(size, threshold_or_never(rest), np.uint64)
    for number, percentage_ in percentages.items():
        table[number] = threshold_or_never(percentage_)
    if settings.budget is not None:
        return _within_budget(settings, settings.budget, table, compilation)

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        thresholds = _listed(traces, table)
        return Votes(sampled=traces.randomness >= thresholds, threshold=thresholds)

    return vote


def _within_budget(
    settings: TenantSettings, budget: TenantBudget, table: Words, compilation: Compilation
) -> Vote:
    (counted, rate), *_ = budget.rates().items()
    caps = {name: percentage_ / ALL for name, percentage_ in settings.tenants.items()}
    plan = BudgetPlan(
        budget=rate / compilation.partitions,
        caps=ByTenant(_by_number(caps, compilation), settings.rest() / ALL),
        weights=ByTenant(_by_number(budget.weights, compilation), budget.default_weight),
        initial=budget.initial_percentage / ALL,
    )
    kept = np.zeros(len(table), np.bool_)
    kept[list(_by_number(dict.fromkeys(settings.always_keep, ALL), compilation))] = True
    shared = Plan("/".join(compilation.path), _goal(settings, budget), compilation.partitions)
    shares = compilation.memory(
        settings, lambda: TenantShares(plan, Account(DemandRecord(shared)), compilation.tenants)
    )

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        always = (traces.tenant < len(kept)) & kept[np.minimum(traces.tenant, len(kept) - 1)]
        thresholds = np.where(always, np.uint64(0), np.uint64(MODULUS))
        costs = _COSTS[counted](traces)
        told = compilation.rates.find(shared, traces.decided_ms[asked & ~always])
        for partition, rows in rows_by_partition(traces, asked & ~always):
            thresholds[rows] = shares.of(partition).decide(
                told, traces.decided_ms[rows], traces.tenant[rows], costs[rows]
            )
        return Votes(sampled=traces.randomness >= thresholds, threshold=thresholds)

    return vote


def _goal(settings: TenantSettings, budget: TenantBudget) -> Goal:
    (counted, rate), *_ = budget.rates().items()
    return Goal(
        unit=counted,
        per_second=rate,
        initial=budget.initial_percentage / ALL,
        balance="fair",
        caps={_key(name): percentage_ / ALL for name, percentage_ in settings.tenants.items()},
        default_cap=settings.rest() / ALL,
        weights={_key(name): weight for name, weight in budget.weights.items()},
        default_weight=budget.default_weight,
        max_keys=MOST_TENANTS,
    )


def _key(tenant: str) -> Key:
    return (tenant.encode(),)


def _grounds(settings: TenantSettings) -> str:
    if settings.budget is None:
        return "its tenant's percentage"
    (counted, rate), *_ = settings.budget.rates().items()
    return f"its tenant's share of {rate:g} {counted} per second"


TENANT: Final = PolicyType("tenant", TenantSettings, _compile, grounds=_grounds)
