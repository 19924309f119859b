"""Past decisions: since when they matter, how they are read, and what ends the reading."""

import re
from collections.abc import Sequence
from contextlib import closing

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from streamsampler.config import Settings
from streamsampler.kafka import readback as module
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.readback import Found, Readback, oldest_needed, past_decision
from streamsampler.kafka.watermarks import Watermarks
from streamsampler.sampler import Checkpoint, Decision, PastDecision

TRACE = bytes(range(16))
DECIDED = Decision(
    2, TRACE, "dropped", "noise", "timeout", None, None, 3, 900, 5, None, False, 1_234, 7, "abc",
    b"12345678",
)  # fmt: skip


@pytest.mark.parametrize(
    ("stream_time_ms", "since_ms"), [(-1, 0), (500, 0), (600_000, 0), (1_000_000, 400_000)]
)
def test_decisions_matter_for_their_time_to_live(stream_time_ms: int, since_ms: int) -> None:
    assert oldest_needed(Checkpoint(5, 9, stream_time_ms), 600_000) == since_ms


def test_of_a_decision_what_steers_spans_is_remembered() -> None:
    assert past_decision(2, TRACE, DECIDED.pack()) == PastDecision(
        TRACE, "dropped", "noise", 1_234, b"12345678"
    )


@pytest.mark.parametrize("key", [None, b"", TRACE.hex().encode()])
def test_a_key_that_is_no_trace_id_is_refused(key: bytes | None) -> None:
    with pytest.raises(ValueError, match="no trace id"):
        past_decision(2, key, DECIDED.pack())


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x01"])
def test_a_value_that_is_no_decision_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"decision|incomplete"):
        past_decision(2, TRACE, value)


class Consumer:
    """Gives what it is told to give, a message a call."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def incremental_assign(self, places: Sequence[TopicPartition]) -> None: ...

    def consume(self, _most: int, _seconds: float) -> list[Message]:
        return [self.messages.pop(0)]

    def close(self) -> None: ...


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer()
    monkeypatch.setattr(module, "make_reader", lambda _settings: made)
    monkeypatch.setattr(module, "read_watermarks", lambda *_: {0: Watermarks(0, 1)})
    return made


def reading() -> "closing[Readback]":
    settings = Settings.model_validate({"kafka": {"bootstrap.servers": "127.0.0.1:1"}})
    return closing(Readback(settings, AdminClient({}), {0: Checkpoint(5, 9, -1)}, 600_000, 100))


def trouble(code: int, partition: int = 0, offset: int = -1001) -> Message:
    error = KafkaError(code, "why")
    return Message("streamsampler.decisions", partition, offset, error=error)


@pytest.mark.parametrize("offset", [0, -1001])
def test_a_right_that_is_missing_ends_the_reading_with_a_sentence(
    consumer: Consumer, offset: int
) -> None:
    consumer.messages = [trouble(KafkaError.TOPIC_AUTHORIZATION_FAILED, offset=offset)]
    words = "streamsampler.decisions/0: cannot be read: why: the user lacks Read on the topic"
    with reading() as readback, pytest.raises(FailStopError, match=re.escape(words)):
        readback.poll()


def test_what_passes_is_said_once_and_the_reading_goes_on(consumer: Consumer) -> None:
    away = trouble(KafkaError._ALL_BROKERS_DOWN, partition=-1)
    decision = Message("streamsampler.decisions", 0, 0, key=TRACE, value=DECIDED.pack())
    consumer.messages = [away, away, away, decision]
    with reading() as readback, capture_logs() as logs:
        assert [readback.poll() for _ in range(3)] == [Found({}, {})] * 3
        (found,) = readback.poll().recent.values()
    assert [one.trace_id for one in found] == [TRACE]
    assert [log["event"] for log in logs] == ["readback_trouble"]
