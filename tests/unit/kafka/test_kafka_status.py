"""How a worker stands, as a record: packed, read back, and written when there is something new."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamsampler.config import Settings
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.errors import RestartError
from streamsampler.kafka.policy_in_force import Refusal
from streamsampler.kafka.status import CHANGES_MS, StatusWriter, open_status
from streamsampler.kafka.worker_status import (
    READY,
    STOPPED,
    WorkerStatus,
    fold_statuses,
    pack_status,
    status_key,
    unpack_status,
)
from streamsampler.observe import Vitals, WorkerStanding

SETTINGS = Settings(
    kafka={"bootstrap.servers": "nobody"},
    group_id="g",
    instance_id="pod-1",
    status_interval_ms=5_000,
)
REFUSAL = Refusal("acme", 7, "policies offset 7:1:4: no such type.")
STATUS = WorkerStatus(
    group="g",
    worker="pod-1",
    started_ms=1_000,
    at_ms=9_000,
    policy_version="abc",
    policy_versions={"default": "abc", "acme": "def"},
    partitions=(0, 3),
    state=READY,
    refused=(REFUSAL,),
)

TEXTS = st.text(max_size=10)
STATUSES = st.builds(
    WorkerStatus,
    group=TEXTS,
    worker=TEXTS,
    started_ms=st.integers(0, 2**50),
    at_ms=st.integers(0, 2**50),
    policy_version=st.none() | TEXTS,
    policy_versions=st.dictionaries(TEXTS, TEXTS, max_size=3),
    partitions=st.lists(st.integers(0, 999), max_size=4).map(tuple),
    state=TEXTS,
    refused=st.lists(st.builds(Refusal, TEXTS, st.integers(0, 2**40), TEXTS), max_size=2).map(
        tuple
    ),
    error=TEXTS,
)


@given(STATUSES)
def test_what_is_packed_reads_back(status: WorkerStatus) -> None:
    assert unpack_status(pack_status(status)) == status


def test_the_record_is_plain_json() -> None:
    document = json.loads(pack_status(STATUS))
    assert document["worker"] == "pod-1"
    assert document["policy_versions"] == {"default": "abc", "acme": "def"}
    assert document["partitions"] == [0, 3]
    assert document["refused"][0]["sentence"] == REFUSAL.sentence


def test_what_another_version_adds_is_passed_over() -> None:
    document = json.loads(pack_status(STATUS))
    assert unpack_status(json.dumps({**document, "news": [1]}).encode()) == STATUS


@pytest.mark.parametrize("value", [b"", b"\xff", b"[]", b"{}", b'{"worker": 3}', b"null"])
def test_garbage_is_no_status(value: bytes) -> None:
    assert unpack_status(value) is None


@pytest.mark.parametrize(
    ("status", "now_ms", "live"),
    [
        (STATUS, 9_000, True),
        (STATUS, 9_000 + 14_999, True),
        (STATUS, 9_000 + 15_000, False),
        (STATUS, 8_000, True),  # the clocks of two machines differ
        (replace(STATUS, state="partition 3 is assigned"), 9_000, True),
        (replace(STATUS, state=STOPPED), 9_000, False),
    ],
)
def test_a_worker_lives_whose_last_word_is_recent(
    status: WorkerStatus, now_ms: int, *, live: bool
) -> None:
    assert status.live(now_ms, 5_000) is live


def test_the_last_word_of_each_worker_counts() -> None:
    later, second = replace(STATUS, at_ms=10_000), replace(STATUS, worker="pod-2")
    other = replace(STATUS, group="other", worker="pod-3")
    keys = [status_key(one.group, one.worker) for one in (STATUS, second, other)]
    records = [
        (keys[0], pack_status(STATUS)),
        (keys[1], pack_status(second)),
        (keys[2], pack_status(other)),
        (b"g/pod-4", b"garbage"),
        (keys[0], pack_status(later)),
    ]
    assert fold_statuses("g", records) == {"pod-1": later, "pod-2": second}
    assert fold_statuses("g", [*records, (keys[1], None)]) == {"pod-1": later}


class Producer:
    """Stands for the producer: writes down, and fails as it is told to."""

    def __init__(self) -> None:
        self.written: list[tuple[bytes, bytes | None]] = []
        self.raises: Exception | None = None
        self.reports: list[KafkaError | None] = []
        self.stuck = False
        self.calls: list[str] = []
        self.pending: list[Callable[[KafkaError | None, object], None]] = []

    def produce(self, topic: str, value: bytes | None, key: bytes, *, on_delivery: Any) -> None:
        assert topic == SETTINGS.topics.status
        if self.raises:
            raise self.raises
        self.written.append((key, value))
        self.pending.append(on_delivery)

    def poll(self, timeout: float) -> int:
        assert timeout == 0, "nobody waits"
        while self.pending and self.reports:
            self.pending.pop(0)(self.reports.pop(0), None)
        return 0

    def flush(self, timeout: float) -> int:
        assert timeout <= 2.0
        self.calls.append("flush")
        return int(self.stuck)

    def purge(self) -> None:
        self.calls.append("purge")

    def last(self) -> WorkerStatus:
        value = self.written[-1][1]
        assert value is not None
        status = unpack_status(value)
        assert status is not None
        return status


class Desk:
    """A writer, its producer and its clock."""

    def __init__(self) -> None:
        self.producer = Producer()
        self.now_ms = 0
        producer: Any = self.producer
        clock = Clock(lambda: 1_000_000 + self.now_ms, lambda: self.now_ms)
        self.writer = StatusWriter(SETTINGS, producer, clock)
        vitals = Vitals("pod-1", "1", "exactly_once", 0)
        vitals.show("v1", [], settled=True, policy_versions={"default": "v1"})
        self.standing: WorkerStanding = vitals.read()

    def tell(self, at_ms: int, refused: tuple[Refusal, ...] = (), **changes: Any) -> int:
        """How many records there are after it."""
        self.now_ms = at_ms
        self.standing = replace(self.standing, **changes)
        self.writer.tell(at_ms, self.standing, refused)
        return len(self.producer.written)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_first_word_is_written_at_once(desk: Desk) -> None:
    desk.tell(20)
    assert desk.producer.written[0][0] == b"g/pod-1"
    assert desk.producer.last() == WorkerStatus(
        group="g",
        worker="pod-1",
        started_ms=1_000_000,
        at_ms=1_000_020,
        policy_version="v1",
        policy_versions={"default": "v1"},
        state=READY,
    )


def test_it_is_written_again_at_every_interval(desk: Desk) -> None:
    assert desk.tell(0) == 1
    assert desk.tell(4_999) == 1
    assert desk.tell(5_000) == 2
    assert desk.tell(9_999) == 2
    assert desk.producer.last().at_ms == 1_005_000


@pytest.mark.parametrize(
    "change",
    [
        {"policy_version": "v2"},
        {"policy_versions": {"default": "v1", "acme": "v3"}},
        {"settled": False},
        {"refused": (REFUSAL,)},
    ],
)
def test_a_change_is_written_soon(desk: Desk, change: dict[str, Any]) -> None:
    desk.tell(0)
    assert desk.tell(CHANGES_MS, **change) == 2


def test_many_changes_are_written_together(desk: Desk) -> None:
    desk.tell(0)
    for at_ms in range(100, CHANGES_MS, 100):
        assert desk.tell(at_ms, policy_version=f"v{at_ms}") == 1
    assert desk.tell(CHANGES_MS) == 2
    assert desk.producer.last().policy_version == "v900"


def test_whoever_is_not_ready_says_why(desk: Desk) -> None:
    desk.tell(0, settled=False, policy_version=None, waiting="there is none")
    assert desk.producer.last().state == (
        "no policy set is in force: there is none; "
        "the group has not told yet which partitions are this worker's"
    )


@pytest.mark.parametrize(
    "error", [BufferError("full"), KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))]
)
def test_what_cannot_be_written_is_counted_and_said_once(desk: Desk, error: Exception) -> None:
    desk.producer.raises = error
    with capture_logs() as logs:
        desk.tell(0)
        desk.tell(5_000)
    assert desk.writer.failures == 2
    assert [entry["event"] for entry in logs] == ["status_not_written"]


def test_what_was_not_delivered_is_counted_and_its_end_is_said(desk: Desk) -> None:
    lost = KafkaError(KafkaError._MSG_TIMED_OUT)
    desk.producer.reports = [lost]
    with capture_logs() as logs:
        desk.tell(0)
        desk.producer.reports = [lost, None]
        desk.tell(5_000)
        desk.tell(10_000)
    assert desk.writer.failures == 2
    assert [entry["event"] for entry in logs] == ["status_not_written", "status_written_again"]


def test_whoever_leaves_takes_the_record_away(desk: Desk) -> None:
    desk.tell(0)
    desk.writer.leave()
    assert desk.producer.written[-1] == (b"g/pod-1", None)
    assert desk.producer.calls == ["flush"]


def test_nobody_waits_for_brokers_that_do_not_answer(desk: Desk) -> None:
    desk.producer.stuck = True
    desk.writer.leave()
    assert desk.producer.calls == ["flush", "purge", "flush"]


def test_the_last_word_of_a_worker_that_failed_says_why(desk: Desk) -> None:
    desk.tell(0)
    desk.writer.fail("The disk is gone.")
    assert desk.producer.last().state == STOPPED
    assert desk.producer.last().error == "The disk is gone."
    assert desk.producer.last().policy_version == "v1"


def test_without_the_topic_nothing_is_written_and_that_is_said() -> None:
    with capture_logs() as logs, open_status(SETTINGS, {}, Clock()) as writer:
        writer.tell(0, Vitals("pod-1", "1", "exactly_once", 0).read(), ())
    assert [entry["event"] for entry in logs] == ["status_topic_missing"]
    assert writer.failures == 0


def test_a_worker_that_begins_anew_leaves_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Producer()
    made.close = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr("streamsampler.kafka.status.make_status_producer", lambda _: made)

    def restart() -> None:
        with open_status(SETTINGS, {SETTINGS.topics.status: 1}, Clock()) as writer:
            writer.tell(0, Vitals("pod-1", "1", "exactly_once", 0).read(), ())
            raise RestartError("the clients failed")

    with pytest.raises(RestartError):
        restart()
    assert len(made.written) == 1
    assert made.calls == ["purge"]
