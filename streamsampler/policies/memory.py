"""What policies learn from the traces they see, for as long as their name and parameters stay.

A rate limit knows what it has left, a search for rare traces what it has seen. It is kept by
partition, as stream time and the order of decisions are a partition's own.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

State = TypeVar("State")

Owner = tuple[Hashable, ...]
"""Whose memory it is: the names from the top policy down, and its parameters."""


@dataclass(slots=True)
class States(Generic[State]):
    """One policy's states, by partition.

    Attributes:
        make: Makes the state to begin with.
        by_partition: The states so far.
    """

    make: Callable[[], State]
    by_partition: dict[int, State] = field(default_factory=dict)

    def of(self, partition: int) -> State:
        """Give a partition's state.

        Args:
            partition: The input partition.

        Returns:
            Its state, made now if there is none; the caller may change it in place.
        """
        state = self.by_partition.get(partition)
        if state is None:
            state = self.by_partition[partition] = self.make()
        return state


class Memory:
    """The memories of all policies in force."""

    def __init__(self) -> None:
        self._states: dict[Owner, States[Any]] = {}

    def states(self, owner: Owner, make: Callable[[], State]) -> States[State]:
        """Give a policy's states: those it had before a reload, if it is the same policy.

        Args:
            owner: Whose.
            make: Makes a partition's state to begin with.

        Returns:
            Its states.
        """
        return self._states.setdefault(owner, States(make))

    def of(self, partition: int) -> Iterator[object]:
        """Give what was learned of a partition.

        Args:
            partition: The input partition.

        Yields:
            Each policy's state.
        """
        for states in self._states.values():
            if partition in states.by_partition:
                yield states.by_partition[partition]

    def forget(self, partition: int) -> None:
        """Forget what was learned of a partition that is gone.

        Args:
            partition: The input partition.
        """
        for states in self._states.values():
            states.by_partition.pop(partition, None)

    def keep_only(self, owners: set[Owner]) -> None:
        """Forget the policies that are no longer in force.

        Args:
            owners: Those that are.
        """
        self._states = {owner: kept for owner, kept in self._states.items() if owner in owners}
