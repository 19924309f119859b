"""The control plane's topics: looked for at the start, and now and then where they are missing."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from streamsampler.config import Settings
from streamsampler.kafka import control_plane as module
from streamsampler.kafka.control_plane import LOOK_MS, ControlPlane

SETTINGS = Settings.model_validate({"kafka": {"bootstrap.servers": "nobody"}})
SKETCHES, TABLES = SETTINGS.topics.sketches, SETTINGS.topics.tables
TOLD: Any = (b"key", "a table")


class Broker:
    """Tells which topics there are; None: does not answer."""

    def __init__(self) -> None:
        self.topics: dict[str, int] | None = {}
        self.asked = 0

    def list_topics(self, timeout: float) -> SimpleNamespace:
        self.asked += 1
        assert timeout < 1
        if self.topics is None:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        found = {n: SimpleNamespace(partitions=range(c)) for n, c in self.topics.items()}
        return SimpleNamespace(topics=found)


class Tables:
    """Stands for the reader of the tables topic."""

    opened: list[int]

    def __init__(self, _settings: Settings, partitions: int) -> None:
        self.opened.append(partitions)

    def follow(self) -> Iterator[Any]:
        yield TOLD


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(module, "TableTopic", Tables)
    monkeypatch.setattr(Tables, "opened", [], raising=False)
    return Tables.opened


def way(broker: Any, existing: dict[str, int]) -> ControlPlane:
    return ControlPlane(SETTINGS, broker, existing, 1_000)


def test_where_the_topics_are_there_nobody_is_asked_again(opened: list[int]) -> None:
    broker = Broker()
    with capture_logs() as logs:
        found = way(broker, {SKETCHES: 4, TABLES: 2})
        assert not found.look(1_000 + 10 * LOOK_MS)
    assert (found.shards, opened, broker.asked, logs) == (4, [2], 0, [])


def test_topics_that_come_later_are_taken_up_without_a_restart(opened: list[int]) -> None:
    broker = Broker()
    with capture_logs() as logs:
        found = way(broker, {})
        broker.topics = {SKETCHES: 4, TABLES: 1}
        assert not found.look(999 + LOOK_MS)
        assert (found.shards, list(found.follow()), broker.asked) == (0, [], 0)
        assert found.look(1_000 + LOOK_MS)
        assert not found.look(1_000 + 9 * LOOK_MS)
    assert (found.shards, opened, broker.asked) == (4, [1], 1)
    assert list(found.follow()) == [TOLD]
    assert [log["event"] for log in logs] == ["without_control_plane", "control_plane_topics_came"]


def test_each_topic_comes_by_itself(opened: list[int]) -> None:
    broker = Broker()
    found = way(broker, {})
    broker.topics = {TABLES: 1}
    assert not found.look(1_000 + LOOK_MS)
    broker.topics = {TABLES: 1, SKETCHES: 4}
    assert found.look(1_000 + 2 * LOOK_MS)
    assert (found.shards, opened, broker.asked) == (4, [1], 2)


def test_a_broker_that_does_not_answer_is_asked_again_a_minute_later(opened: list[int]) -> None:
    broker = Broker()
    broker.topics = None
    found = way(broker, {SKETCHES: 4})
    assert not found.look(1_000 + LOOK_MS)
    assert not found.look(1_001 + LOOK_MS)
    assert broker.asked == 1
    broker.topics = {SKETCHES: 4, TABLES: 1}
    assert not found.look(1_000 + 2 * LOOK_MS)
    assert opened == [1]
