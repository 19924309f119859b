"""Whether a worker is ready and lives: a sentence for each reason why not."""

from dataclasses import replace

import pytest

from streamsampler.kafka.ownership import OWNED
from streamsampler.observe.standing import (
    STATES,
    PartitionStanding,
    WorkerStanding,
    liveness,
    readiness,
)
from streamsampler.observe.totals import Totals
from streamsampler.outcome import Counts

FULL_DISK = "cannot write block 7 of partition 3: No space left on device"

LIVE = PartitionStanding(
    partition=3,
    state="live",
    low_watermark=100,
    position=160,
    end=200,
    stream_time_ms=5_000,
    wall_ms=0,
    replayed=0,
    replay_total=0,
    expected_seconds=None,
    stopped="",
    buffered_bytes=0,
    block_bytes=0,
    counts=Counts(),
)
REPLAYING = replace(LIVE, state="recovering", replayed=12_000, replay_total=48_000)


def test_the_states_are_those_that_an_owned_partition_may_be_in() -> None:
    assert set(STATES) == {state.value for state in OWNED}


@pytest.mark.parametrize(
    ("partition", "reason"),
    [
        (LIVE, None),
        (replace(LIVE, state="paused"), None),
        (replace(LIVE, state="assigned"), "partition 3 is assigned: nothing of it is held yet"),
        (
            replace(LIVE, state="recovering"),
            "partition 3 is recovering: its past decisions are being read back",
        ),
        (REPLAYING, "partition 3 is recovering: 12,000 of 48,000 records replayed"),
        (
            replace(REPLAYING, expected_seconds=4.2),
            "partition 3 is recovering: 12,000 of 48,000 records replayed, about 4 s left",
        ),
        (
            replace(REPLAYING, expected_seconds=0.3),
            "partition 3 is recovering: 12,000 of 48,000 records replayed, less than a second left",
        ),
        (
            replace(REPLAYING, expected_seconds=600),
            "partition 3 is recovering: 12,000 of 48,000 records replayed, about 10 min left",
        ),
        (
            replace(REPLAYING, expected_seconds=18_000),
            "partition 3 is recovering: 12,000 of 48,000 records replayed, about 5 h left",
        ),
        (
            replace(REPLAYING, replayed=48_000),
            "partition 3 is recovering: its past decisions are being read back",
        ),
        (replace(LIVE, stopped=FULL_DISK), f"partition 3 stands still: {FULL_DISK}"),
        (
            replace(LIVE, state="paused", stopped=FULL_DISK),
            f"partition 3 stands still: {FULL_DISK}",
        ),
        (replace(REPLAYING, stopped=FULL_DISK), f"partition 3 stands still: {FULL_DISK}"),
    ],
)
def test_a_partition_that_is_not_at_work_is_a_reason(
    partition: PartitionStanding, reason: str | None
) -> None:
    expected = () if reason is None else (reason,)
    assert readiness("v1", [partition], settled=True) == expected


def test_a_worker_that_owns_nothing_is_ready_once_the_group_has_said_so() -> None:
    assert readiness("v1", [], settled=True) == ()
    assert readiness("v1", [], settled=False) == (
        "the group has not told yet which partitions are this worker's",
    )


def test_a_worker_without_a_policy_set_is_not_ready() -> None:
    assert readiness(None, [LIVE], settled=True) == ("no policy set is in force",)


def test_every_reason_is_named() -> None:
    reasons = readiness(None, [LIVE, replace(LIVE, state="assigned"), REPLAYING], settled=False)
    assert len(reasons) == 4


def test_a_standing_is_ready_where_it_has_no_reasons() -> None:
    ready = WorkerStanding(
        worker="w",
        version="1",
        guarantee="exactly_once",
        policy_version="v1",
        settled=True,
        partitions=(LIVE,),
        totals=Totals(Counts(), 0, 0),
        last_turn_ms=0,
    )
    assert ready.ready
    waiting = replace(ready, policy_version=None)
    assert not waiting.ready
    assert waiting.reasons == ("no policy set is in force",)


@pytest.mark.parametrize(
    ("end", "position", "lag"),
    [(200, 160, 40), (160, 160, 0), (150, 160, 0), (None, 160, None), (200, None, None)],
)
def test_lag_is_what_is_yet_to_be_taken_in(
    end: int | None, position: int | None, lag: int | None
) -> None:
    assert replace(LIVE, end=end, position=position).lag == lag


def test_a_span_in_none_of_the_fates_is_unaccounted() -> None:
    counts = Counts(
        spans_in=21, kept=1, not_sampled=2, dropped=3, duplicates=4, dead_lettered=5, buffered=6
    )
    assert replace(LIVE, counts=counts).unaccounted == 0
    assert counts.conserved()
    counts.spans_in += 2
    assert replace(LIVE, counts=counts).unaccounted == 2


@pytest.mark.parametrize(
    ("last_turn_ms", "now_ms", "problem"),
    [
        (1_000, 1_000, ""),
        (1_000, 61_000, ""),
        (
            1_000,
            61_100,
            "the worker's loop has not turned for 60.1 s; it may take 60.0 s",
        ),
    ],
)
def test_a_loop_that_does_not_turn_is_dead(last_turn_ms: int, now_ms: int, problem: str) -> None:
    assert liveness(last_turn_ms, now_ms, limit_ms=60_000) == problem
