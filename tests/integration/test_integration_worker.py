"""A worker on a real Kafka: what goes in, what comes out, and what a stop or a takeover keeps."""

import time
from pathlib import Path
from typing import Literal

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from streamsampler.config import Settings
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.offsets import from_committed
from streamsampler.kafka.policy_topic import publish_policy_set
from tests.integration.sampling import (
    RunningWorker,
    Written,
    committed_offsets,
    decisions_of,
    hurried,
    make_settings,
    make_topics,
    output_of,
    read_all,
    span_counts,
    wait_until,
    write,
)
from tests.otlp_records import delimited, in_span
from tests.real_records import POLICIES, Encoding, kept_by_the_collector, real_records

PARTITIONS = 3
HURRY = 20
ALL = "decision_wait: 5s\npolicies: [{name: all, type: always_sample}]"
HOUR_MS = 3_600_000
# Retention goes by the records' times, so these lie in the hour that has just passed.
BASE_MS = time.time_ns() // 1_000_000 - HOUR_MS


def real(encoding: Encoding = "otlp-proto") -> list[Written]:
    """The real records, moved to the last hour, on our partitions by their key."""
    records = real_records(encoding)
    moved_ms = BASE_MS - min(one.time_ms for one in records)
    return [
        Written(one.value, one.key, one.partition % PARTITIONS, one.time_ms + moved_ms, one.headers)
        for one in records
    ]


def trace(number: int, spans: int = 1, time_ms: int = BASE_MS) -> Written:
    """A record with spans of one trace that never gets its root, so waits for its timeout."""
    trace_id = number.to_bytes(16, "big")
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for index in range(spans):
        start_ns = (time_ms - 10) * 1_000_000
        scope.spans.append(
            Span(
                trace_id=trace_id,
                span_id=(1000 * number + index + 1).to_bytes(8, "big"),
                parent_span_id=b"\xff" * 8,
                name="op",
                start_time_unix_nano=start_ns,
                end_time_unix_nano=start_ns + 1_000_000,
            )
        )
    return Written(data.SerializeToString(), trace_id.hex().encode(), number % PARTITIONS, time_ms)


@pytest.fixture(autouse=True)
def _topics(settings: Settings) -> None:
    make_topics(settings, PARTITIONS)


@pytest.mark.parametrize(
    ("encoding", "input_format"), [("otlp-proto", "otlp_proto"), ("otlp-json", "otlp_json")]
)
@pytest.mark.parametrize("group_protocol", ["classic", "consumer"])
def test_of_real_traffic_it_keeps_what_the_collector_kept(
    kafka: str, prefix: str, tmp_path: Path, encoding: Encoding, input_format: str,
    group_protocol: Literal["classic", "consumer"],
) -> None:  # fmt: skip
    kafka_properties = {"bootstrap.servers": kafka}
    own = make_settings(
        kafka,
        prefix,
        tmp_path,
        kafka=kafka_properties,
        input={"format": input_format},
        group_protocol=group_protocol,
    )
    publish_policy_set(own, POLICIES.read_text(), "the Collector's")
    count = write(own, own.topics.input, real(encoding))
    with RunningWorker(own, hurried(HURRY)) as worker:
        worker.wait_until_decided(count)
        assert worker.conserved
        assert worker.total.kept == sum(kept_by_the_collector().values())
    assert span_counts(output_of(own)) == kept_by_the_collector()
    decided = decisions_of(own)
    assert len(decided) == len({one.trace_id for one in decided}) == 240


def test_decisions_stand_on_the_partition_that_their_trace_came_from(settings: Settings) -> None:
    publish_policy_set(settings, ALL, "test")
    count = write(settings, settings.topics.input, map(trace, range(1, 10)))
    with RunningWorker(settings, hurried(HURRY)) as worker:
        worker.wait_until_decided(count)
    assert {one.trace_id: one.partition for one in decisions_of(settings)} == {
        number.to_bytes(16, "big"): number % PARTITIONS for number in range(1, 10)
    }


def test_a_stop_decides_nothing_and_the_next_worker_decides_all_of_it_once(
    settings: Settings,
) -> None:
    publish_policy_set(settings, ALL, "test")
    early = [trace(number, spans=3) for number in range(1, 31)]
    late = [trace(number, time_ms=BASE_MS + 6_000) for number in range(31, 61)]
    write(settings, settings.topics.input, early + late)
    with RunningWorker(settings) as worker:
        worker.wait_until_read(60)
        buffered = worker.total
    assert buffered.traces_sampled == 30
    assert buffered.traces_buffered == 30
    assert len(output_of(settings)) == 30
    checkpoints = [from_committed(place) for place in committed_offsets(settings, PARTITIONS)]
    assert [(one.low_watermark, one.position) for one in checkpoints if one] == [(10, 20)] * 3

    with RunningWorker(settings, hurried(HURRY)) as worker:
        worker.wait_until(lambda: worker.total.traces_sampled == 30, "the other half")
        assert worker.conserved
        assert worker.total.spans_in == 30
    output = output_of(settings)
    assert span_counts(output) == {
        number.to_bytes(16, "big").hex(): 3 if number <= 30 else 1 for number in range(1, 61)
    }
    assert {times for ids in output.values() for times in ids.values()} == {1}
    assert len(decisions_of(settings)) == 60


def test_a_late_span_follows_the_verdict_of_an_earlier_worker(settings: Settings) -> None:
    publish_policy_set(settings, ALL, "test")
    write(settings, settings.topics.input, [trace(1, spans=2)])
    with RunningWorker(settings, hurried(HURRY)) as worker:
        worker.wait_until(lambda: worker.total.traces_sampled == 1, "the verdict")
    late = trace(1, spans=3, time_ms=BASE_MS + 7_000)
    write(settings, settings.topics.input, [late])
    with RunningWorker(settings) as worker:
        worker.wait_until(lambda: worker.total.late_sampled > 0, "the late spans")
        assert worker.total.traces_buffered == 0
        assert worker.conserved
    assert len(decisions_of(settings)) == 1


def test_records_that_cannot_be_read_are_dead_letters_and_the_others_go_on(
    settings: Settings,
) -> None:
    publish_policy_set(settings, ALL, "test")
    bad = Written(b"\x0a\xff", b"key", 1, BASE_MS, (("tenant", b"acme"),))
    empty = Written(None, None, 1, BASE_MS)
    count = write(settings, settings.topics.input, [trace(1), bad, trace(4), empty, trace(7)])
    with RunningWorker(settings, hurried(HURRY)) as worker:
        worker.wait_until_decided(count)
        assert worker.conserved
        assert worker.total.records_dead == 2
    assert len(output_of(settings)) == 3
    letters = {
        letter.value(): letter for letter in read_all(settings, settings.topics.dead_letters)
    }
    assert set(letters) == {b"\x0a\xff", None}
    letter = letters[b"\x0a\xff"]
    headers = dict(letter.headers() or [])
    assert letter.key() == b"key"
    assert headers.pop("streamsampler.worker")
    assert headers == {
        "tenant": b"acme",
        "streamsampler.reason": b"bad_length",
        "streamsampler.detail": b"bad length before byte 1 of the value",
        "streamsampler.topic": settings.topics.input.encode(),
        "streamsampler.partition": b"1",
        "streamsampler.offset": b"1",
        "streamsampler.timestamp_ms": str(BASE_MS).encode(),
    }


BAD = {
    b"\x0a\x80\x80\x80\x80\x08": ("bad_length", "bad length before byte 1 of"),
    b"\x08" + b"\xff" * 11: ("bad_varint", "bad varint before byte 1 of"),
    bytes(3): ("bad_tag", "bad tag before byte 1 of"),
    in_span(b"")[:-1]: ("truncated", "truncated before byte "),
    in_span(delimited(4, b"p" * 7)): ("bad_parent_id", "bad parent id before byte "),
    in_span(delimited(13, delimited(1, b"l" * 15))): ("bad_link_id", "bad link id before byte "),
    None: ("empty_value", "the record has no value"),
}


def test_each_dead_letter_says_what_was_wrong_and_where(settings: Settings) -> None:
    publish_policy_set(settings, ALL, "test")
    bad = [Written(value, b"key", 0, BASE_MS) for value in BAD]
    count = write(settings, settings.topics.input, [trace(1), *bad, trace(4)])
    with RunningWorker(settings, hurried(HURRY)) as worker:
        worker.wait_until_decided(count)
        assert worker.conserved
    letters = read_all(settings, settings.topics.dead_letters)
    assert {letter.value() for letter in letters} == BAD.keys()
    for letter in letters:
        headers = dict(letter.headers() or [])
        reason, where = BAD[letter.value()]
        assert headers["streamsampler.reason"] == reason.encode()
        detail = headers["streamsampler.detail"]
        assert isinstance(detail, bytes)
        assert detail.startswith(where.encode())


def test_dead_letters_are_not_written_again_after_a_stop(settings: Settings) -> None:
    publish_policy_set(settings, ALL, "test")
    write(settings, settings.topics.input, [Written(b"\xff", b"k", 0, BASE_MS), trace(3)])
    for _ in range(2):
        with RunningWorker(settings) as worker:
            worker.wait_until(lambda: worker.total.traces_buffered == 1, "the trace")
    assert len(read_all(settings, settings.topics.dead_letters)) == 1


def test_records_of_another_signal_are_counted_and_passed_over(settings: Settings) -> None:
    publish_policy_set(settings, ALL, "test")
    logs = Written(b"\xff", b"k", 0, BASE_MS, (("otelcol.signal", b"logs"),))
    write(settings, settings.topics.input, [logs])
    with RunningWorker(settings) as worker:
        worker.wait_until(lambda: worker.total.records_other_signal == 1, "the record")
        assert worker.total.records_dead == 0


def test_a_live_change_of_policies_is_followed_and_keeps_what_is_buffered(
    settings: Settings,
) -> None:
    none = "decision_wait: 5s\npolicies: [{name: slow, type: latency, latency: {threshold_ms: 99}}]"
    publish_policy_set(settings, none, "test")
    write(settings, settings.topics.input, [trace(3), trace(6, time_ms=BASE_MS + 5_500)])
    with RunningWorker(settings) as worker:
        worker.wait_until(lambda: worker.total.traces_not_sampled == 1, "the first verdict")
        version = publish_policy_set(settings, ALL, "test").version
        worker.wait_until(lambda: worker.total.traces_sampled == 1, "the second verdict")
    by_trace = {int.from_bytes(one.trace_id, "big"): one for one in decisions_of(settings)}
    assert by_trace[3].decision == "not_sampled"
    assert (by_trace[6].decision, by_trace[6].policy_version) == ("sampled", version)


def test_two_workers_share_the_partitions_and_hand_them_over_without_loss(
    settings: Settings, tmp_path: Path
) -> None:
    publish_policy_set(settings, ALL, "test")
    other = settings.model_copy(
        update={"store": settings.store.model_copy(update={"path": tmp_path / "other"})}
    )
    write(settings, settings.topics.input, [trace(n, spans=2) for n in range(1, 31)])
    with RunningWorker(settings) as first:
        first.wait_until_read(30)
        with RunningWorker(other) as second:
            second.wait_until(lambda: len(second.counts) == 1, "the second one's share")
            first.wait_until(lambda: len(first.counts) == 2, "the first one's share")
            later = [trace(n, time_ms=BASE_MS + 9_000) for n in range(31, 61)]
            write(settings, settings.topics.input, later)
            wait_until(
                lambda: first.total.traces_sampled + second.total.traces_sampled == 30,
                "the early traces",
            )
            assert first.conserved
            assert second.conserved
    with RunningWorker(settings, hurried(HURRY)) as first:
        first.wait_until(lambda: first.total.traces_sampled == 30, "the later traces")
    output = output_of(settings)
    assert len(output) == 60
    assert {times for ids in output.values() for times in ids.values()} == {1}
    assert len(decisions_of(settings)) == 60


def test_a_static_member_that_comes_back_moves_no_partitions(
    settings: Settings, tmp_path: Path
) -> None:
    publish_policy_set(settings, ALL, "test")

    def member(name: str) -> Settings:
        store = settings.store.model_copy(update={"path": tmp_path / name})
        return settings.model_copy(update={"instance_id": name, "store": store})

    write(settings, settings.topics.input, map(trace, range(1, 31)))
    with RunningWorker(member("pod-0")) as staying:
        with RunningWorker(member("pod-1")) as leaving:
            wait_until(lambda: len(staying.counts) + len(leaving.counts) == 3, "both to share")
            wait_until(lambda: bool(leaving.counts and staying.counts), "both to have a share")
            staying_with, left = set(staying.counts), set(leaving.counts)
        assert staying_with | left == {0, 1, 2}
        with RunningWorker(member("pod-1")) as returned:
            returned.wait_until(lambda: set(returned.counts) == left, "its partitions again")
            assert set(staying.counts) == staying_with
            assert returned.conserved


def test_records_deleted_under_a_stopped_worker_are_counted_and_it_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    publish_policy_set(settings, ALL, "test")
    write(settings, settings.topics.input, [trace(3), trace(6)])
    with RunningWorker(settings) as worker:
        worker.wait_until_read(2)
    _delete_records(settings, partition=0, before=1)
    elsewhere = settings.model_copy(
        update={"store": settings.store.model_copy(update={"path": tmp_path / "elsewhere"})}
    )
    strict = elsewhere.model_copy(
        update={"input": settings.input.model_copy(update={"out_of_range": "stop"})}
    )
    with pytest.raises(FailStopError, match="stands at offsets 0 to 2 and the topic has 1 to 2"):
        _run_to_its_end(RunningWorker(strict))
    with RunningWorker(elsewhere) as worker:
        worker.wait_until(lambda: worker.total.traces_buffered == 1, "what is left")
        assert worker.total.offsets_skipped == 1


def _run_to_its_end(worker: RunningWorker) -> None:
    with worker:
        wait_until(lambda: not worker.running(), "the worker's end")


def _delete_records(settings: Settings, partition: int, before: int) -> None:
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    place = TopicPartition(settings.topics.input, partition, before)
    admin.delete_records([place])[place].result()


def test_a_topic_that_is_missing_is_told_before_anything_is_read(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    bare = make_settings(kafka, f"{prefix}bare.", tmp_path)
    with pytest.raises(
        FailStopError, match=r"do not exist: .*input.*`streamsampler topics create`"
    ):
        _run_to_its_end(RunningWorker(bare))
