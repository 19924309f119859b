"""Committing offsets: done, refused for now, or refused for good."""

from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamsampler.kafka.commits import commit_offsets
from streamsampler.kafka.errors import FailStopError

OFFSETS = [TopicPartition("spans", 0, 5, "v1"), TopicPartition("spans", 1, 6, "v1")]


class Answered:
    """What the library gives back for a partition."""

    def __init__(self, error: KafkaError | None) -> None:
        self.error = error


class Coordinator:
    """Stands for the consumer; answers a commit as told."""

    def __init__(self, *answers: KafkaError | None, refuses: KafkaError | None = None) -> None:
        self.answers = answers
        self.refuses = refuses
        self.committed: list[TopicPartition] = []

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> list[Answered]:
        assert not asynchronous
        if self.refuses is not None:
            raise KafkaException(self.refuses)
        self.committed += offsets
        return [Answered(error) for error in self.answers]


def test_all_offsets_go_in_one_request_that_is_waited_for() -> None:
    coordinator = Coordinator(None, None)
    assert commit_offsets(coordinator, OFFSETS) is None  # type: ignore[arg-type]
    assert coordinator.committed == OFFSETS


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.NOT_COORDINATOR,
        KafkaError._WAIT_COORD,
    ],
)
def test_while_the_group_or_a_broker_moves_it_is_refused_for_now(code: int) -> None:
    refusal = KafkaError(code, "not now")
    whole, single = Coordinator(refuses=refusal), Coordinator(None, refusal)
    assert commit_offsets(whole, OFFSETS) == "not now"  # type: ignore[arg-type]
    assert commit_offsets(single, OFFSETS) == "not now"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
    ],
)
def test_the_rest_stops_the_worker(code: int) -> None:
    refusal = KafkaError(code, "never")
    for coordinator in (Coordinator(refuses=refusal), Coordinator(None, refusal)):
        with pytest.raises(FailStopError, match="could not be committed: never"):
            commit_offsets(coordinator, OFFSETS)  # type: ignore[arg-type]
