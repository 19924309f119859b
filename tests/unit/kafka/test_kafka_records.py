"""Messages to a batch: grouped, clamped, translated; events and errors parted from records."""

from collections.abc import Sequence

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.engine.intake import is_traces
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.records import UNREADABLE, read_messages, sift
from streamsampler.spans.formats import MalformedRecord
from streamsampler.spans.records import NO_TIME

FAR = 10**15


def message(
    partition: int,
    offset: int,
    value: bytes | None = b"v",
    headers: Sequence[tuple[str, bytes]] = (),
    time_ms: int = 1_000,
) -> Message:
    return Message(
        topic="spans",
        partition=partition,
        offset=offset,
        key=b"k%d" % offset,
        value=value,
        headers=list(headers),
        timestamp=(TIMESTAMP_CREATE_TIME, time_ms),
    )


def event(code: int, partition: int = 0, offset: int = 0, **about: bool) -> Message:
    return Message(
        topic="spans", partition=partition, offset=offset, error=KafkaError(code, "why", **about)
    )


def end(partition: int, offset: int) -> Message:
    return event(KafkaError._PARTITION_EOF, partition, offset)


def test_records_are_grouped_by_partition_and_keep_their_order_within() -> None:
    reading = read_messages([message(2, 5), message(0, 7), message(2, 6), message(0, 9)], FAR)
    assert reading.batch.partitions.tolist() == [0, 0, 2, 2]
    assert reading.batch.offsets.tolist() == [7, 9, 5, 6]
    assert [reading.batch.key(i) for i in range(4)] == [b"k7", b"k9", b"k5", b"k6"]
    assert [one.offset() for one in reading.messages] == [7, 9, 5, 6]
    assert reading.partitions == [0, 2]


@given(
    places=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=30),
    positions=st.tuples(*[st.integers(0, 5)] * 3),
)
def test_a_record_that_was_taken_in_is_left_out_when_it_comes_again(
    places: list[tuple[int, int]], positions: tuple[int, int, int]
) -> None:
    reached, expected = list(positions), []
    for partition, offset in places:
        if offset >= reached[partition]:
            expected.append((partition, offset))
            reached[partition] = offset + 1
    reading = read_messages(
        [message(*place) for place in places], FAR, position=positions.__getitem__
    )
    found = zip(reading.batch.partitions.tolist(), reading.batch.offsets.tolist(), strict=True)
    assert list(found) == sorted(expected)
    assert [one.offset() for one in reading.messages] == reading.batch.offsets.tolist()


def test_values_and_headers_come_through_untouched() -> None:
    pairs = [("a", b"1"), ("a", b"2")]
    reading = read_messages([message(0, 0, b"\x00\xff", pairs), message(0, 1, None)], FAR)
    assert reading.batch.value(0) == b"\x00\xff"
    assert reading.batch.value(1) == b""
    assert reading.batch.headers[0] == pairs


def test_a_clock_that_runs_ahead_is_held_back() -> None:
    times = [message(0, 0, time_ms=900), message(0, 1, time_ms=5_000)]
    assert read_messages(times, 1_000).batch.times_ms.tolist() == [900, 1_000]


def test_a_record_without_a_time_has_none() -> None:
    timeless = Message("spans", 0, 0, value=b"v", timestamp=(TIMESTAMP_NOT_AVAILABLE, 0))
    assert read_messages([timeless], FAR).batch.times_ms.tolist() == [NO_TIME]


def shout(value: bytes) -> bytes:
    if not value.isalpha():
        raise MalformedRecord("bad_json", "byte 0 is no letter")
    return value.upper()


def test_other_formats_are_translated_at_the_door() -> None:
    reading = read_messages([message(0, 0, b"a"), message(0, 1, b"b")], FAR, shout)
    assert [reading.batch.value(i) for i in range(2)] == [b"A", b"B"]
    assert not reading.batch.malformed


def test_what_cannot_be_translated_keeps_its_place_and_its_reason() -> None:
    reading = read_messages(
        [message(1, 0, b"b"), message(0, 0, b"1"), message(0, 1, None)], FAR, shout
    )
    assert [reading.batch.value(i) for i in range(3)] == [UNREADABLE, UNREADABLE, b"B"]
    assert {i: error.reason for i, error in reading.batch.malformed.items()} == {
        0: "bad_json",
        1: "bad_json",
    }
    assert reading.messages[0].value() == b"1"


def test_a_condemned_record_keeps_its_place_and_its_reason() -> None:
    why = MalformedRecord("engine_error", "ZeroDivisionError")
    reading = read_messages(
        [message(0, 7, b"a"), message(0, 8, b"b")], FAR, condemned={(0, 8): why}
    )
    assert [reading.batch.value(i) for i in range(2)] == [b"a", UNREADABLE]
    assert reading.batch.malformed == {1: why}


def test_records_of_another_signal_are_not_translated() -> None:
    logs = message(0, 0, b"1", [("otelcol.signal", b"logs")])
    reading = read_messages([logs], FAR, shout)
    assert reading.batch.value(0) == b"1"
    assert not reading.batch.malformed


@pytest.mark.parametrize(
    ("headers", "traces"),
    [
        (None, True),
        ([], True),
        ([("otelcol.signal", b"traces")], True),
        ([("otelcol.signal", b"metrics")], False),
        ([("a", b"b"), ("otelcol.signal", b"")], False),
    ],
)
def test_a_header_may_name_the_signal(
    headers: Sequence[tuple[str, bytes]] | None, *, traces: bool
) -> None:
    assert is_traces(headers) is traces


def test_events_are_no_records() -> None:
    arrived = sift([message(0, 4), end(0, 5), end(1, 9)], [0, 1])
    assert [one.offset() for one in arrived.records] == [4]
    assert sorted(arrived.ended) == [0, 1]


def test_an_end_with_a_record_after_it_is_none() -> None:
    assert sift([end(0, 5), message(0, 5)], [0]).ended == {}


def test_what_is_not_ours_is_passed_over() -> None:
    arrived = sift([message(0, 4), message(3, 4), end(3, 5)], [0])
    assert [one.partition() for one in arrived.records] == [0]
    assert arrived.ended == {}


@pytest.mark.parametrize(
    "passing",
    [
        event(KafkaError._ALL_BROKERS_DOWN),
        event(KafkaError._TRANSPORT),
        event(KafkaError._MAX_POLL_EXCEEDED),
        event(KafkaError.NOT_LEADER_FOR_PARTITION, retriable=True),
    ],
)
def test_trouble_that_mends_itself_is_sat_out(passing: Message) -> None:
    assert len(sift([message(0, 4), passing], [0]).records) == 1


def test_records_that_were_deleted_before_they_were_read_are_told_by_partition() -> None:
    arrived = sift([message(0, 4), event(KafkaError._AUTO_OFFSET_RESET)], [0])
    assert list(arrived.gone) == [0]
    assert [one.offset() for one in arrived.records] == [4]


@pytest.mark.parametrize(
    ("stopping", "words"),
    [
        (event(KafkaError.TOPIC_AUTHORIZATION_FAILED), "spans/0: cannot be read"),
        (event(KafkaError.UNKNOWN_TOPIC_OR_PART), "spans/0: cannot be read"),
        (event(KafkaError._TRANSPORT, fatal=True), "spans/0: cannot be read"),
    ],
)
def test_the_rest_stops_the_worker(stopping: Message, words: str) -> None:
    with pytest.raises(FailStopError, match=words):
        sift([stopping], [0])
