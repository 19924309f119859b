"""The control plane on a real Kafka: tables follow from summaries, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgpack
import numpy as np
import pytest
from confluent_kafka import Producer
from datasketches import kll_floats_sketch

from streamsampler.config import Settings
from streamsampler.estimates import summaries, tables
from streamsampler.estimates.summaries import (
    Demand,
    Goal,
    GroupSummary,
    PairSummary,
    Services,
    ServiceSummary,
    Summary,
)
from streamsampler.estimates.tables import RateTable, Table, ThresholdTable
from tests.integration.control_plane import running
from tests.integration.sampling import make_settings, make_topics, read_all, wait_until
from tests.kafka_cluster import REPOSITORY, free_ports

COMMAND = (sys.executable, "-c", "from streamsampler.cli import main; main()", "topology")
SHARDS = 4
GROUPS = [(b"tenant", b"shop", b"GET /%d" % number) for number in range(SHARDS)]
STOP_SECONDS = 30


@pytest.fixture
def settings(kafka: str, prefix: str, tmp_path: Path) -> Settings:
    topology = {"publish_ms": 200, "path": tmp_path / "topology"}
    return make_settings(kafka, prefix, tmp_path, topology=topology)


def sketch_of(durations: list[float]) -> bytes:
    sketch = kll_floats_sketch(2048)
    sketch.update(np.array(durations, np.float32))
    serialized: bytes = sketch.serialize()
    return serialized


def groups(number: int, interval: int, durations: list[float], partition: int = 0) -> Summary:
    row = GroupSummary(
        group=GROUPS[number],
        traces=len(durations),
        spans=2 * len(durations),
        bytes=900,
        errors=1,
        kept=1,
        rootless=0,
        orphaned=0,
        adjusted=float(len(durations)),
        sketch=sketch_of(durations),
    )
    return Summary("groups", partition, interval, 0, (row,))


def publish(settings: Settings, *records: tuple[int, Summary | bytes]) -> None:
    """Write records to shards, compressed as workers do."""
    producer = Producer({"bootstrap.servers": settings.bootstrap, "compression.type": "lz4"})
    for shard, record in records:
        value = record if isinstance(record, bytes) else summaries.pack(record)
        producer.produce(settings.topics.sketches, value=value, partition=shard)
    assert producer.flush(30) == 0


def published(settings: Settings) -> dict[bytes, bytes]:
    """The last record under each key of the tables topic."""
    messages = read_all(settings, settings.topics.tables)
    return {message.key() or b"": message.value() or b"" for message in messages}


def counts(settings: Settings) -> dict[int, int]:
    """How many traces each group's threshold follows from, by the group's number."""
    found: dict[int, int] = {}
    for value in published(settings).values():
        table: Table = tables.unpack(value)
        assert isinstance(table, ThresholdTable)
        for group, known in table.groups.items():
            found[GROUPS.index(group)] = known.count
    return found


def test_thresholds_follow_from_what_workers_published(settings: Settings, tmp_path: Path) -> None:
    make_topics(settings, 2)
    first, second = [float(ms) for ms in range(1, 501)], [float(ms) for ms in range(501, 1001)]
    publish(
        settings,
        (1, groups(1, 100, first)),
        (1, b"\xff not a summary"),
        (1, groups(1, 100, second, partition=1)),
    )
    with running("thresholds", settings, tmp_path) as app:
        wait_until(lambda: counts(settings) == {1: 1_000}, "the table")
        table = tables.unpack(published(settings)[b"thresholds/1"])
        assert isinstance(table, ThresholdTable)
        assert table.version == 500_000
        known = table.groups[GROUPS[1]]
        assert known.quantiles == pytest.approx([500, 900, 950, 990, 999], abs=2)
        progress = app.page("/progress")
        assert (progress["records"], progress["undecodable"]) == (3, 1)
        assert progress["published_ms_ago"] is not None
        assert not progress["stalled"]
        app.process.send_signal(signal.SIGINT)
        assert app.process.wait(STOP_SECONDS) == 0
    assert "Traceback" not in app.log.read_text()


def test_a_record_that_comes_twice_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    make_topics(settings, 2)
    summary = groups(0, 100, [1.0, 2.0, 3.0])
    publish(settings, (0, summary))
    with running("thresholds", settings, tmp_path) as app:
        wait_until(lambda: counts(settings) == {0: 3}, "the table")
        before = len(read_all(settings, settings.topics.tables))
        publish(settings, (0, summary), (0, summary))
        wait_until(lambda: app.page("/progress")["records"] == 3, "the copies")
        rounds = app.page("/progress")["rounds"]
        wait_until(lambda: app.page("/progress")["rounds"] > rounds + 1, "two rounds")
        assert len(read_all(settings, settings.topics.tables)) == before


def demands(shard: int, interval: int, key: bytes) -> Summary:
    """What one key asks of a goal that the shard alone hears of: less than there is."""
    goal = Goal("traces", 10.0, 0.1, "fair", {}, 1.0, {}, 1.0, 100)
    demand = Demand(f"budget{shard}", goal, {(key,): (5, 5.0)})
    return Summary("demands", 0, interval, 0, (demand,))


def keys(settings: Settings) -> dict[int, set[bytes]]:
    """Which keys the rates of each shard's goal are for."""
    found: dict[int, set[bytes]] = {}
    for value in published(settings).values():
        table: Table = tables.unpack(value)
        assert isinstance(table, RateTable)
        found[int(table.policy.removeprefix("budget"))] = {name for (name,) in table.rates}
    return found


def services(interval: int, spans: int) -> Summary:
    row = ServiceSummary(b"shop", spans, 0, 0, 0, {}, 0)
    return Summary("services", 0, interval, 0, Services((row,), ()))


def spans(settings: Settings) -> dict[int, int]:
    """How many spans each shard's services have."""
    found = {}
    for key, value in published(settings).items():
        told = msgpack.unpackb(value)[3]["services"]
        found[int(key.removeprefix(b"health/"))] = sum(row["spans"] for row in told)
    return found


@dataclass(frozen=True)
class TakenOver:
    """An app of which one instance is killed.

    Attributes:
        app: Its name.
        before: What a shard is told before that.
        after: What it is told then.
        told: What the app tells of each shard.
        at_first: That, before.
        at_last: That, of both.
    """

    app: str
    before: Callable[[int], Summary]
    after: Callable[[int], Summary]
    told: Callable[[Settings], Mapping[int, object]]
    at_first: object
    at_last: object


TAKEN_OVER = [
    TakenOver(
        "thresholds",
        lambda shard: groups(shard, 100, [5.0] * 10),
        lambda shard: groups(shard, 101, [5.0] * 7),
        counts,
        10,
        17,
    ),
    TakenOver(
        "rates",
        lambda shard: demands(shard, 100, b"a"),
        lambda shard: demands(shard, 101, b"b"),
        keys,
        {b"a"},
        {b"a", b"b"},
    ),
    TakenOver(
        "health",
        lambda _shard: services(100, 50),
        lambda _shard: services(101, 30),
        spans,
        50,
        80,
    ),
]


@pytest.mark.parametrize("case", TAKEN_OVER, ids=lambda case: case.app)
def test_another_instance_takes_over_from_one_that_was_killed(
    settings: Settings, tmp_path: Path, case: TakenOver
) -> None:
    make_topics(settings, 2)
    everything = set(range(SHARDS))
    with (
        running(case.app, settings, tmp_path, 1) as one,
        running(case.app, settings, tmp_path, 2) as two,
    ):
        wait_until(
            lambda: bool(
                one.shards() and two.shards() and one.shards() | two.shards() == everything
            ),
            "both to own shards",
        )
        publish(settings, *((shard, case.before(shard)) for shard in everything))
        first = dict.fromkeys(everything, case.at_first)
        wait_until(lambda: case.told(settings) == first, "the first tables")
        one.process.kill()
        # What comes after the crash goes on top of what the killed one knew.
        publish(settings, *((shard, case.after(shard)) for shard in everything))
        killed = time.monotonic()
        last = dict.fromkeys(everything, case.at_last)
        wait_until(lambda: case.told(settings) == last, "the others' tables")
        assert two.shards() == everything
        assert time.monotonic() - killed < 45


@pytest.mark.parametrize("kept", ["on disk", "in memory"])
def test_an_instance_that_comes_back_goes_on(settings: Settings, tmp_path: Path, kept: str) -> None:
    make_topics(settings, 2)
    flags = [] if kept == "on disk" else ["--set", "topology.path=null"]
    for taken in (1, 2):
        publish(settings, (0, groups(0, 100 + taken, [5.0] * 10)))
        with running("thresholds", settings, tmp_path, flags=flags) as app:
            wait_until(lambda: counts(settings) == {0: 10 * taken}, "the table")  # noqa: B023
            app.process.terminate()
            assert app.process.wait(STOP_SECONDS) == 0
    # It knew the first record from its table, and did not read it again.
    assert app.log.read_text().count('"entries": 1') == 1


def test_fausts_own_command_runs_an_app(settings: Settings, tmp_path: Path) -> None:
    make_topics(settings, 2)
    publish(settings, (0, groups(0, 100, [5.0] * 10)))
    file = tmp_path / "streamsampler.yaml"
    (port,) = free_ports(1)
    topology = {**settings.topology.model_dump(), "web_address": f"127.0.0.1:{port}"}
    own = Settings.model_validate({**settings.model_dump(), "topology": topology})
    file.write_text(own.model_dump_json(exclude_none=True))
    process = subprocess.Popen(
        [sys.executable, "-m", "faust", "-A", "topologies.thresholds", "worker"],
        env={**os.environ, "STREAMSAMPLER_CONFIG": str(file)},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: counts(settings) == {0: 10}, "the table")
    finally:
        process.kill()
        process.wait(STOP_SECONDS)


def test_rates_hold_a_goal_for_all_partitions(settings: Settings, tmp_path: Path) -> None:
    make_topics(settings, 2)
    goal = Goal("traces", 10.0, 0.1, "fair", {}, 1.0, {}, 1.0, 100)
    demand = Demand("set/budget", goal, {(b"a",): (100, 100.0), (b"b",): (5, 5.0)})
    both = [Summary("demands", partition, 100, 0, (demand,)) for partition in (0, 1)]
    publish(settings, *((2, summary) for summary in both))
    with running("rates", settings, tmp_path):
        wait_until(lambda: b"rates/set/budget" in published(settings), "the rates")

        def rates() -> dict[tuple[bytes, ...], float]:
            table = tables.unpack(published(settings)[b"rates/set/budget"])
            assert isinstance(table, RateTable)
            return dict(table.rates)

        # 40 a second and 2 a second ask for 10 a second: the small one gets what it asks for.
        wait_until(lambda: rates() == {(b"a",): pytest.approx(0.2), (b"b",): 1.0}, "both")


def test_health_is_published_and_shown(settings: Settings, tmp_path: Path) -> None:
    make_topics(settings, 2)
    told = Services(
        (ServiceSummary(b"shop", 50, 5, 10, 1, {b"service.version": 2}, 0),),
        (PairSummary(b"shop", b"stock", 20, 2, 1, -6.0, 3),),
    )
    publish(
        settings,
        (3, groups(3, 100, [10.0] * 4)),
        (3, Summary("services", 0, 100, 0, told)),
        (3, Summary("services", 1, 100, 0, told)),
    )
    with running("health", settings, tmp_path) as app:
        wait_until(lambda: b"health/3" in published(settings), "the table")
        wait_until(lambda: app.page("/progress")["records"] == 3, "all records")
        shown = app.page("/health/")
        assert shown["shards"] == list(range(SHARDS))
        (group,) = shown["groups"]
        assert (group["root_name"], group["traces"], group["p50_ms"]) == ("GET /3", 4, 10.0)
        assert group["error_share"] == 0.25
        (service,) = app.page("/health/services/")["services"]
        assert (service["spans"], service["missing_attributes"]) == (100, {"service.version": 4})
        (pair,) = shown["pairs"]
        assert (pair["caller"], pair["callee"], pair["calls"]) == ("shop", "stock", 40)
        assert pair["clock_skew_ms"] == -2.0

        wait_until(lambda: spans(settings)[3] == 100, "the last table")


def test_missing_topics_and_missing_brokers_are_a_sentence(
    settings: Settings, tmp_path: Path
) -> None:
    with running("thresholds", settings, tmp_path) as app:
        assert app.process.wait(STOP_SECONDS) == 1
    assert app.log.read_text().startswith("Error: these topics do not exist: ")
    nowhere = settings.model_copy(
        update={"kafka": {"bootstrap.servers": "127.0.0.1:1"}, "startup_timeout_ms": 1_000}
    )
    with running("thresholds", nowhere, tmp_path) as app:
        assert app.process.wait(STOP_SECONDS) == 1
    assert app.log.read_text().startswith("Error: no broker answered at 127.0.0.1:1 within 1 s")
