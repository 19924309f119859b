"""The loop of a worker: a member of the consumer group that drives the engine.

One thread does all. The callbacks of a rebalance run inside `consume`, so between two batches,
and each batch is dealt with whole before the next call.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import structlog
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.commits import commit_offsets
from streamsampler.kafka.idle import IdleClocks
from streamsampler.kafka.offsets import Start, to_commit
from streamsampler.kafka.outbox import Outbox
from streamsampler.kafka.ownership import Ownership, State
from streamsampler.kafka.policy_topic import PolicyTopic
from streamsampler.kafka.records import Reading, read_messages, sift
from streamsampler.kafka.takeover import Readback, find_starts
from streamsampler.policies import PolicySet
from streamsampler.sampler import Checkpoint, Counts, Outcome, Sampler
from streamsampler.spans.formats import Translate

POLL_SECONDS: Final = 0.05
REMINDER_MS: Final = 30_000
ENGINE_STATES: Final = (State.LIVE, State.PAUSED)
"""A partition in one of these is held by the engine."""

_log = structlog.get_logger("streamsampler.worker")


def _offsets(checkpoint: Checkpoint) -> tuple[int, int]:
    return checkpoint.low_watermark, checkpoint.position


def _ignore(_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Watch:
    """Who wants to see what a worker does; called in its thread, so quickly.

    Attributes:
        outcome: Given what came of each batch.
        counts: Given the counts of each partition at each commit interval.
    """

    outcome: Callable[[Outcome], None] = _ignore
    counts: Callable[[dict[int, Counts]], None] = _ignore


@dataclass(frozen=True, slots=True)
class Links:
    """What a worker is connected to; each is its opener's, but the consumer, which `run` closes.

    Attributes:
        consumer: A member of the group, not yet subscribed.
        admin: For offsets.
        outbox: For what is written.
        policies: The policies topic, read to its end.
        translate: From the input's format to OTLP protobuf; None where they are one.
    """

    consumer: Consumer
    admin: AdminClient
    outbox: Outbox
    policies: PolicyTopic
    translate: Translate | None


class Worker:
    """Owns the partitions that the group gives it, until told to stop.

    Args:
        settings: The settings.
        policies: The set in force.
        sampler: The engine, which has that set and no partitions.
        links: To Kafka.
        clock: The time.
        watch: Who wants to see.
    """

    def __init__(
        self,
        settings: Settings,
        policies: PolicySet,
        sampler: Sampler,
        links: Links,
        clock: Clock,
        watch: Watch,
    ) -> None:
        self._settings = settings
        self._topic = settings.topics.input
        self._policies = policies
        self._sampler = sampler
        self._links = links
        self._consumer = links.consumer
        self._clock = clock
        self._watch = watch
        self._ownership = Ownership()
        self._idle = IdleClocks()
        self._starts: dict[int, Start] = {}
        self._readbacks: list[Readback] = []
        self._committed: dict[int, tuple[int, int]] = {}
        self._next_commit_ms = 0
        self._keyless_said = 0
        self._next_reminder_ms = 0
        self._stop: Callable[[], bool] = lambda: False
        self._stopped_at_ms: int | None = None
        self._failed = False

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until told to stop: then finish the batch, commit and leave.

        What is buffered stays undecided; whoever takes the partitions over reads it again.

        Args:
            stop: Asked between batches.

        Raises:
            FailStopError: Something was refused for good. Nothing was committed past it.
            KafkaException: The client failed.
            StoreError: The disk failed.
        """
        self._stop = stop
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        try:
            while not stop():
                self._step()
            self._commit(self._ownership.within(*ENGINE_STATES))
        except BaseException:
            self._failed = True
            raise
        finally:
            self._consumer.close()  # calls on_revoke
            for readback in self._readbacks:
                readback.close()

    def _step(self) -> None:
        """One batch, and what is due besides."""
        self._follow_policies()
        self._take_batch()
        self._advance_idle()
        self._recover()
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._next_commit_ms:
            self._commit(self._ownership.within(*ENGINE_STATES))
            self._next_commit_ms = now_ms + self._settings.commit_interval_ms
            self._report(now_ms)

    def _follow_policies(self) -> None:
        policies = self._links.policies.follow()
        if policies is not None:
            self._sampler.use(policies)
            self._policies = policies
            _log.info("policy_set_in_force", version=policies.version)

    def _take_batch(self) -> None:
        # While decisions are read back, that waits instead.
        seconds = 0.0 if self._readbacks else POLL_SECONDS
        messages = self._consumer.consume(self._settings.batch_records, seconds)
        if not messages:
            return
        arrived = sift(messages, self._ownership.within(State.LIVE))
        if arrived.records:
            latest_ms = self._clock.wall_ms() + self._settings.allowed_skew_ms
            reading = read_messages(arrived.records, latest_ms, self._links.translate)
            self._deliver(self._sampler.submit(reading.batch), reading)
            for partition in reading.partitions:
                self._idle.woke(partition)
        now_ms = self._clock.monotonic_ms()
        for partition in arrived.ended:
            self._idle.ended(partition, self._sampler.stream_time_ms(partition), now_ms)

    def _advance_idle(self) -> None:
        for partition, stream_time_ms in self._idle.due(self._clock.monotonic_ms()):
            self._deliver(self._sampler.advance(partition, stream_time_ms), None)

    def _commit(self, partitions: Collection[int]) -> None:
        """Make what was done so far last.

        1. Every kept trace and dead letter written so far is acknowledged by the broker.
        2. Only then the decisions on them are written, and acknowledged: a decision tells the
           partition's next owner that its trace has been dealt with.
        3. Of each partition, the engine says where it stands: the low watermark, which is the
           first offset that an undecided trace still needs, the position and the stream time.
        4. The low watermark is committed as the group's offset, the rest as its metadata,
           synchronously.
        5. The engine learns of it, and lets go of the blocks that no one can need any more.

        A failure in 1 or 2 stops the worker: nothing is committed past it, and the partition's
        next owner begins at the last commit. A crash between 1 and 2 lets the next owner decide,
        and write, the kept traces of one interval again: at least once. In 4, a refusal because
        the group is moving on leaves everything as it was, for the next interval.

        Args:
            partitions: Of those that the engine holds.
        """
        self._links.outbox.settle(self._overdue)
        checkpoints = {p: self._sampler.checkpoint(p) for p in partitions}
        # On an idle partition only stream time moves on, which the next record would tell too.
        moved = {p: c for p, c in checkpoints.items() if self._committed.get(p) != _offsets(c)}
        if moved:
            offsets = [to_commit(self._topic, p, checkpoint) for p, checkpoint in moved.items()]
            refused = commit_offsets(self._consumer, offsets)
            if refused is not None:
                _log.warning("commit_refused", partitions=sorted(moved), reason=refused)
                return
        for partition, checkpoint in checkpoints.items():
            self._committed[partition] = _offsets(checkpoint)
            self._sampler.committed(partition, checkpoint)

    def _deliver(self, outcome: Outcome, reading: Reading | None) -> None:
        self._links.outbox.add(outcome, reading)
        self._watch.outcome(outcome)

    def _report(self, now_ms: int) -> None:
        """Show the counts; say loudly what makes sampling by trace impossible, or is a bug."""
        counts = {p: self._sampler.counts(p) for p in self._ownership.within(*ENGINE_STATES)}
        self._watch.counts(counts)
        for partition, one in counts.items():
            if not one.conserved():
                _log.error("conservation_broken", partition=partition, **asdict(one))
        keyless = sum(one.records_keyless for one in counts.values())
        if keyless > self._keyless_said and now_ms >= self._next_reminder_ms:
            self._keyless_said = keyless
            self._next_reminder_ms = now_ms + REMINDER_MS
            _log.warning(
                "records_without_key",
                topic=self._topic,
                records=keyless,
                mend="set partition_traces_by_id: true in the Collector's kafka exporter; without "
                "it the spans of a trace are spread over partitions and decided on apart",
            )

    def _overdue(self) -> bool:
        """Whether a worker that was told to stop has waited long enough for its brokers."""
        if not self._stop():
            return False
        now_ms = self._clock.monotonic_ms()
        self._stopped_at_ms = self._stopped_at_ms or now_ms
        return now_ms - self._stopped_at_ms > self._settings.stop_timeout_ms

    # A rebalance. The lists hold only what changes.

    def _on_assign(self, consumer: Consumer, assigned: Sequence[TopicPartition]) -> None:
        partitions = [one.partition for one in assigned]
        if not partitions:
            return
        starts = find_starts(self._settings, consumer, self._links.admin, partitions)
        at = [
            TopicPartition(self._topic, partition, start.checkpoint.low_watermark)
            for partition, start in starts.items()
        ]
        consumer.incremental_assign(at)
        consumer.pause(at)  # until its past decisions have been read back
        for partition, start in starts.items():
            self._ownership.move(partition, State.ASSIGNED)
            self._starts[partition] = start
            if start.skipped:
                _log.error("offsets_skipped", partition=partition, offsets=start.skipped)
        at_low_watermarks = {p: start.checkpoint.low_watermark for p, start in starts.items()}
        _log.info("partitions_assigned", low_watermarks=at_low_watermarks)

    def _on_revoke(self, _: Consumer, revoked: Sequence[TopicPartition]) -> None:
        partitions = [one.partition for one in revoked]
        held = set(partitions) & set(self._ownership.within(*ENGINE_STATES))
        if held and not self._failed:
            self._commit(held)
        self._leave(partitions, State.REVOKED)

    def _on_lost(self, _: Consumer, lost: Sequence[TopicPartition]) -> None:
        self._leave([one.partition for one in lost], State.LOST)

    def _leave(self, partitions: Sequence[int], state: State) -> None:
        for partition in partitions:
            if self._failed and partition not in self._ownership.owned:
                continue  # assigning it is what failed
            if self._ownership.state(partition) in ENGINE_STATES:
                counts = self._sampler.counts(partition)
                _log.info(
                    "partition_counts",
                    partition=partition,
                    conserved=counts.conserved(),
                    **asdict(counts),
                )
                self._sampler.revoke(partition)
            for readback in self._readbacks:
                readback.forget(partition)
            self._idle.woke(partition)
            self._committed.pop(partition, None)
            self._ownership.move(partition, state)
        if partitions:
            _log.info("partitions_left", partitions=sorted(partitions), state=state.value)

    # Taking over

    def _recover(self) -> None:
        """Read past decisions back; partitions that have theirs go live."""
        assigned = self._ownership.within(State.ASSIGNED)
        if assigned:
            self._readbacks.append(
                Readback(
                    self._settings,
                    self._links.admin,
                    {p: self._starts[p].checkpoint for p in assigned},
                    self._policies.decision_ttl_ms,
                )
            )
            for partition in assigned:
                self._ownership.move(partition, State.RECOVERING)
        for readback in list(self._readbacks):
            for partition, decided in readback.poll().items():
                checkpoint = self._starts.pop(partition).checkpoint
                self._sampler.assign(partition, checkpoint, decided)
                self._ownership.move(partition, State.LIVE)
                beginning = TopicPartition(self._topic, partition, checkpoint.low_watermark)
                # What the client may have fetched before the pause took hold was passed over.
                self._consumer.seek(beginning)
                self._consumer.resume([beginning])
                _log.debug("partition_live", partition=partition, decisions_read=len(decided))
            if readback.finished:
                readback.close()
                self._readbacks.remove(readback)
