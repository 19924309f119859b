"""One span for each attempt to commit, that says what was in it and how it ended."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from streamsampler.estimates.summaries import Summary
from streamsampler.kafka.errors import FailStopError, RestartError, RollBackError
from streamsampler.kafka.outbox import Outbox
from streamsampler.kafka.records import Reading
from streamsampler.kafka.traced_outbox import TracedOutbox
from streamsampler.sampler import DeadLetter, Decision, Emission, Outcome

CONSUMER = cast("Consumer", None)
OFFSETS = [TopicPartition("spans", 2, 7), TopicPartition("spans", 5, 9)]
KEPT = Emission(2, bytes(16), b"spans", [], spans=3, late=False)
DECIDED = cast("Decision", None)
DEAD = DeadLetter(0, "malformed", "")
BATCH = Outcome([KEPT, KEPT], [DECIDED] * 5, [DEAD])


class Inner(Outbox):
    """Does as it is told, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.bytes = 0
        self.asked: list[str] = []
        self.answer: str | Exception | None = None

    @property
    def written_bytes(self) -> int:
        return self.bytes

    def add(self, outcome: Outcome, reading: Reading | None = None) -> None:
        del outcome, reading
        self.asked.append("add")
        self.bytes += 100

    def add_summaries(self, summaries: Iterable[Summary], shards: int) -> None:
        del summaries, shards
        self.asked.append("add_summaries")

    def commit(
        self, consumer: Consumer, offsets: Sequence[TopicPartition], overdue: Callable[[], bool]
    ) -> str | None:
        del consumer, offsets, overdue
        self.asked.append("commit")
        if isinstance(self.answer, Exception):
            raise self.answer
        self.bytes = 0
        return self.answer

    def abort(self) -> bool:
        self.asked.append("abort")
        self.bytes = 0
        return True


class Scene:
    """An outbox that is traced, and its spans."""

    def __init__(self) -> None:
        self.inner = Inner()
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.outbox = TracedOutbox(
            self.inner, provider.get_tracer("test"), "samplers", transactions=True
        )

    def commit(self, offsets: Sequence[TopicPartition] = OFFSETS) -> str | None:
        return self.outbox.commit(CONSUMER, offsets, lambda: False)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def told(self) -> dict[str, object]:
        """What the last span says, the prefix left out."""
        attributes = self.spans[-1].attributes or {}
        return {key.removeprefix("streamsampler.commit."): attributes[key] for key in attributes}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_commit_says_what_is_in_it(scene: Scene) -> None:
    scene.outbox.add(BATCH)
    scene.outbox.add(BATCH)
    assert scene.commit() is None
    (span,) = scene.spans
    assert span.name == "commit"
    assert span.kind is SpanKind.CLIENT
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert scene.told() == {
        "messaging.system": "kafka",
        "messaging.operation.name": "commit",
        "messaging.consumer.group.name": "samplers",
        "transaction": True,
        "partitions": (2, 5),
        "records": 4,
        "kept_bytes": 20,
        "decisions": 10,
        "dead_letters": 2,
        "written_bytes": 200,
        "result": "committed",
    }


def test_the_next_commit_counts_anew(scene: Scene) -> None:
    scene.outbox.add(BATCH)
    scene.commit()
    scene.commit()
    assert (scene.told()["records"], scene.told()["written_bytes"]) == (0, 0)


def test_each_attempt_is_a_trace_of_its_own(scene: Scene) -> None:
    scene.commit()
    scene.commit()
    assert len({one.context.trace_id for one in scene.spans if one.context}) == 2


def test_what_was_refused_is_an_error_with_its_reason(scene: Scene) -> None:
    scene.inner.answer = "the group is rebalancing"
    assert scene.commit() == "the group is rebalancing"
    (span,) = scene.spans
    assert scene.told()["result"] == "refused"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "the group is rebalancing"


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (RollBackError("fenced"), "aborted"),
        (RestartError("the producer failed"), "failed"),
        (FailStopError("no right to write"), "failed"),
    ],
)
def test_what_could_not_be_done_is_an_error_and_goes_on_as_one(
    scene: Scene, error: Exception, result: str
) -> None:
    scene.inner.answer = error
    with pytest.raises(type(error)):
        scene.commit()
    (span,) = scene.spans
    assert scene.told()["result"] == result
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == str(error)
    assert not span.events


def test_what_was_undone_is_not_in_the_next_commit(scene: Scene) -> None:
    scene.outbox.add(BATCH)
    assert scene.outbox.abort()
    scene.commit()
    assert scene.told()["records"] == 0


def test_nothing_to_commit_is_nothing_to_tell(scene: Scene) -> None:
    scene.commit([])
    assert scene.inner.asked == ["commit"]
    assert scene.spans == ()


def test_what_is_written_without_an_offset_is_told(scene: Scene) -> None:
    scene.outbox.add(BATCH)
    scene.commit([])
    assert scene.told()["partitions"] == ()


def test_all_goes_to_the_outbox_that_does_it(scene: Scene) -> None:
    scene.outbox.add(BATCH)
    scene.outbox.add_summaries([], 3)
    scene.commit()
    scene.outbox.abort()
    assert scene.inner.asked == ["add", "add_summaries", "commit", "abort"]
