"""Past decisions, read back from the decisions topic: those since the low watermark, then older.

The recent ones come first, as spans that follow the low watermark may be of traces that are decided
already. The older ones come while those spans are read, and nothing is decided before they are
there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.estimates import decode
from streamsampler.kafka.clients import make_reader
from streamsampler.kafka.read_errors import check_passing
from streamsampler.kafka.resumption import read_from
from streamsampler.kafka.watermarks import CatchUp, Watermarks, first_offsets_since, read_watermarks
from streamsampler.outcome import Checkpoint, Decision
from streamsampler.traces.decided import PastDecision

BATCH: Final = 10_000
WAIT_SECONDS: Final = 0.02

_log = structlog.get_logger("streamsampler.readback")


@dataclass(slots=True)
class _Past:
    """What is sought and found for one partition; offsets of the decisions topic."""

    since_ms: int
    older_from: int
    recent_from: int
    looking_back: bool = False
    decisions: list[PastDecision] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """What has become complete.

    Attributes:
        recent: Decisions since the low watermark, of partitions that have all of them now.
        older: Those before it that still matter, likewise; after the recent ones.
    """

    recent: dict[int, list[PastDecision]]
    older: dict[int, list[PastDecision]]


class Readback:
    """Reads past decisions back for some partitions; owns a consumer outside of the group.

    Args:
        settings: The settings.
        admin: For the decisions topic's offsets. They are asked for now, after the assignment:
            what an earlier owner wrote is before them.
        resumed: Where each partition is taken up.
        ttl_ms: For how long before that a decision still matters, in stream time.
        timeout_ms: How long a broker may take.

    Raises:
        NotYetError: A broker did not tell the offsets in time.
        FailStopError: It never will.
    """

    def __init__(
        self,
        settings: Settings,
        admin: AdminClient,
        resumed: Mapping[int, Checkpoint],
        ttl_ms: int,
        timeout_ms: int,
    ) -> None:
        self._topic = settings.topics.decisions
        # The embedded broker cannot search by time, and says of everything that it is not there.
        self._search_is_trusted = settings.guarantee == "exactly_once"
        found = read_watermarks(admin, self._topic, resumed, timeout_ms)
        self._catch_up = CatchUp(found)
        self._past: dict[int, _Past] = {}
        self._found = Found({}, {})
        self._said = ""
        self._consumer: Consumer | None = None
        if self._catch_up.behind:
            self._consumer = make_reader(settings)
            try:
                self._begin(admin, self._consumer, found, resumed, ttl_ms, timeout_ms)
            except BaseException:
                self._consumer.close()
                raise
        for partition in resumed.keys() - self._past.keys():
            self._found.recent[partition] = self._found.older[partition] = []

    def _begin(
        self,
        admin: AdminClient,
        consumer: Consumer,
        watermarks: Mapping[int, Watermarks],
        resumed: Mapping[int, Checkpoint],
        ttl_ms: int,
        timeout_ms: int,
    ) -> None:
        behind = {p: resumed[p] for p in self._catch_up.behind}
        times = {p: max(one.stream_time_ms, 0) for p, one in behind.items()}
        older_times = {p: oldest_needed(one, ttl_ms) for p, one in behind.items()}
        recent = self._search(admin, times, watermarks, timeout_ms)
        older = self._search(admin, older_times, watermarks, timeout_ms)
        places = []
        for p in behind:
            past = _Past(older_times[p], min(older[p], recent[p]), recent[p])
            self._past[p] = past
            place = past.recent_from
            if self._catch_up.reached(p, place):
                # Nothing is recent: it begins by looking back.
                self._found.recent[p] = []
                past.looking_back = True
                place = past.older_from
                self._catch_up.add(p, past.recent_from)
                self._catch_up.reached(p, place)
            places.append(TopicPartition(self._topic, p, place))
        consumer.incremental_assign(places)

    def _search(
        self,
        admin: AdminClient,
        times_ms: Mapping[int, int],
        watermarks: Mapping[int, Watermarks],
        timeout_ms: int,
    ) -> dict[int, int]:
        """The first offset of each partition whose timestamp is not before a time."""
        offsets = {p: watermarks[p].beginning for p in times_ms}
        sought = {p: ms for p, ms in times_ms.items() if ms > 0}
        found = first_offsets_since(admin, self._topic, sought, timeout_ms) if sought else {}
        for partition, offset in found.items():
            if offset >= 0:
                offsets[partition] = max(offset, offsets[partition])
            elif self._search_is_trusted:
                offsets[partition] = watermarks[partition].end
        return offsets

    def poll(self) -> Found:
        """Read on, without waiting long.

        Returns:
            The decisions of the partitions that are complete now, in the order they were made.

        Raises:
            FailStopError: The topic cannot be read, and will not be.
        """
        for message in self._consumer.consume(BATCH, WAIT_SECONDS) if self._consumer else ():
            partition, offset, error = message.partition(), message.offset(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's name
                self._judge(error, partition)
            elif partition is None or offset is None:
                continue
            elif error is None:
                self._take(partition, offset, message.key(), message.value())
            else:
                self._catch_up.reached(partition, offset)
        self._turn(self._past.keys() - self._catch_up.behind)
        found, self._found = self._found, Found({}, {})
        return found

    def _judge(self, error: KafkaError, partition: int | None) -> None:
        """Let pass what mends itself and log it, while it stays the same, once."""
        place = self._topic if partition is None else f"{self._topic}/{partition}"
        check_passing(error, place)
        if error.name() != self._said:
            self._said = error.name()
            _log.warning("readback_trouble", code=error.name(), text=error.str())

    def _take(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        past = self._past.get(partition)
        # Behind where it turned to look back, what was fetched before is read again or not needed.
        if past is None or (past.looking_back and offset >= past.recent_from):
            self._catch_up.reached(partition, offset)
            return
        self._remember(past, partition, offset, key, value)
        self._catch_up.reached(partition, offset + 1)

    def _remember(
        self, past: _Past, partition: int, offset: int, key: bytes | None, value: bytes | None
    ) -> None:
        if value is None:
            return
        try:
            decision = past_decision(partition, key, value)
        except ValueError as error:
            _log.warning(
                "decision_unreadable",
                topic=self._topic,
                partition=partition,
                offset=offset,
                problem=str(error),
            )
            return
        if decision.decided_at_ms >= past.since_ms:
            past.decisions.append(decision)

    def _turn(self, complete: Collection[int]) -> None:
        """Hand out what is complete; who has the recent ones looks back for the older."""
        for partition in complete:
            past, found = self._past[partition], self._found
            (found.older if past.looking_back else found.recent)[partition] = past.decisions
            past.decisions = []
            if past.looking_back:
                del self._past[partition]
            elif past.older_from < past.recent_from:
                assert self._consumer is not None
                past.looking_back = True
                self._catch_up.add(partition, past.recent_from)
                place = TopicPartition(self._topic, partition, past.older_from)
                read_from(self._consumer, place)
            else:
                found.older[partition] = []
                del self._past[partition]

    def forget(self, partition: int) -> None:
        """No longer read for a partition."""
        self._past.pop(partition, None)
        self._catch_up.forget(partition)
        self._found.recent.pop(partition, None)
        self._found.older.pop(partition, None)

    @property
    def finished(self) -> bool:
        """Whether every partition is complete and handed out, or forgotten."""
        return not self._past and not self._found.recent and not self._found.older

    def close(self) -> None:
        """Let the consumer go."""
        if self._consumer is not None:
            self._consumer.close()


def oldest_needed(checkpoint: Checkpoint, ttl_ms: int) -> int:
    """Tell since when decisions matter to a partition that is taken up.

    Args:
        checkpoint: Where.
        ttl_ms: For how long a decision is remembered.

    Returns:
        Stream time in ms; 0: all of them, as no stream time is known.
    """
    return max(checkpoint.stream_time_ms - ttl_ms, 0)


def past_decision(partition: int, key: bytes | None, value: bytes) -> PastDecision:
    """Read a record of the decisions topic.

    Args:
        partition: Of the record.
        key: The trace id, 16 bytes.
        value: The packed decision.

    Returns:
        What is remembered of it.

    Raises:
        ValueError: It is no decision.
    """
    if key is None or len(key) != 16:
        raise ValueError(f"the key is {key!r}, no trace id of 16 bytes")
    decision = Decision.unpack(partition, key, value)
    if decision.threshold is not None:
        decode(decision.threshold)  # raises where it is none
    return PastDecision(
        key, decision.decision, decision.policy, decision.decided_at_ms, decision.spans_out,
        decision.threshold,
    )  # fmt: skip
