"""`adaptive`: keeps so much a second of all there is, shared fairly, however much there is.

The goal is the whole group's. What asks for little is kept whole, and what it leaves over goes to
what asks for more (`policies.budgets`).
"""

from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from streamsampler.estimates import thresholds
from streamsampler.estimates.summaries import Goal
from streamsampler.policies.budgets import Account, Budget, KeyNumbers, Part, govern
from streamsampler.policies.demands import DemandRecord, Plan
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.partition_rows import rows_by_partition
from streamsampler.policies.votes import Bools, DueTraces, Ints64, Vote, Votes

_Goal = Annotated[float, Field(gt=0, allow_inf_nan=False, description="a number above 0")]


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


_UNITS: Final = ("traces", "spans", "bytes")


class AdaptiveSettings(Settings):
    """What is to be kept in a second, in one of three units, and by what it is shared.

    A key is made of some of: the trace's tenant, its root span's service, its root span's name.
    """

    traces_per_second: _Goal | None = None
    spans_per_second: _Goal | None = None
    bytes_per_second: _Goal | None = None
    key: Annotated[
        tuple[Part, ...],
        BeforeValidator(_listed),
        Field(min_length=1, description="a list of tenant, service and name"),
    ] = (
        "tenant", "service", "name",
    )  # fmt: skip
    initial_rate: Annotated[
        float, Field(gt=0, le=1, description="a number above 0 and at most 1")
    ] = 0.1
    balance: Literal["fair", "log"] = "fair"
    max_keys: Annotated[int, Field(ge=1, description="a whole number, 1 or more")] = 500

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        if sum(goal is not None for goal in self._goals()) != 1:
            raise ValueError("set one of traces_per_second, spans_per_second and bytes_per_second")
        return self

    def _goals(self) -> tuple[float | None, ...]:
        return self.traces_per_second, self.spans_per_second, self.bytes_per_second

    def goal(self) -> Goal:
        """The goal, of all partitions."""
        unit, per_second = next(
            (unit, goal)
            for unit, goal in zip(_UNITS, self._goals(), strict=True)
            if goal is not None
        )
        return Goal(
            unit=unit,
            per_second=per_second,
            initial=self.initial_rate,
            balance=self.balance,
            caps={},
            default_cap=1.0,
            weights={},
            default_weight=1.0,
            max_keys=self.max_keys,
        )


def _costs(traces: DueTraces, unit: str) -> Ints64:
    if unit == "spans":
        return traces.spans
    return traces.size_bytes if unit == "bytes" else np.ones(len(traces), np.int64)


def _compile(settings: AdaptiveSettings, compilation: Compilation) -> Vote:
    plan = Plan("/".join(compilation.path), settings.goal(), compilation.partitions)
    keys = KeyNumbers(compilation.groups, settings.key)
    # Compiled now, so that no trace waits for it.
    govern(np.zeros(2), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), 1.0, 1.0, np.zeros(0))
    budgets = compilation.memory(settings, lambda: Budget(Account(DemandRecord(plan)), keys))

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        table = compilation.rates.find(plan, traces.decided_ms[asked])
        costs = _costs(traces, plan.goal.unit)
        chances = np.zeros(len(traces))
        for partition, rows in rows_by_partition(traces, asked):
            chances[rows] = budgets.of(partition).decide(
                table, traces.decided_ms[rows], traces.group[rows], costs[rows]
            )
        rejected = thresholds(chances)
        return Votes(asked & (traces.randomness >= rejected), rejected)

    return vote


def _grounds(settings: AdaptiveSettings) -> str:
    goal = settings.goal()
    return f"within {goal.per_second:g} {goal.unit} per second, adaptive"


ADAPTIVE: Final = PolicyType("adaptive", AdaptiveSettings, _compile, grounds=_grounds)
