"""What the loop tells is what is shown, one moment at a time."""

from dataclasses import FrozenInstanceError

import pytest

from streamsampler.observe import PartitionStanding, Vitals, WorkerStanding
from streamsampler.outcome import Counts


def live(partition: int) -> PartitionStanding:
    return PartitionStanding(
        partition=partition,
        state="live",
        low_watermark=0,
        position=0,
        end=0,
        stream_time_ms=-1,
        wall_ms=0,
        replayed=0,
        replay_total=0,
        expected_seconds=None,
        stopped="",
        buffered_bytes=0,
        block_bytes=0,
        counts=Counts(),
    )


@pytest.fixture
def vitals() -> Vitals:
    return Vitals("pod-1", "0.1.0", "exactly_once", now_ms=1_000)


def test_a_worker_begins_alive_and_not_ready(vitals: Vitals) -> None:
    standing = vitals.read()
    assert standing.last_turn_ms == 1_000
    assert not standing.ready
    assert len(standing.reasons) == 2
    assert (standing.worker, standing.version, standing.guarantee) == (
        "pod-1",
        "0.1.0",
        "exactly_once",
    )


def test_a_turn_is_seen_at_once(vitals: Vitals) -> None:
    vitals.turned(5_000)
    assert vitals.read().last_turn_ms == 5_000


def test_what_was_read_does_not_change(vitals: Vitals) -> None:
    before = vitals.read()
    vitals.turned(5_000)
    vitals.show("v1", [live(0)], settled=True)
    assert before.last_turn_ms == 1_000
    assert before.partitions == ()
    with pytest.raises(FrozenInstanceError):
        before.worker = "another"  # type: ignore[misc]


def test_partitions_are_shown_by_number(vitals: Vitals) -> None:
    vitals.show("v1", [live(2), live(0), live(1)], settled=True)
    assert [one.partition for one in vitals.read().partitions] == [0, 1, 2]
    assert vitals.read().ready


def test_totals_are_those_of_the_last_commit(vitals: Vitals) -> None:
    vitals.committed({0: Counts(records=3)}, 0.01)
    vitals.show("v1", [live(0)], settled=True)
    assert vitals.read().totals.counts.records == 3


def test_a_worker_made_anew_owns_nothing_and_goes_on_counting(vitals: Vitals) -> None:
    vitals.committed({0: Counts(records=3)}, 0.01)
    vitals.show("v1", [live(0)], settled=True)
    vitals.restarted()
    assert vitals.read().partitions == ()
    assert not vitals.read().ready
    vitals.committed({0: Counts(records=1)}, 0.01)
    vitals.show("v1", [live(0)], settled=True)
    assert vitals.read().totals.counts.records == 4


def test_whoever_waits_for_policies_lives_and_says_why_it_is_not_ready(vitals: Vitals) -> None:
    vitals.waits("the topic has none", 7_000)
    assert vitals.read().last_turn_ms == 7_000
    assert vitals.read().reasons[0] == "no policy set is in force: the topic has none"
    vitals.show("v1", [], settled=True)
    assert vitals.read().ready


def test_the_versions_of_the_sets_stay_until_others_are_shown(vitals: Vitals) -> None:
    vitals.show("v1", [], settled=True, policy_versions={"default": "v1"})
    vitals.show("v1", [], settled=True)
    assert vitals.read().policy_versions == {"default": "v1"}
    vitals.show("v2", [], settled=True, policy_versions={"default": "v1", "acme": "v3"})
    assert vitals.read().policy_versions == {"default": "v1", "acme": "v3"}


def test_a_listener_hears_all_that_is_shown_while_it_listens(vitals: Vitals) -> None:
    heard: list[WorkerStanding] = []
    vitals.show("v0", [], settled=True)
    with vitals.heard_by(heard.append):
        vitals.waits("there is none", 2_000)
        vitals.show("v1", [live(3)], settled=True)
    vitals.show("v2", [], settled=True)
    assert [one.policy_version for one in heard] == ["v0", "v1"]
    assert [one.partition for one in heard[1].partitions] == [3]


def test_a_listener_is_let_go_when_the_worker_fails(vitals: Vitals) -> None:
    heard: list[WorkerStanding] = []

    def fail() -> None:
        with vitals.heard_by(heard.append):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    vitals.show("v1", [], settled=True)
    assert heard == []
