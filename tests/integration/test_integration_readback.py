"""Past decisions read back from a real topic: in two passes, and up to its true end."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Producer

from streamsampler.config import Settings
from streamsampler.kafka.clients import make_admin
from streamsampler.kafka.readback import Found, Readback
from streamsampler.kafka.watermarks import insist_on_watermarks
from streamsampler.outcome import Checkpoint, Decision
from tests.integration.sampling import PATIENCE_SECONDS, make_topics

TTL_MS = 600_000
NOW_MS = time.time_ns() // 1_000_000
ASK_MS = 10_000


@pytest.fixture(autouse=True)
def _topics(settings: Settings) -> None:
    make_topics(settings, 2)


def decision(number: int, decided_at_ms: int, partition: int = 0) -> Decision:
    return Decision(
        partition, number.to_bytes(16, "big"), "sampled", "all", "timeout", None, None, 1, 90, 5,
        None, False, decided_at_ms, 7, "abc", b"12345678",
    )  # fmt: skip


def produce(settings: Settings, decisions: Sequence[Decision], **properties: Any) -> Producer:
    """Writes decisions; in a transaction, which is left open, where properties name one."""
    producer = Producer({"bootstrap.servers": settings.bootstrap, **properties})
    if properties:
        producer.init_transactions(30)
        producer.begin_transaction()
    for one in decisions:
        producer.produce(
            settings.topics.decisions,
            partition=one.partition,
            key=one.trace_id,
            value=one.pack(),
            timestamp=one.decided_at_ms,
        )
    assert producer.flush(PATIENCE_SECONDS) == 0
    return producer


def read(settings: Settings, resumed: dict[int, Checkpoint]) -> tuple[list[Found], float]:
    """What each poll brought, and how long it took."""
    admin = make_admin(settings)
    insist_on_watermarks(admin, settings.topics.decisions, resumed, ASK_MS)  # it has just been made
    began = time.monotonic()
    readback = Readback(settings, admin, resumed, TTL_MS, ASK_MS)
    found = []
    while not readback.finished:
        assert time.monotonic() - began < PATIENCE_SECONDS
        found.append(readback.poll())
    readback.close()
    return found, time.monotonic() - began


def numbers(found: Sequence[Found], pass_: str, partition: int = 0) -> list[int] | None:
    """The traces that one pass brought; None where it brought nothing at all."""
    (decisions,) = [
        one for each in found for p, one in getattr(each, pass_).items() if p == partition
    ]
    return [int.from_bytes(one.trace_id, "big") for one in decisions]


def test_those_since_the_low_watermark_come_first_then_the_older_that_still_matter(
    settings: Settings,
) -> None:
    produce(
        settings,
        [
            decision(1, NOW_MS - TTL_MS - 9_000),  # forgotten
            decision(2, NOW_MS - TTL_MS + 9_000),
            decision(3, NOW_MS - 1),
            decision(4, NOW_MS),
            decision(5, NOW_MS + 5),
        ],
    )
    found, _ = read(settings, {0: Checkpoint(10, 20, NOW_MS)})
    assert numbers(found, "recent") == [4, 5]
    assert numbers(found, "older") == [2, 3]
    order = [name for each in found for name in ("recent", "older") if getattr(each, name)]
    assert order.index("recent") <= order.index("older")


@pytest.mark.parametrize("decided_ms", [[], [NOW_MS - 5], [NOW_MS + 5], [NOW_MS - TTL_MS - 5]])
def test_a_partition_with_none_of_a_kind_is_complete_all_the_same(
    settings: Settings, decided_ms: list[int]
) -> None:
    produce(settings, [decision(1, at) for at in decided_ms])
    found, _ = read(settings, {0: Checkpoint(10, 20, NOW_MS), 1: Checkpoint(0, 0, -1)})
    assert numbers(found, "recent") == [1 for at in decided_ms if at >= NOW_MS]
    assert numbers(found, "older") == [1 for at in decided_ms if NOW_MS - TTL_MS <= at < NOW_MS]
    assert numbers(found, "recent", 1) == numbers(found, "older", 1) == []


def test_without_a_stream_time_all_are_recent(settings: Settings) -> None:
    produce(settings, [decision(1, NOW_MS - TTL_MS - 9_000), decision(2, NOW_MS)])
    found, _ = read(settings, {0: Checkpoint(0, 20, -1)})
    assert numbers(found, "recent") == [1, 2]
    assert numbers(found, "older") == []


@pytest.mark.parametrize("before_ms", [NOW_MS, NOW_MS - 10])
def test_what_an_open_transaction_hides_is_waited_for(settings: Settings, before_ms: int) -> None:
    """Also where the search by time finds nothing but what is hidden."""
    produce(settings, [decision(1, before_ms)])
    stopped = produce(
        settings,
        [decision(2, NOW_MS)],
        **{"transactional.id": f"{settings.group_id}-stopped", "transaction.timeout.ms": 4_000},
    )
    produce(settings, [decision(3, NOW_MS)])
    found, seconds = read(settings, {0: Checkpoint(10, 20, NOW_MS)})
    recent, older = numbers(found, "recent"), numbers(found, "older")
    assert (recent, older) == (([1, 3], []) if before_ms == NOW_MS else ([3], [1]))
    assert seconds > 1  # until the coordinator aborted it
    stopped.purge()


def test_a_partition_that_is_forgotten_is_not_handed_out(settings: Settings) -> None:
    produce(settings, [decision(1, NOW_MS), decision(2, NOW_MS, partition=1)])
    resumed = {0: Checkpoint(10, 20, NOW_MS), 1: Checkpoint(10, 20, NOW_MS)}
    readback = Readback(settings, make_admin(settings), resumed, TTL_MS, ASK_MS)
    readback.forget(0)
    found = []
    while not readback.finished:
        found.append(readback.poll())
    readback.close()
    assert {p for each in found for p in (*each.recent, *each.older)} == {1}
