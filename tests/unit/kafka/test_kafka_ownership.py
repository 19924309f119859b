"""The states of a partition: what may follow on what."""

from itertools import product

import pytest

from streamsampler.kafka.ownership import (
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
