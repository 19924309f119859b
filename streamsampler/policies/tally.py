"""The verdicts as they stand while the policies of a set vote one after the other.

Hot: a few passes over the columns of the due traces for each policy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.estimates import adjusted_counts
from streamsampler.policies.votes import (
    NO_THRESHOLD,
    Bools,
    Floats,
    Ints32,
    Ints64,
    Texts,
    Vote,
    Votes,
    Words,
)

NOT_SAMPLED: Final = 0
SAMPLED: Final = 1
DROPPED: Final = 2
NO_POLICY: Final = -1

Decisions = np.ndarray[tuple[int], np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Voter:
    """One policy of a set, compiled.

    Attributes:
        index: Of the set's policies.
        vote: How it votes.
        drops: Its votes drop traces.
        dry: Its votes are counted and never acted on.
        reads_tree: It, or a part of it, reads the spans of the traces it is asked about.
    """

    index: int
    vote: Vote
    drops: bool = False
    dry: bool = False
    reads_tree: bool = False


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is decided, one row for each due trace.

    Attributes:
        decision: uint8[n]: NOT_SAMPLED, SAMPLED or DROPPED.
        policy: int32[n], index into the set's policies of the one that is named; -1 for none.
        threshold: uint64[n], T of the sampled; NO_THRESHOLD where none can be given.
        adjusted: float64[n], how many traces a sampled one stands for; NaN where unknown.
        failures: int64[policies], traces that the policy could not evaluate.
        votes: int64[policies], traces that the policy sampled or dropped by itself; of those
            that it was asked about.
        dry: int32[n], index of the first policy in dry run that would have made the verdict
            another one; -1 for none.
        measured: object[n], in a few words what the named policy measured and held the trace
            against, or None; None: it is so nowhere.
    """

    decision: Decisions
    policy: Ints32
    threshold: Words
    adjusted: Floats
    failures: Ints64
    votes: Ints64
    dry: Ints32
    measured: Texts | None = None


@dataclass(slots=True)
class Tally:
    """The verdicts so far, and what dry runs would have made of them.

    Attributes:
        decision: uint8[n].
        policy: int32[n].
        threshold: uint64[n].
        adjusted: float64[n]; infinite where unknown, the strictest.
        failures: int64[policies].
        votes: int64[policies].
        first_only: The first policy that samples ends it.
        dry: The dry runs so far, and which traces each would have sampled or dropped.
        measured: object[n], made when a policy first tells of something.
    """

    decision: Decisions
    policy: Ints32
    threshold: Words
    adjusted: Floats
    failures: Ints64
    votes: Ints64
    first_only: bool
    dry: list[tuple[Voter, Bools]]
    measured: Texts | None = None

    @classmethod
    def open(cls, n: int, policies: int, *, first_only: bool) -> "Tally":
        """Begin without votes.

        Args:
            n: How many traces.
            policies: How many policies.
            first_only: The first policy that samples ends it.
        """
        return cls(
            decision=np.full(n, NOT_SAMPLED, np.uint8),
            policy=np.full(n, NO_POLICY, np.int32),
            threshold=np.full(n, NO_THRESHOLD, np.uint64),
            adjusted=np.full(n, np.inf),
            failures=np.zeros(policies, np.int64),
            votes=np.zeros(policies, np.int64),
            first_only=first_only,
            dry=[],
        )

    def asked(self, voter: Voter) -> Bools:
        """Of which traces a policy's vote is wanted.

        A trace that is sampled with T > 0 is still open: a less strict policy changes what it
        stands for. Where it is sampled with T = 0, a vote only counts, and is not worth reading
        spans for.

        Args:
            voter: The policy.

        Returns:
            bool[n].
        """
        asked: Bools = self.decision != DROPPED
        if voter.drops:
            return asked
        if self.first_only:
            asked &= self.decision != SAMPLED
        elif voter.reads_tree:
            asked &= self.threshold != 0
        return asked

    def fail(self, voter: Voter, asked: Bools) -> None:
        """Count that a policy could not evaluate any of the traces.

        Args:
            voter: The policy.
            asked: bool[n], of which traces its vote was wanted.
        """
        self.failures[voter.index] += np.count_nonzero(asked)

    def count(self, voter: Voter, votes: Votes, asked: Bools) -> None:
        """Count a policy's votes, and act on them unless it is in dry run.

        Args:
            voter: The policy.
            votes: Its votes.
            asked: bool[n], of which traces they were wanted.
        """
        taken = votes.sampled & asked
        if votes.failed is not None:
            self.fail(voter, votes.failed & asked)
            taken &= ~votes.failed
        self.votes[voter.index] += (count := np.count_nonzero(taken))
        if not count:
            return
        if voter.dry:
            self.dry.append((voter, taken))
        elif voter.drops:
            self.decision[taken] = DROPPED
            self.policy[taken] = voter.index
            self._tell(votes, taken)
        else:
            self._sample(voter.index, votes, taken)

    def _sample(self, index: int, votes: Votes, taken: Bools) -> None:
        """Sample, and name the policy where it is the first or less strict than the named."""
        threshold, adjusted = _strictness(votes, len(taken))
        better = taken & (self.decision == NOT_SAMPLED)
        if not self.first_only:
            better |= taken & self._stricter_than(threshold, adjusted, index)
        self.decision[better] = SAMPLED
        self.policy[better] = index
        self.threshold[better] = threshold[better]
        self.adjusted[better] = adjusted[better]
        self._tell(votes, better)

    def _tell(self, votes: Votes, named: Bools) -> None:
        """Take over what the policy that is named now has measured."""
        if votes.measured is not None and self.measured is None:
            self.measured = np.full(len(self.policy), None, np.object_)
        if self.measured is not None:
            self.measured[named] = None if votes.measured is None else votes.measured[named]

    def _stricter_than(self, threshold: Words, adjusted: Floats, index: int) -> Bools:
        """Where the named policy is stricter, or comes later and is as strict.

        Stricter is a greater T; where that is the same, or there is none, a greater adjusted
        count.
        """
        fewer = (adjusted < self.adjusted) | ((adjusted == self.adjusted) & (index < self.policy))
        stricter: Bools = (threshold < self.threshold) | ((threshold == self.threshold) & fewer)
        return stricter

    def close(self) -> Verdicts:
        """Give the verdicts; the tally is of no use any more."""
        self.adjusted[np.isinf(self.adjusted)] = np.nan
        dry = np.full(len(self.decision), NO_POLICY, np.int32)
        for voter, taken in sorted(self.dry, key=lambda run: run[0].index):
            changes = self.decision != DROPPED if voter.drops else self.decision == NOT_SAMPLED
            dry[taken & changes & (dry == NO_POLICY)] = voter.index
        return Verdicts(
            self.decision, self.policy, self.threshold, self.adjusted, self.failures, self.votes,
            dry, self.measured,
        )  # fmt: skip


def _strictness(votes: Votes, n: int) -> tuple[Words, Floats]:
    """T and adjusted count of a policy's votes; an unknown count is infinite, the strictest."""
    if votes.threshold is None:
        return np.zeros(n, np.uint64), np.ones(n)
    adjusted = adjusted_counts(votes.threshold)
    if votes.adjusted is not None:
        adjusted = np.where(np.isnan(adjusted), votes.adjusted, adjusted)
    return votes.threshold, np.where(np.isnan(adjusted), np.inf, adjusted)
