"""Putting other policies into force while batches go on.

What the new policies ask of a span must first be asked of the buffered ones, whose records are
scanned again block by block, a few between two batches. Until that is done the policies in force
decide, and each span that comes in is asked what both want to know; so a predicate keeps its bit
for as long as someone asks it. Then the new ones take over, between two batches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamsampler.engine.partition import Partition
from streamsampler.engine.reopening import Read, match_again
from streamsampler.policies import PolicyError
from streamsampler.policies.demands import RateTables
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.memory import Memory
from streamsampler.policies.percentiles import Percentiles
from streamsampler.policies.policy_type import Compilation
from streamsampler.policies.roots import RootNumbers
from streamsampler.policies.sets import PolicySets
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.together import CompiledSets, compile_sets


class Ground(NamedTuple):
    """What policies are compiled on, whichever they are.

    Attributes:
        tenants: Numbers the tenants.
        roots: Numbers the root operations.
        groups: Numbers the groups of traces.
        percentiles: How long the traces of each group take.
        rates: What the control plane told of goals.
        learned: What policies have learned.
        partitions: How many partitions the input topic has.
    """

    tenants: TenantNumbers
    roots: RootNumbers
    groups: GroupNumbers
    percentiles: Percentiles
    rates: RateTables
    learned: Memory
    partitions: int

    def compile(self, sets: PolicySets, before: CompiledSets | None = None) -> CompiledSets:
        """Compile sets.

        Args:
            sets: The sets.
            before: Those in force, whose predicates keep their bits; None: begin afresh.

        Returns:
            The compiled sets.

        Raises:
            PolicyError: They ask too much, by themselves or together with those in force.
        """
        bits = {one: bit for bit, one in before.predicates.items()} if before else {}
        compilation = Compilation(
            self.tenants, bits=bits, learned=self.learned, percentiles=self.percentiles,
            groups=self.groups, rates=self.rates,
            partitions=self.partitions,
        )  # fmt: skip
        return compile_sets(sets, compilation)


@dataclass(slots=True)
class Replacement:
    """Policies that are to come into force.

    Attributes:
        compiled: They.
        left: The partitions whose buffered spans are still to be asked, by number, with the
            record to go on with.
    """

    compiled: CompiledSets
    left: dict[int, int]

    def go_on(self, partition: Partition | None, number: int, read: Read) -> None:
        """Ask the spans of one more block of a partition.

        Args:
            partition: It; None where it has gone.
            number: Its number.
            read: Makes a batch's columns, and asks what the policies to come want to know.

        Raises:
            StoreError: The store cannot be read.
        """
        behind = match_again(partition, self.left[number], read) if partition else None
        if behind is None:
            del self.left[number]
        else:
            self.left[number] = behind


def alongside(ground: Ground, sets: PolicySets, before: CompiledSets) -> CompiledSets | None:
    """Compile sets so that they can be asked together with those in force.

    Args:
        ground: What they are compiled on.
        sets: The sets to come.
        before: Those in force.

    Returns:
        The compiled sets; None where that cannot be, as they ask too much together, or read the
        tenant elsewhere.
    """
    if sets.default.tenant != before.sets.default.tenant:
        return None
    try:
        return ground.compile(sets, before)
    except PolicyError:
        return None


def keep_answers(partitions: Iterable[Partition], compiled: CompiledSets) -> None:
    """Forget of all traces what nobody asks any more, so that its bits can serve again.

    Args:
        partitions: Whose traces.
        compiled: The policies that ask.
    """
    asked = np.uint64(sum(1 << bit for bit in compiled.predicates))
    for partition in partitions:
        partition.table.rows["matched"] &= asked


def answer_all(partitions: Iterable[Partition], read: Read) -> None:
    """Ask everything of all buffered spans in one go.

    Args:
        partitions: Whose.
        read: Makes a batch's columns.

    Raises:
        StoreError: The store cannot be read.
    """
    for partition in partitions:
        partition.table.rows["matched"] = 0
        partition.table.rows["tenant"] = 0
        record: int | None = 0
        while record is not None:
            record = match_again(partition, record, read)
