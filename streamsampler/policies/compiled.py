"""A policy set compiled: the predicates for the scan, and one vector verdict for all due traces.

Hot code: `decide` runs over thousands of traces at once, NumPy only, no loop over traces; about
10 ns a trace and policy where thousands are due at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import SpanPredicate
from streamsampler.policies.questions import wanted_keys
from streamsampler.policies.schema import Policy, PolicySet
from streamsampler.policies.tally import DROPPED, NOT_SAMPLED, SAMPLED, Tally, Verdicts, Voter
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.types import TYPES
from streamsampler.policies.votes import DueTraces, EvaluationError, Votes

__all__ = [
    "DROPPED",
    "NOT_SAMPLED",
    "SAMPLED",
    "CompiledSet",
    "DueTraces",
    "Verdicts",
    "Voter",
    "Votes",
    "compile_policies",
]


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """A policy set ready to decide.

    Attributes:
        policy_set: What it was compiled from.
        predicates: What it asks of each span, by bit.
        wanted: Keys of the attributes that the scan has to locate, UTF-8.
        voters: Its policies in the order in which they are asked.
    """

    policy_set: PolicySet
    predicates: Mapping[int, SpanPredicate]
    wanted: tuple[bytes, ...]
    voters: tuple[Voter, ...]

    def decide(self, traces: DueTraces) -> Verdicts:
        """One verdict for each trace.

        Drop policies come first and their verdict is final. Otherwise a trace is sampled when
        any policy samples it; named is the least strict of those, the smallest T, and among
        equals the first in configured order. With `sample_on_first_match` it is the first. A
        policy that fails to evaluate is counted and skipped. Policies that read the spans of
        traces are asked last, and only where they can still change something.

        Args:
            traces: The due traces.

        Returns:
            The verdicts, in the order of the traces.
        """
        policies = len(self.policy_set.policies)
        tally = Tally.open(len(traces), policies, first_only=self.policy_set.sample_on_first_match)
        for voter in self.voters:
            asked = tally.asked(voter)
            if not asked.any():
                continue
            try:
                votes = voter.vote(traces, asked)
            except EvaluationError:
                tally.fail(voter, asked)
            else:
                tally.count(voter, votes, asked)
        return tally.close()


def compile_policies(
    policy_set: PolicySet,
    tenants: TenantNumbers,
    types: Mapping[str, PolicyType] = TYPES,
    compilation: Compilation | None = None,
) -> CompiledSet:
    """Compiles a set to predicates and votes.

    Args:
        policy_set: As it was loaded.
        tenants: Numbers of tenants; those that policies name are registered.
        types: The registry of types.
        compilation: With what other sets ask, and what policies have learned; what this set asks
            is added. None: there is nothing before it.

    Returns:
        The compiled set.

    Raises:
        PolicyError: The set asks for more predicates than a trace has bits.
    """
    around = compilation or Compilation(tenants)
    own = replace(around, types=types, asked=set())
    voters = [
        Voter(
            index,
            own.part(policy),
            drops=types[policy.type].drops,
            dry=policy.dry_run,
            reads_tree=_reads_tree(policy, types),
        )
        for index, policy in enumerate(policy_set.policies)
    ]
    around.asked.update(own.asked)
    last = not policy_set.sample_on_first_match  # there the configured order decides
    voters.sort(key=lambda voter: (not voter.drops, last and voter.reads_tree and not voter.drops))
    predicates = {bit: predicate for predicate, bit in own.bits.items() if bit in own.asked}
    wanted = wanted_keys(predicates.values(), policy_set.tenant)
    return CompiledSet(policy_set, predicates, wanted, tuple(voters))


def _reads_tree(policy: Policy, types: Mapping[str, PolicyType]) -> bool:
    """Whether a policy or a part of it reads the spans of traces."""
    policy_type = types[policy.type]
    return policy_type.reads_tree or any(
        _reads_tree(part, types) for part in policy_type.parts_of(policy.settings)
    )
