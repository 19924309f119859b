"""A disk that is full, and a buffer that is too small for the window."""

from tests.chaos.load import Pace
from tests.chaos.scenario import OpenScenario
from tests.chaos.small_disk import empty, fill, on_small_disk
from tests.chaos.topics import checkpoints_of

# Little stays in memory, so that blocks meet the disk, and a block holds a second of a partition.
SMALL_STORE = {"block_bytes": 65_536, "write_buffer_bytes": 8 << 20}
# Half a minute of records' time takes six seconds.
LONG_WINDOWS = Pace(speed=5)


def test_a_full_disk_stops_the_worker_until_there_is_room_again(scenario: OpenScenario) -> None:
    stage = scenario("full disk", pace=LONG_WINDOWS, store=SMALL_STORE)
    stage.allowed_troubles += ['"store_failed"', '"store_failed_again"']
    worker = stage.worker("one")
    worker.command = on_small_disk(worker)
    worker.start()
    stage.wait_ready(worker)
    stage.load.start()
    stage.let_pass(2)
    fill(worker)
    stage.fault("disk full")
    stage.wait_until(lambda: worker.answer("/readyz")[0] == 503, "the worker to say so")
    assert "No space left" in worker.answer("/readyz")[1]
    assert worker.events("store_failed")
    stands = checkpoints_of(stage.settings)
    stage.let_pass(3)
    assert worker.answer("/readyz")[0] == 503
    assert checkpoints_of(stage.settings) == stands
    empty(worker)
    stage.wait_ready(worker)
    stage.let_pass(2)
    report = stage.conclude()
    assert report.clean, report.text()


def test_a_buffer_too_small_for_the_window_decides_early_and_accounts_for_every_span(
    scenario: OpenScenario,
) -> None:
    stage = scenario(
        "buffer too small",
        pace=LONG_WINDOWS,
        store=SMALL_STORE,
        limits={"buffered_bytes": 4 << 20},
    )
    stage.verdicts_hold = False
    worker = stage.worker("one")
    worker.command = on_small_disk(worker)
    worker.start()
    stage.wait_ready(worker)
    stage.load.start()
    stage.let_pass(8)
    report = stage.conclude()
    assert report.clean, report.text()
    assert report.early_decisions > 0, report.text()
