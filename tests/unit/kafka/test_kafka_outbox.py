"""What is written and how it is made to last: in one transaction, or in an order."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streamsampler.config import Topics
from streamsampler.kafka.errors import FailStopError, RestartError, RollBackError
from streamsampler.kafka.outbox import OrderedOutbox, Outbox, TransactionalOutbox
from streamsampler.kafka.records import read_messages
from streamsampler.kafka.transactions import Transactions
from streamsampler.sampler import DeadLetter, Decision, Emission, Outcome

TOPICS = Topics()
TRACE = bytes(range(16))
KEPT = Emission(2, TRACE, b"spans", [("tenant", b"acme")], spans=3, late=False)
DECIDED = Decision(
    2, TRACE, "sampled", "errors", "complete", None, None, 3, 900, 5, None, True, 1_234, 7, "abc",
    b"12345678",
)  # fmt: skip
ABORTABLE = KafkaError(KafkaError.ILLEGAL_GENERATION, "generation", False, False, True)
OFFSETS = [TopicPartition("spans", 2, 7, "v1 position=9 stream_time_ms=5")]


class Broker:
    """Stands for the producer: acknowledges at the next flush or commit, or as told."""

    def __init__(self) -> None:
        self.journal: list[tuple[str, dict[str, Any]]] = []
        self.refuses: dict[str, int] = {}
        self.full = 0
        self.too_large = ""
        self.away = False
        self.fatal: BaseException | None = None
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
        if self.fatal is not None:
            raise self.fatal
        return 0

    def flush(self, _seconds: float) -> int:
        if self.away:
            return len(self._waiting)
        self.journal.append(("flush", {}))
        self.acknowledge()
        return 0

    def acknowledge(self) -> None:
        waiting, self._waiting = self._waiting, []
        for topic, delivered in waiting:
            code = self.refuses.get(topic)
            error = None if code is None else KafkaError(code, "refused")
            delivered(error, Message(topic))

    def begin_transaction(self) -> None:
        self.journal.append(("begin", {}))

    def send_offsets_to_transaction(self, offsets: Any, _metadata: Any, _seconds: float) -> None:
        self.journal.append(("offsets", {one.partition: one.offset for one in offsets}))

    def commit_transaction(self, _seconds: float) -> None:
        failing = any(topic in self.refuses for topic, _ in self._waiting)
        self.acknowledge()
        if failing:
            raise KafkaException(ABORTABLE)
        self.journal.append(("commit", {}))

    def abort_transaction(self, _seconds: float) -> None:
        self.journal.append(("abort", {}))
        self._waiting.clear()

    @property
    def order(self) -> list[str]:
        return [topic for topic, _ in self.journal]


class Member:
    """Stands for the consumer."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def consumer_group_metadata(self) -> bytes:
        return b"generation"

    def commit(self, *, offsets: Any, asynchronous: bool) -> Any:
        assert not asynchronous
        self._broker.journal.append(("offsets", {one.partition: one.offset for one in offsets}))
        return offsets


def never() -> bool:
    return False


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture(params=["transactional", "ordered"])
def outbox(request: pytest.FixtureRequest, broker: Broker) -> Outbox:
    return make_outbox(request.param, broker)


def make_outbox(kind: str, broker: Any) -> Outbox:
    if kind == "transactional":
        return TransactionalOutbox(broker, Transactions(broker), TOPICS, "pod-1")
    return OrderedOutbox(broker, TOPICS, "pod-1")


def commit(outbox: Outbox, broker: Broker, overdue: Callable[[], bool] = never) -> str | None:
    member: Any = Member(broker)
    return outbox.commit(member, OFFSETS, overdue)


def test_everything_is_in_the_transaction_that_commits_the_offsets(broker: Broker) -> None:
    outbox = make_outbox("transactional", broker)
    outbox.add(Outcome([KEPT], [DECIDED], []))
    commit(outbox, broker)
    assert broker.order == ["begin", TOPICS.output, TOPICS.decisions, "offsets", "commit"]


def test_a_batch_without_outcome_begins_no_transaction(broker: Broker) -> None:
    outbox = make_outbox("transactional", broker)
    outbox.add(Outcome([], [], []))
    member: Any = Member(broker)
    assert outbox.commit(member, [], never) is None
    assert broker.order == []


def test_offsets_alone_are_a_transaction_too(broker: Broker) -> None:
    commit(make_outbox("transactional", broker), broker)
    assert broker.order == ["begin", "offsets", "commit"]


def test_at_least_once_a_decision_is_written_after_its_trace_is_acknowledged(
    broker: Broker,
) -> None:
    outbox = make_outbox("ordered", broker)
    outbox.add(Outcome([KEPT], [DECIDED], []))
    assert broker.order == [TOPICS.output]
    commit(outbox, broker)
    assert broker.order == [TOPICS.output, "flush", TOPICS.decisions, "flush", "offsets"]


def test_a_decision_is_written_once(outbox: Outbox, broker: Broker) -> None:
    outbox.add(Outcome([], [DECIDED], []))
    commit(outbox, broker)
    commit(outbox, broker)
    assert broker.order.count(TOPICS.decisions) == 1


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.INVALID_RECORD])
def test_a_record_that_is_refused_for_good_stops_the_worker(
    outbox: Outbox, broker: Broker, code: int
) -> None:
    broker.refuses[TOPICS.output] = code
    outbox.add(Outcome([KEPT], [DECIDED], []))
    with pytest.raises(FailStopError, match="otlp_spans_sampled was not written: refused"):
        commit(outbox, broker)
    assert "offsets" not in broker.order or "commit" not in broker.order


def test_a_record_that_was_not_taken_in_time_is_written_again(
    outbox: Outbox, broker: Broker
) -> None:
    broker.refuses[TOPICS.output] = KafkaError._MSG_TIMED_OUT
    outbox.add(Outcome([KEPT], [DECIDED], []))
    with pytest.raises(RollBackError, match="was not written: refused"):
        commit(outbox, broker)
    outbox.abort()
    broker.refuses.clear()
    outbox.add(Outcome([KEPT], [DECIDED], []))
    commit(outbox, broker)
    assert broker.order[-1] in ("commit", "offsets")
    assert broker.order.count(TOPICS.output) == 2


def test_what_was_undone_is_not_committed_later(outbox: Outbox, broker: Broker) -> None:
    outbox.add(Outcome([], [DECIDED], []))
    outbox.abort()
    broker.journal.clear()
    commit(outbox, broker)
    assert TOPICS.decisions not in broker.order
    assert outbox.written_bytes == 0


def test_how_much_was_written_since_the_last_commit_is_known(
    outbox: Outbox, broker: Broker
) -> None:
    outbox.add(Outcome([KEPT, KEPT], [], []))
    assert outbox.written_bytes == 2 * len(KEPT.value)
    commit(outbox, broker)
    assert outbox.written_bytes == 0


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
        commit(outbox, broker)

    with pytest.raises(FailStopError, match=r"Raise the topic's max\.message\.bytes"):
        write()


def test_a_full_queue_is_waited_for(outbox: Outbox, broker: Broker) -> None:
    broker.full = 3
    outbox.add(Outcome([KEPT], [], []))
    assert broker.order[-1] == TOPICS.output


def test_a_broker_that_is_away_is_not_waited_for_beyond_the_time_given(broker: Broker) -> None:
    outbox = make_outbox("ordered", broker)
    broker.away = True
    outbox.add(Outcome([KEPT], [DECIDED], []))
    with pytest.raises(FailStopError, match="1 records were not acknowledged in time"):
        commit(outbox, broker, lambda: True)
    assert TOPICS.decisions not in broker.order


def test_a_kept_trace_has_its_id_in_hex_as_key_and_its_headers(
    outbox: Outbox, broker: Broker
) -> None:
    outbox.add(Outcome([KEPT], [], []))
    (record,) = [record for topic, record in broker.journal if topic == TOPICS.output]
    assert record == {
        "key": b"000102030405060708090a0b0c0d0e0f",
        "value": b"spans",
        "headers": [("tenant", b"acme")],
    }


def test_a_decision_goes_to_the_inputs_partition_with_its_stream_time(
    outbox: Outbox, broker: Broker
) -> None:
    outbox.add(Outcome([], [DECIDED], []))
    commit(outbox, broker)
    (record,) = [record for topic, record in broker.journal if topic == TOPICS.decisions]
    assert (record["partition"], record["key"], record["timestamp"]) == (2, TRACE, 1_234)
    assert Decision.unpack(2, TRACE, record["value"]) == DECIDED


def test_a_dead_letter_is_the_record_that_was_read(outbox: Outbox, broker: Broker) -> None:
    message = Message("spans", 2, 9, key=b"k", value=b"\xff", timestamp=(1, 5))
    reading = read_messages([message], 10)
    outbox.add(Outcome([], [], [DeadLetter(0, "bad_tag", "bad tag before byte 0")]), reading)
    topic, record = broker.journal[-1]
    assert topic == TOPICS.dead_letters
    assert (record["key"], record["value"]) == (b"k", b"\xff")
    assert dict(record["headers"])["streamsampler.reason"] == b"bad_tag"
    assert dict(record["headers"])["streamsampler.worker"] == b"pod-1"


def fatal(*, through_a_callback: bool) -> BaseException:
    error = KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "lost", True))
    if not through_a_callback:
        return error
    complaint = SystemError("a callback returned a result with an exception set")
    complaint.__cause__ = error
    return complaint


@pytest.mark.parametrize("through_a_callback", [False, True])
def test_a_producer_that_failed_for_good_is_made_anew(*, through_a_callback: bool) -> None:
    broker = Broker()
    outbox = make_outbox("transactional", broker)
    broker.fatal = fatal(through_a_callback=through_a_callback)
    with pytest.raises(RestartError, match="lost"):
        outbox.add(Outcome([KEPT], [DECIDED], []))


def test_what_is_no_error_of_the_client_goes_through() -> None:
    broker = Broker()
    outbox = make_outbox("transactional", broker)
    broker.fatal = SystemError("a bug elsewhere")
    with pytest.raises(SystemError, match="a bug elsewhere"):
        outbox.add(Outcome([KEPT], [DECIDED], []))
