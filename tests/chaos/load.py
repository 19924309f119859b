"""Traffic that goes on while faults happen, and what must become of each of its traces.

Records carry the generator's times, which run `speed` times as fast as the wall clock. So a
sampler's windows of a minute pass in seconds, and what an idle partition or a stopped process adds
to stream time by the wall clock is small against them: verdicts do not depend on when faults come.
"""

import heapq
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from threading import Event, Thread
from typing import Any, NamedTuple

from confluent_kafka import Producer

from streamsampler.policies import PolicySet
from streamsampler.traffic import (
    GeneratedRecord,
    TopicWrite,
    Trace,
    Traffic,
    TrafficSettings,
    judge,
    write_topic,
)

PRODUCER: Mapping[str, str] = {
    "acks": "all",
    # A record waits for as long as brokers may be away: the load itself loses nothing.
    "message.timeout.ms": "180000",
}
HISTORY_MS = 6 * 3_600_000
CLOSING_VALUE = b"\x0a\x00"  # one empty ResourceSpans: sound, and without spans
CLOSING_KEY = b"closing"


class Expected(NamedTuple):
    """What must become of a trace.

    Attributes:
        decision: The verdict.
        policy: The policy that samples it, or None.
        span_ids: Those that must come out, in order, 8 bytes each, joined.
        spans: How many it has.
    """

    decision: str
    policy: str | None
    span_ids: bytes
    spans: int


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the load comes.

    Attributes:
        spans_per_second: By the wall clock.
        speed: How many times as fast as the wall clock record times run.
        copies_share: Records that a retrying producer writes once more, after the decision.
        copies_after_ms: How long after the record, in its own time, ms.
    """

    spans_per_second: float = 3_000.0
    speed: int = 15
    copies_share: float = 0.0
    copies_after_ms: int = 0


def shaped(policies: PolicySet, pace: Pace, seed: int, **shape: Any) -> TrafficSettings:
    """Settings of the generator for which the oracle holds, whatever happens to the workers.

    Args:
        policies: Whose windows the traffic must fit.
        pace: How fast it comes.
        seed: Of all chance.
        **shape: More of `TrafficSettings`.

    Returns:
        Endless traffic that began hours ago, so that its times never reach the present.
    """
    wait_ms, grace_ms = policies.decision_wait_ms, policies.completion_grace_ms
    plain = TrafficSettings(
        traces=0,
        seed=seed,
        start_ms=time.time_ns() // 1_000_000 - HISTORY_MS,
        spans_per_second=pace.spans_per_second / pace.speed,
        late_share=0.05,
        duplicate_share=0.02,
    )
    settings = replace(plain, **shape).fitted(wait_ms, grace_ms)
    assert settings.misfits(wait_ms, grace_ms) == ()
    return settings


def _expected(trace: Trace, policies: PolicySet) -> Expected:
    verdict = judge(trace, policies)
    return Expected(
        verdict.decision,
        verdict.policy,
        b"".join(sorted(verdict.span_ids)),
        verdict.on_time + verdict.late,
    )


class Load:
    """Writes traffic in a thread, from `start` to `finish`.

    Args:
        bootstrap: The brokers.
        topic: The input topic.
        partitions: How many it has.
        policies: To judge by.
        shape: The traffic.
        pace: How fast.
        others: Sets that may come into force meanwhile, to judge by as well; with the same waits.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        partitions: int,
        policies: PolicySet,
        shape: TrafficSettings,
        pace: Pace,
        others: Sequence[PolicySet] = (),
    ) -> None:
        self.expected: dict[bytes, Expected] = {}
        self.by_version: dict[str, dict[bytes, Expected]] = {one.version: {} for one in others}
        self.written = TopicWrite()
        self.copied_spans = 0
        self.copied_kept_spans = 0
        self.handed_over = 0
        self._config = {"bootstrap.servers": bootstrap, **PRODUCER}
        self._topic, self._partitions = topic, partitions
        self._policies, self._shape, self._pace = policies, shape, pace
        self._others = others
        self._made: dict[bytes, tuple[Expected, int]] = {}
        self._unfinished: dict[bytes, int] = {}
        self._newest_ms = shape.start_ms
        self._finishing = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def finish(self) -> None:
        """Begin no new traces, write out the begun ones, and move stream time past all windows."""
        self._finishing.set()
        self._thread.join()
        self.check()
        self._close_windows()

    def abandon(self) -> None:
        """Stop after a failure; nothing more is written."""
        self._finishing.set()

    def check(self) -> None:
        """Raise what went wrong while writing."""
        if self._error is not None:
            raise self._error
        assert self.written.failed == 0, self.written

    @property
    def spans(self) -> int:
        """How many different spans were written."""
        return sum(one.spans for one in self.expected.values())

    def _run(self) -> None:
        try:
            traffic = Traffic(self._shape, on_trace=self._judge)
            stream = self._paced(self._copied(self._whole(traffic.records())))
            self.written = write_topic(stream, self._config, self._topic)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self._error = error

    def _judge(self, trace: Trace) -> None:
        self._made[trace.trace_id] = _expected(trace, self._policies), trace.records
        for policies in self._others:
            self.by_version[policies.version][trace.trace_id] = _expected(trace, policies)

    def _whole(self, stream: Iterable[GeneratedRecord]) -> Iterator[GeneratedRecord]:
        """Ends between traces: once it is time to finish, only begun ones go on."""
        for record in stream:
            if self._finishing.is_set() and not self._unfinished:
                return
            (trace_id,) = record.trace_ids
            if trace_id not in self._unfinished:
                if self._finishing.is_set():
                    continue
                self.expected[trace_id], self._unfinished[trace_id] = self._made.pop(trace_id)
            yield record
            self._unfinished[trace_id] -= 1
            if not self._unfinished[trace_id]:
                del self._unfinished[trace_id]

    def _copied(self, stream: Iterable[GeneratedRecord]) -> Iterator[GeneratedRecord]:
        """Adds what a retrying producer writes once more when its trace is decided already."""
        random = Random(f"{self._shape.seed}/copies")
        copies: list[tuple[int, int, GeneratedRecord]] = []
        order = count()
        for record in stream:
            while copies and copies[0][0] <= record.time_ms:
                yield self._copy(copies)
            yield record
            if not record.late and random.random() < self._pace.copies_share:
                time_ms = record.time_ms + self._pace.copies_after_ms
                again = replace(record, time_ms=time_ms, duplicate=True)
                heapq.heappush(copies, (time_ms, next(order), again))
        while copies:
            yield self._copy(copies)

    def _copy(self, copies: list[tuple[int, int, GeneratedRecord]]) -> GeneratedRecord:
        record = heapq.heappop(copies)[2]
        self.copied_spans += len(record.spans)
        if self.expected[record.trace_ids[0]].decision == "sampled":
            self.copied_kept_spans += len(record.spans)
        return record

    def _paced(self, stream: Iterable[GeneratedRecord]) -> Iterator[GeneratedRecord]:
        began = time.monotonic()
        for record in stream:
            due = began + (record.time_ms - self._shape.start_ms) / 1000 / self._pace.speed
            left = due - time.monotonic()
            if left > 0:
                self._finishing.wait(left)
            self._newest_ms = max(self._newest_ms, record.time_ms)
            self.handed_over += len(record.spans)
            yield record

    def _close_windows(self) -> None:
        windows_ms = self._policies.decision_wait_ms + self._policies.completion_grace_ms
        closing_ms = self._newest_ms + windows_ms + 1_000
        assert closing_ms < time.time_ns() // 1_000_000, "the traffic has caught up with the clock"
        producer = Producer({"enable.idempotence": True, **self._config})
        for partition in range(self._partitions):
            producer.produce(
                self._topic, CLOSING_VALUE, CLOSING_KEY, partition, timestamp=closing_ms
            )
        assert producer.flush(60) == 0
