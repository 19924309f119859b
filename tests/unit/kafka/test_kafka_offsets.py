"""Checkpoints as committed offsets, and where a partition is taken up."""

from typing import Literal

import pytest
from confluent_kafka import OFFSET_INVALID, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.offsets import from_committed, resolve_start, to_commit
from streamsampler.sampler import Checkpoint

offsets = st.integers(0, 2**53)


@given(low=offsets, ahead=st.integers(0, 2**30), stream_time_ms=st.integers(-1, 2**53))
def test_a_checkpoint_comes_back_as_it_was(low: int, ahead: int, stream_time_ms: int) -> None:
    checkpoint = Checkpoint(low, low + ahead, stream_time_ms)
    committed = to_commit("spans", 3, checkpoint)
    assert (committed.topic, committed.partition, committed.offset) == ("spans", 3, low)
    assert from_committed(committed) == checkpoint


def test_the_metadata_is_text_that_a_person_can_read() -> None:
    committed = to_commit("spans", 0, Checkpoint(7, 12, 1000))
    assert committed.metadata == "v1 position=12 stream_time_ms=1000"


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "somebody else's",
        "v2 position=9 stream_time_ms=5",
        "v1 position=9",
        "v1 position=-9 stream_time_ms=5",
        "v1 position=9 stream_time_ms=5 ",
        "v1 position=9999999999999999999 stream_time_ms=5",
        "v1 position=٩ stream_time_ms=5",
        "v1 position=6 stream_time_ms=5",  # an older one's: its offset is 7
    ],
)
def test_metadata_that_is_not_ours_says_that_nothing_is_done_past_the_offset(
    metadata: str | None,
) -> None:
    committed = (
        TopicPartition("spans", 0, 7)
        if metadata is None
        else TopicPartition("spans", 0, 7, metadata)
    )
    assert from_committed(committed) == Checkpoint(7, 7, -1)


def test_a_group_without_an_offset_has_no_checkpoint() -> None:
    assert from_committed(TopicPartition("spans", 0, OFFSET_INVALID)) is None


COMMITTED = Checkpoint(50, 60, 1_000)


@pytest.mark.parametrize(
    ("committed", "start", "resumed"),
    [
        (None, "earliest", Checkpoint(50, 50, -1)),
        (None, "latest", Checkpoint(90, 90, -1)),
        (COMMITTED, "latest", COMMITTED),
        (COMMITTED, "earliest", COMMITTED),
    ],
)
@pytest.mark.parametrize("out_of_range", ["stop", "earliest"])
def test_a_partition_is_taken_up_where_the_group_left_it(
    committed: Checkpoint | None,
    start: Literal["earliest", "latest"],
    resumed: Checkpoint,
    out_of_range: Literal["stop", "earliest"],
) -> None:
    found = resolve_start("spans/0", committed, 50, 90, start=start, out_of_range=out_of_range)
    assert (found.checkpoint, found.beginning) == (resumed, 50)


def test_a_topic_that_was_emptied_behind_the_group_is_in_range() -> None:
    found = resolve_start(
        "spans/0", Checkpoint(50, 50, 1_000), 50, 50, start="earliest", out_of_range="stop"
    )
    assert found.checkpoint == Checkpoint(50, 50, 1_000)


@pytest.mark.parametrize(("beginning", "end"), [(51, 90), (0, 49), (0, 59)])
def test_an_offset_that_is_gone_stops_the_worker(beginning: int, end: int) -> None:
    with pytest.raises(FailStopError, match=f"spans/0: .* 50 to 60 and .* {beginning} to {end}"):
        resolve_start("spans/0", COMMITTED, beginning, end, start="earliest", out_of_range="stop")


@pytest.mark.parametrize(
    ("beginning", "end", "resumed"),
    [
        (55, 90, COMMITTED),  # part of the buffered is gone, but a local store may have it
        (70, 90, COMMITTED),  # all of it, and records never read
        (0, 49, Checkpoint(0, 0, -1)),  # another topic of the same name
        (0, 59, Checkpoint(0, 0, -1)),  # or one that lost its newest records
    ],
)
def test_or_lets_it_go_on_with_what_is_left(beginning: int, end: int, resumed: Checkpoint) -> None:
    found = resolve_start(
        "spans/0", COMMITTED, beginning, end, start="latest", out_of_range="earliest"
    )
    assert (found.checkpoint, found.beginning) == (resumed, beginning)
