"""The local store, damaged between a worker's stop and its start; Kafka has everything again."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamsampler.store import BlockStore
from tests.chaos.load import Pace
from tests.chaos.scenario import OpenScenario, Scenario
from tests.chaos.workers import WorkerProcess

PARTITIONS = 4
# So that blocks do meet the disk: several are full, and written, within a second.
SMALL_STORE = {"block_bytes": 16_384, "write_buffer_bytes": 1 << 19}
SLOW = Pace(spans_per_second=1_500)
# A layout that no version has: an empty header of 2**31 bytes, and noise.
UNREADABLE = b"\x00\x00\x00\x80" + bytes(range(256))
# A block's header as of a version that was never released.
OLDER = b"\x03\x00\x00\x00\x92\x00\x07" + bytes(64)


def test_whatever_happens_to_the_store_nothing_is_lost_or_doubled(scenario: OpenScenario) -> None:
    stage = scenario("damaged stores", partitions=PARTITIONS, pace=SLOW, store=SMALL_STORE)
    one, two = (stage.worker(name, instance_id=name) for name in ("one", "two"))
    for worker in (one, two):
        worker.start()
    stage.wait_ready()
    stage.load.start()
    stage.let_pass(5)
    aside = stage.folder / "aside"
    with _stopped(stage, one, two):
        stage.fault("store kept")
        shutil.copytree(one.store, aside)
    with _stopped(stage, one, two):
        stage.fault("store deleted")
        shutil.rmtree(one.store)
        stage.fault("tables cut short")
        _cut(two.store, "*.sst")
    with _stopped(stage, one, two):
        stage.fault("stores exchanged")
        _exchange(one.store, two.store)
    with _stopped(stage, one, two):
        stage.fault("store of a while ago")
        shutil.rmtree(one.store)
        shutil.copytree(aside, one.store)
        stage.fault("manifest cut short")
        _cut(two.store, "MANIFEST-*")
    with _stopped(stage, one, two):
        stage.fault("blocks of an older version")
        _fill(one.store, OLDER)
        stage.fault("blocks unreadable")
        _fill(two.store, UNREADABLE)
    report = stage.conclude()
    assert report.clean, report.text()


@contextmanager
def _stopped(stage: Scenario, one: WorkerProcess, two: WorkerProcess) -> Iterator[None]:
    """Both stopped, one of them in order and the other not; in the end they go on."""
    in_order, killed = stage.random.sample([one, two], 2)
    in_order.stop()
    killed.kill()
    yield
    for worker in (one, two):
        worker.start()
    stage.wait_ready(one, two)
    stage.let_pass(2)


def _exchange(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _cut(store: Path, pattern: str) -> None:
    """Cut files in the middle, as a crash of the machine may."""
    found = list(store.glob(pattern))
    assert found, f"nothing like {pattern} in {store}"
    for file in found:
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // 2)


def _fill(store: Path, value: bytes) -> None:
    """Put a value where blocks are, under numbers that blocks have and more."""
    with BlockStore(store) as blocks:
        for partition in range(PARTITIONS):
            numbers = {0, 1, *(number for number, _ in blocks.blocks(partition)), 10_000}
            for number in numbers:
                blocks.put(partition, number, value)
