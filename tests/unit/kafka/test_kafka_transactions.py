"""A transaction: what each kind of error leads to, and what goes with the offsets."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamsampler.kafka.errors import FailStopError, RestartError, RollBackError
from streamsampler.kafka.transactions import Transactions

OFFSETS = [TopicPartition("spans", 3, 7, "v1 position=9 stream_time_ms=5")]
RETRIABLE = KafkaError(KafkaError._TIMED_OUT, "timed out", False, True, False)
ABORTABLE = KafkaError(KafkaError.ILLEGAL_GENERATION, "generation", False, False, True)
FATAL = KafkaError(KafkaError._FENCED, "fenced", True, False, False)
OTHER = KafkaError(KafkaError._STATE, "erroneous state", False, False, False)


class Producer:
    """Stands for librdkafka's: does what it is asked, or fails as told, once for each error."""

    def __init__(self) -> None:
        self.journal: list[tuple[Any, ...]] = []
        self.fails: dict[str, list[KafkaError]] = {}

    def _do(self, what: str, *details: Any) -> None:
        if self.fails.get(what):
            raise KafkaException(self.fails[what].pop(0))
        self.journal.append((what, *details))

    def init_transactions(self, _seconds: float) -> None:
        self._do("init")

    def begin_transaction(self) -> None:
        self._do("begin")

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], metadata: object, _seconds: float
    ) -> None:
        self._do("offsets", [(one.partition, one.offset) for one in offsets], metadata)

    def commit_transaction(self, _seconds: float) -> None:
        self._do("commit")

    def abort_transaction(self, _seconds: float) -> None:
        self._do("abort")


class Member:
    """Stands for the consumer: of another generation each time it is asked."""

    generation = 0

    def consumer_group_metadata(self) -> int:
        self.generation += 1
        return self.generation


@pytest.fixture
def producer() -> Producer:
    return Producer()


def over(producer: Producer, *, overdue: bool = False) -> Transactions:
    return Transactions(producer, lambda: overdue)  # type: ignore[arg-type]


def test_offsets_go_with_the_records_and_with_metadata_asked_for_at_each_commit(
    producer: Producer,
) -> None:
    transactions, member = over(producer), Member()
    for _ in range(2):
        transactions.begin()
        transactions.commit(member, OFFSETS)  # type: ignore[arg-type]
    assert producer.journal == [
        ("begin",), ("offsets", [(3, 7)], 1), ("commit",),
        ("begin",), ("offsets", [(3, 7)], 2), ("commit",),
    ]  # fmt: skip


def test_it_begins_once_and_ends_once(producer: Producer) -> None:
    transactions = over(producer)
    transactions.begin()
    transactions.begin()
    was_open = transactions.open
    transactions.abort()
    transactions.abort()
    assert (was_open, transactions.open) == (True, False)
    assert producer.journal == [("begin",), ("abort",)]


@pytest.mark.parametrize("call", ["begin", "offsets", "commit"])
def test_what_is_retriable_is_tried_again(producer: Producer, call: str) -> None:
    producer.fails[call] = [RETRIABLE, RETRIABLE]
    over(producer).commit(Member(), OFFSETS)  # type: ignore[arg-type]
    assert [entry[0] for entry in producer.journal] == ["begin", "offsets", "commit"]


@pytest.mark.parametrize("call", ["offsets", "commit"])
def test_what_requires_an_abort_is_for_the_caller_to_undo(producer: Producer, call: str) -> None:
    producer.fails[call] = [ABORTABLE]
    transactions = over(producer)
    with pytest.raises(RollBackError, match="generation"):
        transactions.commit(Member(), OFFSETS)  # type: ignore[arg-type]
    assert transactions.open
    transactions.abort()
    assert producer.journal[-1] == ("abort",)


@pytest.mark.parametrize("error", [FATAL, OTHER])
@pytest.mark.parametrize("call", ["begin", "offsets", "commit"])
def test_after_anything_else_the_clients_are_made_anew(
    producer: Producer, call: str, error: KafkaError
) -> None:
    producer.fails[call] = [error]
    with pytest.raises(RestartError, match=error.str()):
        over(producer).commit(Member(), OFFSETS)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [FATAL, OTHER, ABORTABLE])
def test_an_abort_that_is_refused_makes_the_clients_anew(
    producer: Producer, error: KafkaError
) -> None:
    producer.fails["abort"] = [error]
    transactions = over(producer)
    transactions.begin()
    with pytest.raises(RestartError):
        transactions.abort()


def test_a_worker_that_was_told_to_stop_does_not_wait_for_ever(producer: Producer) -> None:
    producer.fails["commit"] = [RETRIABLE]
    with pytest.raises(FailStopError, match="Nothing is committed past the last commit"):
        over(producer, overdue=True).commit(Member(), OFFSETS)  # type: ignore[arg-type]


def test_starting_is_tried_again_while_the_coordinator_loads(producer: Producer) -> None:
    producer.fails["init"] = [RETRIABLE]
    over(producer).start()
    assert producer.journal == [("init",)]
