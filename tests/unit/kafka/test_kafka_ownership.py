"""The states of a partition: what may follow on what, and what that promises over any history."""

from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamsampler.kafka.ownership import (
    COMMITTED,
    OWNED,
    TRANSITIONS,
    IllegalTransitionError,
    Ownership,
    State,
)

PATHS: dict[State, tuple[State, ...]] = {
    State.ASSIGNED: (State.ASSIGNED,),
    State.RECOVERING: (State.ASSIGNED, State.RECOVERING),
    State.LIVE: (State.ASSIGNED, State.RECOVERING, State.LIVE),
    State.PAUSED: (State.ASSIGNED, State.RECOVERING, State.LIVE, State.PAUSED),
    State.REVOKED: (State.ASSIGNED, State.REVOKED),
    State.LOST: (State.ASSIGNED, State.LOST),
}


def at(state: State) -> Ownership:
    ownership = Ownership()
    for step in PATHS[state]:
        ownership.move(7, step)
    return ownership


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_only_the_table_says_where_a_partition_may_go(before: State, after: State) -> None:
    ownership = at(before)
    if after in TRANSITIONS[before]:
        ownership.move(7, after)
        assert ownership.state(7) is after
        return
    with pytest.raises(IllegalTransitionError, match=f"from {before.value} to {after.value}"):
        ownership.move(7, after)
    assert ownership.state(7) is before


@pytest.mark.parametrize("state", [one for one in State if one is not State.ASSIGNED])
def test_a_partition_begins_by_being_assigned(state: State) -> None:
    with pytest.raises(IllegalTransitionError, match="from unknown"):
        Ownership().move(0, state)


def test_a_partition_never_goes_live_before_its_decisions_were_read() -> None:
    assert State.LIVE not in TRANSITIONS[State.ASSIGNED]


@pytest.mark.parametrize("state", [State.REVOKED, State.LOST])
def test_what_left_must_be_assigned_anew(state: State) -> None:
    assert TRANSITIONS[state] == {State.ASSIGNED}


def test_partitions_are_listed_by_state() -> None:
    ownership = Ownership()
    for partition in (3, 1, 2):
        ownership.move(partition, State.ASSIGNED)
    ownership.move(2, State.RECOVERING)
    ownership.move(3, State.LOST)
    assert ownership.within(State.ASSIGNED) == (1,)
    assert ownership.within(State.ASSIGNED, State.RECOVERING) == (1, 2)
    assert ownership.owned == (1, 2)
    assert ownership.state(9) is None


PARTITIONS = st.integers(0, 3)


class Histories(RuleBasedStateMachine):
    """Four partitions and whatever can happen to them, in any order.

    The rules are what the group, the brokers, the disk and the buffer do; each is refused where
    the table says so, and then changes nothing. What is promised is told from the history alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ownership = Ownership()
        self.history: dict[int, list[State]] = {p: [] for p in range(4)}

    def _try(self, partition: int, state: State) -> None:
        before = self.ownership.state(partition)
        try:
            self.ownership.move(partition, state)
        except IllegalTransitionError:
            assert self.ownership.state(partition) is before
        else:
            self.history[partition].append(state)

    @rule(partition=PARTITIONS)
    def the_group_gives_it(self, partition: int) -> None:
        if partition not in self.ownership.owned:
            self._try(partition, State.ASSIGNED)

    @rule(partition=PARTITIONS, state=st.sampled_from([State.RECOVERING, State.LIVE]))
    def it_is_taken_over(self, partition: int, state: State) -> None:
        self._try(partition, state)

    @rule(partition=PARTITIONS, state=st.sampled_from([State.PAUSED, State.LIVE]))
    def the_buffer_fills_or_empties(self, partition: int, state: State) -> None:
        self._try(partition, state)

    @rule()
    def a_transaction_is_aborted(self) -> None:
        for partition in self.ownership.owned:
            if self.ownership.state(partition) is not State.ASSIGNED:
                self.ownership.move(partition, State.ASSIGNED)
                self.history[partition].append(State.ASSIGNED)

    @rule(partition=PARTITIONS, state=st.sampled_from([State.REVOKED, State.LOST]))
    def the_group_takes_it(self, partition: int, state: State) -> None:
        if partition in self.ownership.owned:
            self.ownership.move(partition, state)
            self.history[partition].append(state)

    @invariant()
    def what_left_is_never_committed_before_it_was_assigned_anew(self) -> None:
        for partition in self.ownership.within(*COMMITTED):
            states = self.history[partition]
            left = [at for at, state in enumerate(states) if state not in OWNED]
            assert all(State.ASSIGNED in states[at:] for at in left)

    @invariant()
    def what_was_undone_knows_all_past_decisions_before_it_is_committed_again(self) -> None:
        for partition in self.ownership.within(*COMMITTED):
            states = self.history[partition]
            undone = len(states) - 1 - states[::-1].index(State.ASSIGNED)
            assert states[undone : undone + 3] == [State.ASSIGNED, State.RECOVERING, State.LIVE]

    @invariant()
    def what_is_committed_is_owned_and_what_left_is_not(self) -> None:
        assert set(self.ownership.within(*COMMITTED)) <= set(self.ownership.owned)
        assert not set(self.ownership.within(State.REVOKED, State.LOST)) & set(
            self.ownership.within(*OWNED)
        )


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
