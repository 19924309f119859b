"""What is written, and in which order: a decision only after what it speaks of is safe."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from streamsampler.config import Topics
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.outbox import Outbox
from streamsampler.kafka.records import read_messages
from streamsampler.sampler import DeadLetter, Decision, Emission, Outcome
from streamsampler.spans.formats import MalformedRecord

TOPICS = Topics()
TRACE = bytes(range(16))
KEPT = Emission(2, TRACE, b"spans", [("tenant", b"acme")], spans=3, late=False)
DECIDED = Decision(
    2, TRACE, "sampled", "errors", "complete", None, None, 3, 900, 5, None, True, 1_234, 7, "abc"
)


class Broker:
    """Stands for the producer: acknowledges at the next flush, or as told."""

    def __init__(self) -> None:
        self.journal: list[tuple[str, dict[str, Any]]] = []
        self.refuses: dict[str, int] = {}
        self.full = 0
        self.too_large = ""
        self.away = False
        self._waiting: list[tuple[str, Callable[[KafkaError | None, Message], None]]] = []

    def produce(self, topic: str, on_delivery: Any, **record: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError("Local: Queue full")
        if topic == self.too_large:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large"))
        self.journal.append((topic, record))
        self._waiting.append((topic, on_delivery))

    def poll(self, _seconds: float) -> int:
        return 0

    def flush(self, _seconds: float) -> int:
        if self.away:
            return len(self._waiting)
        self.journal.append(("flush", {}))
        waiting, self._waiting = self._waiting, []
        for topic, delivered in waiting:
            code = self.refuses.get(topic)
            error = None if code is None else KafkaError(code, "refused")
            delivered(error, Message(topic))
        return 0

    @property
    def order(self) -> list[str]:
        return [topic for topic, _ in self.journal]


def never() -> bool:
    return False


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def outbox(broker: Broker) -> Outbox:
    return Outbox(broker, TOPICS, "pod-1")  # type: ignore[arg-type]


def test_a_decision_is_written_after_its_trace_is_acknowledged(
    outbox: Outbox, broker: Broker
) -> None:
    outbox.add(Outcome([KEPT], [DECIDED], []))
    assert broker.order == [TOPICS.output]
    outbox.settle(never)
    assert broker.order == [TOPICS.output, "flush", TOPICS.decisions, "flush"]


def test_a_decision_is_written_once(outbox: Outbox, broker: Broker) -> None:
    outbox.add(Outcome([], [DECIDED], []))
    outbox.settle(never)
    outbox.settle(never)
    assert broker.order.count(TOPICS.decisions) == 1


def test_no_decision_is_written_for_a_trace_that_was_refused(
    outbox: Outbox, broker: Broker
) -> None:
    broker.refuses[TOPICS.output] = KafkaError.TOPIC_AUTHORIZATION_FAILED
    outbox.add(Outcome([KEPT], [DECIDED], []))
    with pytest.raises(FailStopError, match="otlp_spans_sampled was not written: refused"):
        outbox.settle(never)
    assert TOPICS.decisions not in broker.order


def test_a_refused_decision_stops_the_worker(outbox: Outbox, broker: Broker) -> None:
    broker.refuses[TOPICS.decisions] = KafkaError._MSG_TIMED_OUT
    outbox.add(Outcome([], [DECIDED], []))
    with pytest.raises(FailStopError, match="Nothing is committed past it"):
        outbox.settle(never)


def test_after_a_refusal_nothing_goes_on(outbox: Outbox, broker: Broker) -> None:
    broker.refuses[TOPICS.output] = KafkaError._MSG_TIMED_OUT
    outbox.add(Outcome([KEPT], [], []))
    broker.flush(0)
    with pytest.raises(FailStopError):
        outbox.add(Outcome([], [], []))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_record_that_is_too_large_is_told_with_its_mend(
    outbox: Outbox, broker: Broker, *, at_once: bool
) -> None:
    if at_once:
        broker.too_large = TOPICS.output
    else:
        broker.refuses[TOPICS.output] = KafkaError.MSG_SIZE_TOO_LARGE

    def write() -> None:
        outbox.add(Outcome([KEPT], [], []))
        outbox.settle(never)

    with pytest.raises(FailStopError, match=r"Raise the topic's max\.message\.bytes"):
        write()


def test_a_full_queue_is_waited_for(outbox: Outbox, broker: Broker) -> None:
    broker.full = 3
    outbox.add(Outcome([KEPT], [], []))
    assert broker.order == [TOPICS.output]


def test_a_broker_that_is_away_is_not_waited_for_beyond_the_time_given(
    outbox: Outbox, broker: Broker
) -> None:
    broker.away = True
    outbox.add(Outcome([KEPT], [DECIDED], []))
    with pytest.raises(FailStopError, match="1 records were not acknowledged in time"):
        outbox.settle(lambda: True)
    assert TOPICS.decisions not in broker.order


def test_a_kept_trace_has_its_id_in_hex_as_key_and_its_headers(
    outbox: Outbox, broker: Broker
) -> None:
    outbox.add(Outcome([KEPT], [], []))
    ((_, record),) = broker.journal
    assert record == {
        "key": b"000102030405060708090a0b0c0d0e0f",
        "value": b"spans",
        "headers": [("tenant", b"acme")],
    }


def test_a_decision_goes_to_the_inputs_partition_with_its_stream_time(
    outbox: Outbox, broker: Broker
) -> None:
    outbox.add(Outcome([], [DECIDED], []))
    outbox.settle(never)
    (record,) = [record for topic, record in broker.journal if topic == TOPICS.decisions]
    assert (record["partition"], record["key"], record["timestamp"]) == (2, TRACE, 1_234)
    assert Decision.unpack(2, TRACE, record["value"]) == DECIDED


def test_a_dead_letter_is_the_record_that_was_read(outbox: Outbox, broker: Broker) -> None:
    message = Message("spans", 2, 9, key=b"k", value=b"\xff", timestamp=(1, 5))
    reading = read_messages([message], 10)
    outbox.add(Outcome([], [], [DeadLetter(0, "bad_tag", "bad tag before byte 0")]), reading)
    ((topic, record),) = broker.journal
    assert topic == TOPICS.dead_letters
    assert (record["key"], record["value"]) == (b"k", b"\xff")
    assert dict(record["headers"])["streamsampler.reason"] == b"bad_tag"
    assert dict(record["headers"])["streamsampler.worker"] == b"pod-1"


def test_a_record_that_no_translation_took_says_why(outbox: Outbox, broker: Broker) -> None:
    def refuse(_value: bytes) -> bytes:
        raise MalformedRecord("bad_json", "line 1: expected a value")

    message = Message("spans", 2, 9, value=b"{", timestamp=(1, 5))
    reading = read_messages([message], 10, refuse)
    outbox.add(Outcome([], [], [DeadLetter(0, "bad_tag", "bad tag before byte 0")]), reading)
    ((_, record),) = broker.journal
    headers = dict(record["headers"])
    assert headers["streamsampler.reason"] == b"bad_json"
    assert headers["streamsampler.detail"] == b"line 1: expected a value"
    assert record["value"] == b"{"
