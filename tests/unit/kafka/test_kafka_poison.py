"""A record that makes the engine raise is found by taking records alone, and set aside."""

import re
from collections.abc import Sequence

import pytest
from confluent_kafka import Message

from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.poison import IN_A_ROW, REASON, Suspects
from streamsampler.kafka.records import read_messages
from streamsampler.spans.records import RecordBatch


def record(partition: int, offset: int) -> Message:
    return Message("spans", partition, offset, value=b"v", timestamp=(1, 5))


def batch(*places: tuple[int, int]) -> RecordBatch:
    return read_messages([record(*place) for place in places], 10).batch


def cut(suspects: Suspects, *places: tuple[int, int]) -> list[list[tuple[int | None, int | None]]]:
    parts = suspects.parts([record(*place) for place in places])
    return [[(one.partition(), one.offset()) for one in part] for part in parts]


def test_without_suspicion_all_go_together() -> None:
    assert cut(Suspects(), (0, 1), (0, 2), (1, 1)) == [[(0, 1), (0, 2), (1, 1)]]


def test_after_a_failure_the_records_of_that_batch_go_alone_and_later_ones_together() -> None:
    suspects = Suspects()
    suspects.accuse(batch((0, 1), (0, 2), (1, 7)), ValueError("x"))
    assert cut(suspects, (0, 1), (0, 2), (0, 3), (0, 4), (1, 7), (2, 1)) == [
        [(0, 1)], [(0, 2)], [(1, 7)], [(0, 3), (0, 4), (2, 1)],
    ]  # fmt: skip
    assert not suspects.condemned
    assert cut(suspects, (0, 5), (1, 8), (0, 6)) == [[(0, 5), (1, 8), (0, 6)]]


def test_a_record_is_condemned_when_it_fails_again_alone() -> None:
    suspects = Suspects()
    suspects.accuse(batch((0, 1), (0, 2)), ValueError("first"))
    suspects.accuse(batch((0, 2)), ValueError("again"))
    why = suspects.condemned[0, 2]
    assert (why.reason, why.detail) == (REASON, "ValueError: again")
    assert set(suspects.condemned) == {(0, 2)}


def test_what_is_told_of_an_error_quotes_no_record() -> None:
    try:
        int("GET /users/alice")
    except ValueError as error:
        told = Suspects().accuse(batch((0, 1)), error)
        assert re.fullmatch(r"ValueError at test_kafka_poison\.py:\d+", told)


def test_a_record_that_was_alone_at_first_is_tried_once_more() -> None:
    suspects = Suspects()
    suspects.accuse(batch((0, 2)), ValueError("first"))
    assert not suspects.condemned
    suspects.accuse(batch((0, 2)), ValueError("again"))
    assert set(suspects.condemned) == {(0, 2)}


def test_when_one_after_the_other_fails_the_worker_stops() -> None:
    suspects = Suspects()
    suspects.accuse(batch(*((0, offset) for offset in range(IN_A_ROW))), ValueError("x"))
    for offset in range(IN_A_ROW - 1):
        suspects.accuse(batch((0, offset)), ValueError("x"))
        suspects.acquit(batch((0, offset)))  # as a dead letter
    with pytest.raises(FailStopError, match=r"records are not at fault.*: ValueError\."):
        suspects.accuse(batch((0, IN_A_ROW - 1)), ValueError("x"))


def test_a_good_record_between_them_says_that_the_records_are_at_fault() -> None:
    suspects = Suspects()
    suspects.accuse(batch(*((0, offset) for offset in range(3 * IN_A_ROW))), ValueError("x"))
    for offset in range(0, 3 * IN_A_ROW, 2):
        suspects.accuse(batch((0, offset)), ValueError("x"))
        suspects.acquit(batch((0, offset + 1)))
    assert len(suspects.condemned) == 3 * IN_A_ROW / 2


def test_when_the_same_place_fails_whatever_is_condemned_the_worker_stops() -> None:
    """A verdict raises that each record from the fourth on makes due; those before are good."""
    suspects = Suspects()

    def submit_again(records: Sequence[Message]) -> None:
        all(map(submit, suspects.parts(records)))

    def submit(part: Sequence[Message]) -> bool:
        made = read_messages(part, 10).batch
        if made.offsets.max() >= 103:
            suspects.accuse(made, ValueError("a verdict"))
            return False
        suspects.acquit(made)
        return True

    records = [record(0, offset) for offset in range(100, 110)]
    for _ in range(IN_A_ROW):  # each round ends with a roll-back, after which all come again
        submit_again(records)
    with pytest.raises(FailStopError, match=r"partition 0, offset 103.*ValueError\."):
        submit_again(records)


def test_when_time_alone_makes_the_engine_fail_the_worker_stops_unless_records_get_past() -> None:
    suspects = Suspects()
    for _ in range(3 * IN_A_ROW):
        suspects.accuse_nobody(0, 5, ValueError("x"))
        suspects.acquit(batch((1, 9), (0, 5)))
    for _ in range(IN_A_ROW - 1):
        suspects.accuse_nobody(0, 5, ValueError("x"))
        suspects.acquit(batch((0, 4)))  # read again after the roll-back
    with pytest.raises(FailStopError, match="partition 0, offset 4"):
        suspects.accuse_nobody(0, 5, ValueError("x"))


def test_what_is_committed_past_is_forgotten() -> None:
    suspects = Suspects()
    for _ in range(2):
        suspects.accuse(batch((0, 1)), ValueError("x"))
    left = []
    for partition, low_watermark in ((1, 9), (0, 1), (0, 2)):
        suspects.committed(partition, low_watermark)
        left.append(list(suspects.condemned))
    assert left == [[(0, 1)], [(0, 1)], []]


def test_a_partition_that_left_takes_its_suspects_along() -> None:
    suspects = Suspects()
    suspects.accuse(batch((0, 1), (1, 1)), ValueError("x"))
    suspects.accuse(batch((0, 1)), ValueError("x"))
    suspects.forget(0)
    assert not suspects.condemned
    assert cut(suspects, (0, 0), (0, 1), (1, 1)) == [[(1, 1)], [(0, 0), (0, 1)]]
