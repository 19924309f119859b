"""Dead letters: the record untouched, with headers for why and from where."""

from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from streamsampler.kafka.dead_letters import dead_letter


def test_a_dead_letter_is_the_record_with_headers() -> None:
    message = Message(
        topic="spans",
        partition=3,
        offset=17,
        key=b"\x00key",
        value=b"\xff\xfe",
        headers=[("tenant", b"acme"), ("tenant", None)],
        timestamp=(TIMESTAMP_CREATE_TIME, 1_234),
    )
    letter = dead_letter(message, "bad_varint", "bad varint before byte 2 of the value", "pod-1")
    assert (letter.key, letter.value) == (b"\x00key", b"\xff\xfe")
    assert letter.headers == [
        ("tenant", b"acme"),
        ("tenant", None),
        ("streamsampler.reason", b"bad_varint"),
        ("streamsampler.detail", b"bad varint before byte 2 of the value"),
        ("streamsampler.topic", b"spans"),
        ("streamsampler.partition", b"3"),
        ("streamsampler.offset", b"17"),
        ("streamsampler.timestamp_ms", b"1234"),
        ("streamsampler.worker", b"pod-1"),
    ]


def test_an_empty_record_stays_empty() -> None:
    letter = dead_letter(Message("spans", 0, 0), "empty_value", "the record has no value", "w")
    assert (letter.key, letter.value) == (None, None)
    assert dict(letter.headers)["streamsampler.reason"] == b"empty_value"
