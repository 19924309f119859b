"""The policy sets of the group compiled together: one scan answers what all of them ask.

A trace is decided by its tenant's own set where there is one, else by the default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from streamsampler.policies.compiled import CompiledSet, Verdicts, compile_policies
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import SpanPredicate
from streamsampler.policies.schema import Policy
from streamsampler.policies.sets import PolicySets
from streamsampler.policies.types import TYPES
from streamsampler.policies.votes import Bools, DueTraces, Ints32, Ints64


@dataclass(frozen=True, slots=True)
class CompiledSets:
    """Policy sets ready to decide.

    Attributes:
        sets: What they were compiled from.
        compiled: The default, then the tenants' own.
        set_of: int32[tenant numbers known so far], index of the set that decides a tenant's
            traces; a tenant beyond it has the default.
        policies: Of all sets, one after the other.
        starts: Where each set's policies begin.
        predicates: What all of them ask of each span, by bit.
        compilation: What they were compiled with.
    """

    sets: PolicySets
    compiled: tuple[CompiledSet, ...]
    set_of: Ints32
    policies: tuple[Policy, ...]
    starts: tuple[int, ...]
    predicates: Mapping[int, SpanPredicate]
    compilation: Compilation

    @property
    def versions(self) -> list[str]:
        """The version of each set, in the order of `compiled`."""
        return [one.policy_set.version for one in self.compiled]

    @property
    def named(self) -> list[tuple[str, str]]:
        """The names of set and policy, in the order of `policies`."""
        sets = zip(self.sets.names, self.compiled, strict=True)
        return [(name, one.name) for name, own in sets for one in own.policy_set.policies]

    def decide(self, traces: DueTraces) -> tuple[Verdicts, Ints32]:
        """One verdict for each trace, by the set that is its tenant's.

        Args:
            traces: The due traces.

        Returns:
            The verdicts, whose policies are indexes into `policies`, and int32[n], the index of
            the set that gave each.
        """
        n = len(traces)
        if len(self.compiled) == 1:
            return self.compiled[0].decide(traces), np.zeros(n, np.int32)
        known = traces.tenant < len(self.set_of)
        deciders = np.where(known, self.set_of[np.where(known, traces.tenant, 0)], 0)
        made = _no_verdicts(n, len(self.policies))
        for index in np.unique(deciders).tolist():
            rows = np.flatnonzero(deciders == index)
            self._decide_some(made, index, traces, rows)
        return made, deciders.astype(np.int32)

    def _decide_some(self, made: Verdicts, index: int, traces: DueTraces, rows: Ints64) -> None:
        """Let one set decide its traces, and write the verdicts among the others'."""
        verdicts, start = self.compiled[index].decide(_some(traces, rows)), self.starts[index]
        count = len(self.compiled[index].policy_set.policies)
        made.decision[rows] = verdicts.decision
        made.threshold[rows] = verdicts.threshold
        made.adjusted[rows] = verdicts.adjusted
        if made.measured is not None and verdicts.measured is not None:
            made.measured[rows] = verdicts.measured
        for all_of, own in ((made.policy, verdicts.policy), (made.dry, verdicts.dry)):
            all_of[rows] = np.where(own >= 0, own + start, -1)
        for counts, own_counts in (
            (made.failures, verdicts.failures),
            (made.votes, verdicts.votes),
        ):
            counts[start : start + count] += own_counts


def _no_verdicts(n: int, policies: int) -> Verdicts:
    return Verdicts(
        decision=np.zeros(n, np.uint8),
        policy=np.full(n, -1, np.int32),
        threshold=np.zeros(n, np.uint64),
        adjusted=np.zeros(n),
        failures=np.zeros(policies, np.int64),
        votes=np.zeros(policies, np.int64),
        dry=np.full(n, -1, np.int32),
        measured=np.full(n, None, np.object_),
    )


def _some(traces: DueTraces, rows: Ints64) -> DueTraces:
    """Some of the traces, as if there were no others."""
    columns: dict[str, Any] = {
        one.name: getattr(traces, one.name)[rows] for one in fields(traces) if one.name != "shapes"
    }

    def shapes(asked: Bools) -> Any:
        among_all = np.zeros(len(traces), np.bool_)
        among_all[rows[asked]] = True
        return traces.shapes(among_all).take(rows)

    return replace(traces, **columns, shapes=shapes)


def compile_sets(
    sets: PolicySets, compilation: Compilation, types: Mapping[str, PolicyType] = TYPES
) -> CompiledSets:
    """Compile sets to predicates and votes.

    Args:
        sets: As they were loaded.
        compilation: With the bits of the sets in force, which keep them where they serve again.
        types: The registry of types.

    Returns:
        The compiled sets.

    Raises:
        PolicyError: They ask for more predicates than a trace has bits.
    """
    compilation = replace(compilation, types=types)
    compiled = [compile_policies(sets.default, compilation.tenants, types, compilation)]
    numbers = {}
    for tenant, own in sets.tenants.items():
        numbers[compilation.tenants.register(tenant.encode())] = len(compiled)
        # What a tenant's policies learn is not what the default's of the same name do.
        inside = compilation.within(f"tenant {tenant}")
        compiled.append(compile_policies(own, compilation.tenants, types, inside))
    set_of = np.zeros(max(numbers, default=0) + 1, np.int32)
    for number, index in numbers.items():
        set_of[number] = index
    sizes = [len(one.policy_set.policies) for one in compiled]
    return CompiledSets(
        sets=sets,
        compiled=tuple(compiled),
        set_of=set_of,
        policies=tuple(policy for one in compiled for policy in one.policy_set.policies),
        starts=tuple(np.cumsum([0, *sizes[:-1]]).tolist()),
        predicates={
            bit: predicate
            for predicate, bit in compilation.bits.items()
            if bit in compilation.asked
        },
        compilation=compilation,
    )
