"""Records that come twice, late, in disorder, or are gone before they are read."""

import shutil

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.chaos.load import Pace
from tests.chaos.scenario import OpenScenario, Scenario
from tests.chaos.topics import Read, checkpoints_of, ends_of, read_topic

TEN_SECONDS_MS = 10_000
AFTER_THE_DECISION_MS = 80_000


def test_records_written_twice_and_ten_seconds_out_of_order_come_out_once(
    scenario: OpenScenario,
) -> None:
    stage = scenario(
        "copies and disorder",
        pace=Pace(copies_share=0.1, copies_after_ms=AFTER_THE_DECISION_MS),
        shape={"out_of_order_ms": TEN_SECONDS_MS, "duplicate_share": 0.1},
    )
    worker = stage.worker("one")
    worker.start()
    stage.wait_ready(worker)
    stage.load.start()
    stage.let_pass(10)
    report = stage.conclude()
    report.faults["spans copied after the decision"] = stage.load.copied_spans
    assert report.clean, report.text()
    counts = worker.events("partition_counts")
    total = {name: sum(one[name] for one in counts) for name in ("spans_in", "kept", "duplicates")}
    assert total["spans_in"] == stage.load.handed_over
    assert total["kept"] == report.kept_spans
    assert total["duplicates"] >= stage.load.copied_kept_spans > 0


def test_records_deleted_before_they_are_read_are_told_and_the_rest_is_decided_once(
    scenario: OpenScenario,
) -> None:
    stage = scenario("retention", input={"out_of_range": "earliest"})
    stage.allowed_troubles.append('"offsets_skipped"')
    worker = stage.worker("one")
    worker.start()
    stage.wait_ready(worker)
    stage.load.start()
    stage.let_pass(5)
    for store_is_there in (True, False):
        worker.stop()
        stage.let_pass(2)
        if not store_is_there:
            shutil.rmtree(worker.store)
        gone = _delete_oldest(stage, store_is_there=store_is_there)
        stage.fault("oldest records deleted" + (", store too" if not store_is_there else ""))
        worker.start()
        stage.wait_ready(worker)
        skipped = {one["partition"]: one["offsets"] for one in worker.events("offsets_skipped")}
        assert skipped == {p: len(offsets) for p, offsets in gone.items() if offsets}
        stage.let_pass(2)
    report = stage.conclude()
    assert report.clean, report.text()


def _delete_oldest(stage: Scenario, *, store_is_there: bool) -> dict[int, range]:
    """Delete undecided records of every partition, on some of them unread ones too.

    Returns:
        The offsets that are gone for good, by partition: what was read is in the store.
    """
    settings = stage.settings
    topic = settings.topics.input
    checkpoints, ends = checkpoints_of(settings), ends_of(settings, topic)
    assert checkpoints is not None
    # The load goes on: what is read now holds all that is before those ends.
    records = [r for r in read_topic(settings, topic, "read_uncommitted") if len(r.key) == 32]
    gone, deleted = {}, []
    for partition, stands in checkpoints.items():
        assert stands is not None
        low, position = stands.low_watermark, stands.position
        middle = low + (position - low) // 2
        before = middle if partition % 2 else position + (ends[partition] - position) // 2
        needed = position if store_is_there else low
        gone[partition] = range(needed, max(before, needed))
        deleted.append(TopicPartition(topic, partition, before))
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    for done in admin.delete_records(deleted).values():
        done.result()
    _note_cut_traces(stage, records, gone)
    return gone


def _note_cut_traces(stage: Scenario, records: list[Read], gone: dict[int, range]) -> None:
    for record in records:
        trace_id = bytes.fromhex(record.key.decode())
        stage.partitions_before[trace_id] = record.partition
        if record.offset in gone[record.partition]:
            stage.cut[trace_id] = 0
    for record in records:
        trace_id = bytes.fromhex(record.key.decode())
        if trace_id in stage.cut and record.offset not in gone[record.partition]:
            stage.cut[trace_id] = 1
