"""Writing to a topic, on librdkafka's own mock of a broker."""

from collections.abc import Iterator
from threading import Event

import pytest
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsampler.traffic import GeneratedRecord, TrafficSettings, generate, write_topic

_FEW = TrafficSettings(traces=10, seed=2, bad_records=2)


@pytest.fixture
def bootstrap() -> Iterator[str]:
    admin = AdminClient({"test.mock.num.brokers": 1, "log_level": 2})
    (broker,) = admin.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del admin


def read(bootstrap: str, topic: str, wanted: int) -> list[Message]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "test", "auto.offset.reset": "earliest"}
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found: list[Message] = []
    for _ in range(50):
        found += consumer.consume(wanted - len(found), timeout=0.5)
        if len(found) >= wanted:
            break
    consumer.close()
    return found


class Clock:
    """A wall clock that jumps when somebody waits."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.waits = 0

    def __call__(self) -> int:
        return self.now_ms


class JumpingStop(Event):
    """Moves the clock instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.waits += 1
        self.clock.now_ms += int((timeout or 0) * 1000) + 1
        return self.is_set()


def test_records_arrive_with_key_value_time_and_headers(bootstrap: str) -> None:
    chosen = TrafficSettings(traces=10, seed=2, bad_records=2, tenant_header="x-tenant")
    records = list(generate(chosen))
    written = write_topic(records, {"bootstrap.servers": bootstrap}, "spans")
    assert (written.records, written.failed) == (len(records), 0)
    assert written.spans == sum(len(record.spans) for record in records)
    found = read(bootstrap, "spans", len(records))
    assert sorted(
        (m.key(), m.value(), m.timestamp()[1], m.headers() or []) for m in found
    ) == sorted((r.key, r.value, r.time_ms, list(r.headers)) for r in records)
    placed = {(m.key(), m.partition()) for m in found}
    assert len(placed) == len({m.key() for m in found}), "a trace stays on one partition"


def test_a_paced_run_waits_for_each_record_and_stamps_it_with_the_time_of_writing(
    bootstrap: str,
) -> None:
    records = list(generate(_FEW))
    clock = Clock(records[0].time_ms)
    write_topic(
        records,
        {"bootstrap.servers": bootstrap},
        "spans",
        paced=True,
        stop=JumpingStop(clock),
        now_ms=clock,
    )
    last_ms = max(record.time_ms for record in records)
    assert last_ms <= clock.now_ms <= last_ms + 200
    assert clock.waits * 101 >= last_ms - records[0].time_ms
    due = {(record.key, record.value): record.time_ms for record in records}
    for message in read(bootstrap, "spans", len(records)):
        key, value = message.key(), message.value()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        assert 0 <= message.timestamp()[1] - due[key, value] <= 200


def test_a_stop_ends_the_run_between_two_records(bootstrap: str) -> None:
    stop = Event()
    handed: list[GeneratedRecord] = []

    def stop_after_three(record: GeneratedRecord) -> None:
        handed.append(record)
        if len(handed) == 3:
            stop.set()

    endless = generate(TrafficSettings(traces=0))
    written = write_topic(
        endless, {"bootstrap.servers": bootstrap}, "spans", stop=stop, on_record=stop_after_three
    )
    assert (written.records, len(handed)) == (3, 3)


def test_what_the_broker_did_not_take_is_counted_with_the_reason() -> None:
    unreachable = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 50}
    records = list(generate(TrafficSettings(traces=2)))
    written = write_topic(records, unreachable, "spans")
    assert (written.records, written.failed) == (0, len(records))
    assert "Local: Message timed out" in written.reasons


def test_a_setting_that_librdkafka_does_not_know_is_refused() -> None:
    with pytest.raises(KafkaException, match="No such configuration property"):
        write_topic((), {"bootstrap.servers": "127.0.0.1:1", "nonsense": 1}, "spans")
