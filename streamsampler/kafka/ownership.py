"""Which partitions a worker owns, and how far it is with each: a table of transitions."""

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    """What a partition is to this worker."""

    ASSIGNED = "assigned"
    """The group gave it to us, or what we did with it was undone; nothing of it is held."""
    RECOVERING = "recovering"
    """Its past decisions are read back, and the records that its undecided traces need."""
    LIVE = "live"
    """Its records are read and decided on."""
    PAUSED = "paused"
    """As live, but its records wait: the buffer is full."""
    REVOKED = "revoked"
    """Handed over in good order, after a commit."""
    LOST = "lost"
    """Taken from us; somebody else may have it already, so nothing of it may be committed."""


_LEAVING: Final = frozenset({State.REVOKED, State.LOST})
OWNED: Final = frozenset(State) - _LEAVING

COMMITTED: Final = frozenset({State.LIVE, State.PAUSED})
"""What such a partition did may be committed: it is ours, and knows all that was decided."""

_AGAIN: Final = frozenset({State.ASSIGNED})

TRANSITIONS: Final[Mapping[State | None, frozenset[State]]] = {
    None: frozenset({State.ASSIGNED}),
    State.ASSIGNED: frozenset({State.RECOVERING}) | _LEAVING,
    State.RECOVERING: frozenset({State.LIVE}) | _AGAIN | _LEAVING,
    State.LIVE: frozenset({State.PAUSED}) | _AGAIN | _LEAVING,
    State.PAUSED: frozenset({State.LIVE}) | _AGAIN | _LEAVING,
    State.REVOKED: frozenset({State.ASSIGNED}),
    State.LOST: frozenset({State.ASSIGNED}),
}
"""From each state, where a partition may go; None: never seen. An aborted transaction takes a
partition back to assigned, through the same door as one that was just given to us."""


class IllegalTransitionError(RuntimeError):
    """A partition was moved to a state that does not follow on its own: a bug in the worker."""


class Ownership:
    """The state of each partition."""

    def __init__(self) -> None:
        self._states: dict[int, State] = {}

    def move(self, partition: int, state: State) -> None:
        """Move a partition on.

        Args:
            partition: Its number.
            state: Where to.

        Raises:
            IllegalTransitionError: That state does not follow on the partition's own.
        """
        before = self._states.get(partition)
        if state not in TRANSITIONS[before]:
            name = before.value if before else "unknown"
            raise IllegalTransitionError(
                f"partition {partition} cannot go from {name} to {state.value}"
            )
        self._states[partition] = state

    def state(self, partition: int) -> State | None:
        """Tell where a partition is; None for one that was never ours."""
        return self._states.get(partition)

    def within(self, *states: State) -> tuple[int, ...]:
        """List the partitions that are in one of some states, by number."""
        return tuple(sorted(p for p, state in self._states.items() if state in states))

    @property
    def owned(self) -> tuple[int, ...]:
        """The partitions that are ours, by number."""
        return self.within(*OWNED)
