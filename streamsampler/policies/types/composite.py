"""`composite`: shares a number of spans per second among policies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from streamsampler.estimates.summaries import Summary
from streamsampler.estimates.tables import RateTable
from streamsampler.policies.demands import DemandRecord, LimitShare, Plan, limit_plan
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Policy, Settings
from streamsampler.policies.sentences import did_you_mean, listed, shown
from streamsampler.policies.types.partition_rows import rows_by_partition
from streamsampler.policies.types.second_shares import SecondShare
from streamsampler.policies.types.whole_numbers import Count
from streamsampler.policies.votes import (
    NO_THRESHOLD,
    Bools,
    DueTraces,
    EvaluationError,
    Ints64,
    Vote,
    Votes,
)

_PERCENT: Final = "a number of percent, 0 to 100"
_ALL: Final = 100  # percent


def _nearest(name: str, names: Sequence[str]) -> str:
    return (
        did_you_mean(name, names) or f"there {'is' if len(names) == 1 else 'are'} {listed(names)}"
    )


def _names(info: ValidationInfo) -> list[str]:
    """The sub-policies' names; none where something is wrong with them."""
    return [policy.name for policy in info.data.get("composite_sub_policy", ())]


def _known(name: str, info: ValidationInfo) -> str:
    names = _names(info)
    if names and name not in names:
        raise ValueError(f"no sub-policy has this name; {_nearest(name, names)}")
    return name


def _twice(names: Sequence[str]) -> str | None:
    return next((name for i, name in enumerate(names) if name in names[:i]), None)


class RateAllocation(Settings):
    """One sub-policy's share; a percentage of 0 counts as not given."""

    policy: str = Field(min_length=1, description="the name of a sub-policy")
    percent: float = Field(default=0.0, ge=0, le=_ALL, description=_PERCENT)


class CompositeSettings(Settings):
    """The sub-policies, their order, and how the spans are shared among them.

    Source: Collector, tailsamplingprocessor, composite. There the order is that of the list, and
    a trace whose first sub-policy has spent its share is lost, as with `overflow: stop`.
    """

    composite_sub_policy: tuple[Policy, ...] = Field(
        min_length=1, description="a list of one policy or more"
    )
    max_total_spans_per_second: Count = 0
    policy_order: tuple[Annotated[str, AfterValidator(_known)], ...] = Field(
        default=(), strict=False, description="a list of the names of all sub-policies"
    )
    rate_allocation: tuple[RateAllocation, ...] = Field(
        default=(), strict=False, description="a list of mappings of policy and percent"
    )
    overflow: Literal["next", "stop"] = "next"

    @field_validator("policy_order")
    @classmethod
    def _each_once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if (name := _twice(order)) is not None:
            raise ValueError(f"it names {shown(name)} twice; leave one out")
        return order

    @field_validator("rate_allocation")
    @classmethod
    def _of_sub_policies(
        cls, allocations: tuple[RateAllocation, ...], info: ValidationInfo
    ) -> tuple[RateAllocation, ...]:
        given, names = [one.policy for one in allocations], _names(info)
        unknown = next((name for name in given if names and name not in names), None)
        if unknown is not None:
            mend = _nearest(unknown, names)
            raise ValueError(f"it names {shown(unknown)}, which is no sub-policy; {mend}")
        if (name := _twice(given)) is not None:
            raise ValueError(f"it names {shown(name)} twice; leave one out")
        return allocations

    def remarks(self) -> tuple[str, ...]:
        """An order that is not whole, and shares that are nothing, or more than there is."""
        order = self.policy_order or tuple(one.name for one in self.composite_sub_policy)
        left_out = [one.name for one in self.composite_sub_policy if one.name not in order]
        if not left_out:
            return self._remarks_on_shares()
        said = f"asks {listed(map(shown, left_out))} last, as policy_order leaves it out"
        return (said, *self._remarks_on_shares())

    def _remarks_on_shares(self) -> tuple[str, ...]:
        if not self.max_total_spans_per_second:
            return ("keeps no trace, as max_total_spans_per_second is 0",)
        total = self.max_total_spans_per_second
        shared = sum(self.share(policy.name) for policy in self.composite_sub_policy)
        if shared <= total:
            return ()
        more = f"lets {float(shared):g} spans per second through, more than the total"
        if len(self.rate_allocation) == len(self.composite_sub_policy):
            return (f"{more}, as the percentages add up to more than 100",)
        each = f"{_ALL / len(self.composite_sub_policy):.3g}"
        return (f"{more}, as a sub-policy without a percentage has {each} percent",)

    def share(self, name: str) -> Fraction:
        """How many spans per second a sub-policy may let through in the whole group.

        Args:
            name: The sub-policy's.

        Returns:
            The total over the number of sub-policies, where no percentage is given.
        """
        total = self.max_total_spans_per_second
        percent = next((one.percent for one in self.rate_allocation if one.policy == name), 0)
        if not percent:
            return Fraction(total, len(self.composite_sub_policy))
        return total * _exact(percent) / _ALL

    def ordered(self) -> tuple[Policy, ...]:
        """The sub-policies in the order in which they are asked: those not named come last."""
        by_name = {policy.name: policy for policy in self.composite_sub_policy}
        return tuple(by_name[name] for name in dict.fromkeys((*self.policy_order, *by_name)))


def _exact(percent: float) -> Fraction:
    """A percentage as it was written: 33.3 is 333/10, and not the nearest binary fraction."""
    return Fraction(str(percent))


@dataclass(slots=True)
class _Accounts:
    """What the sub-policies of one partition have spent, and the time, which is one for all."""

    accounts: list[Ints64]
    limits: list[LimitShare]
    now_ms: int = 0

    def times(self, times: Ints64) -> Ints64:
        """Stream times that do not run backwards."""
        forwards = np.maximum.accumulate(np.maximum(times, self.now_ms))
        self.now_ms = int(forwards[-1])
        return forwards

    def tell(self, partition: int, before: int | None, part: int) -> Iterator[Summary]:
        """Tell what was asked for; `policies.demands.Asking` says how."""
        for limit in self.limits:
            yield from limit.tell(partition, before, part)


@dataclass(frozen=True, slots=True)
class _Part:
    """A sub-policy, what it may let through, and where its accounts stand."""

    vote: Vote
    share: SecondShare
    plan: Plan
    place: int

    def spend(
        self, accounts: _Accounts, table: RateTable | None, partition: int, times: Ints64,
        spans: Ints64,
    ) -> Bools:  # fmt: skip
        """Let traces of one partition pass while there is something left for them."""
        limit = accounts.limits[self.place]
        limit.note(times, spans)
        shares = limit.equal_shares(table, partition)
        return self.share.spend(accounts.accounts[self.place], times, spans, shares)


def _compile(settings: CompositeSettings, compilation: Compilation) -> Vote:
    parts = [
        _Part(
            compilation.part(policy),
            SecondShare(settings.share(policy.name), compilation.partitions),
            limit_plan(
                # Not the name of the sub-policy, which may have a limit of its own.
                (*compilation.path, policy.name, ""),
                "spans",
                float(settings.share(policy.name)),
                compilation.partitions,
            ),
            place,
        )
        for place, policy in enumerate(settings.ordered())
    ]
    memory = compilation.memory(
        settings,
        lambda: _Accounts(
            [part.share.begin() for part in parts],
            [LimitShare(DemandRecord(part.plan)) for part in parts],
        ),
    )
    nothing = np.zeros(0, np.int64)
    parts[0].share.spend(parts[0].share.begin(), nothing, nothing)  # compiled before it is needed
    goes_on = settings.overflow == "next"

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        """Ask one sub-policy after the other; as each has its own share, none waits for another."""
        open_, times = asked, traces.decided_ms.copy()
        sampled, failed = np.zeros(len(traces), np.bool_), np.zeros(len(traces), np.bool_)
        for partition, rows in rows_by_partition(traces, asked):
            times[rows] = memory.of(partition).times(times[rows])
        for part in parts:
            if not open_.any():
                break
            try:
                votes = part.vote(traces, open_)
            except EvaluationError:
                failed |= open_
                break
            if votes.failed is not None:
                failed |= open_ & votes.failed
                open_ = open_ & ~votes.failed
            wanted = open_ & votes.sampled
            passed = np.zeros(len(traces), np.bool_)
            table = compilation.rates.find(part.plan, times[wanted])
            for partition, rows in rows_by_partition(traces, wanted):
                passed[rows] = part.spend(
                    memory.of(partition), table, partition, times[rows], traces.spans[rows]
                )
            sampled |= passed
            open_ = open_ & ~(passed if goes_on else wanted)
        unknown = np.full(len(traces), NO_THRESHOLD, np.uint64)
        return Votes(sampled, unknown, failed=failed if failed.any() else None)

    return vote


def _grounds(settings: CompositeSettings) -> str:
    names = listed(policy.name for policy in settings.ordered())
    return f"within {settings.max_total_spans_per_second} spans per second of {names}"


COMPOSITE: Final = PolicyType(
    "composite",
    CompositeSettings,
    _compile,
    parts="composite_sub_policy",
    grounds=_grounds,
)
