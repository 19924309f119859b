"""The loop of a worker: a member of the consumer group that drives the engine.

One thread does all. The callbacks of a rebalance run inside `consume`, so between two batches,
and each batch is dealt with whole before the next call.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from streamsampler.config import Settings
from streamsampler.kafka.backpressure import Backpressure
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.control_plane import health_questions
from streamsampler.kafka.errors import FailStopError, RollBackError
from streamsampler.kafka.idle import IdleClocks
from streamsampler.kafka.kept import KeptBlocks
from streamsampler.kafka.links import Links
from streamsampler.kafka.offsets import to_commit
from streamsampler.kafka.ownership import COMMITTED, Ownership, State
from streamsampler.kafka.poison import Suspects
from streamsampler.kafka.records import Reading, read_messages, sift
from streamsampler.kafka.reporting import Reporting, Watch
from streamsampler.kafka.store_trouble import StoreTrouble
from streamsampler.kafka.takeover import TakeOver
from streamsampler.observe import Vitals
from streamsampler.sampler import Checkpoint, Outcome, Sampler
from streamsampler.store import StoreError

POLL_SECONDS: Final = 0.05
TABLES_MS: Final = 500
"""So often it is looked for what the control plane tells."""
SLICE_MS: Final = 50
"""How long buffered spans are read for new policies before the next batch has its turn."""

_log = structlog.get_logger("streamsampler.worker")


def _offsets(checkpoint: Checkpoint) -> tuple[int, int]:
    return checkpoint.low_watermark, checkpoint.position


class Worker:
    """Owns the partitions that the group gives it, until told to stop.

    Args:
        settings: The settings.
        sampler: The engine, which has policies and no partitions.
        links: To Kafka and to the disk.
        clock: The time.
        watch: Who wants to see.
        vitals: The health page's view.
    """

    def __init__(
        self,
        settings: Settings,
        sampler: Sampler,
        links: Links,
        clock: Clock,
        watch: Watch,
        vitals: Vitals,
    ) -> None:
        self._settings = settings
        self._topic = settings.topics.input
        self._sampler = sampler
        self._links = links
        self._consumer = links.consumer
        self._clock = clock
        self._ownership = Ownership()
        self._take_over = TakeOver(
            settings, links.consumer, links.admin, sampler, self._ownership, clock
        )
        self._idle = IdleClocks()
        self._backpressure = Backpressure(
            settings, links.consumer, sampler, self._ownership, self._idle
        )
        self._reporting = Reporting(
            settings,
            links.consumer,
            sampler,
            self._ownership,
            self._take_over,
            watch,
            vitals,
        )
        self._suspects = Suspects()
        self._kept = KeptBlocks(
            settings.store.kept_bytes,
            settings.store.kept_ms,
            links.store.partitions(),
            clock.monotonic_ms(),
        )
        self._committed: dict[int, tuple[int, int]] = {}
        self._next_commit_ms = self._next_tables_ms = 0
        self._store_trouble = StoreTrouble(links.store)
        self._settled = False
        self._stop: Callable[[], bool] = lambda: False
        self._stopped_at_ms: int | None = None
        self._failed = False

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until told to stop: then finish the batch, commit and leave.

        What is buffered stays undecided; whoever takes the partitions over goes on with it.

        Args:
            stop: Asked between batches.

        Raises:
            FailStopError: Something was refused for good. Nothing was committed past it.
            RestartError: The clients are of no use any more. Likewise.
            KafkaException: The client failed.
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
        except BaseException:
            self._failed = True
            raise
        finally:
            self._consumer.close()  # calls on_revoke, which commits
            self._take_over.close()

    @property
    def _held(self) -> tuple[int, ...]:
        """The partitions whose work may be committed."""
        return self._ownership.within(*COMMITTED)

    def _step(self) -> None:
        """One batch, and what is due besides."""
        self._reporting.vitals.turned(self._clock.monotonic_ms())
        self._guarded(self._follow_policies)
        self._follow_control_plane()
        self._guarded(self._take_batch)
        self._guarded(self._advance_idle)
        self._guarded(self._go_on_taking_over)
        now_ms = self._clock.monotonic_ms()
        written = self._links.outbox.written_bytes
        due = now_ms >= self._next_commit_ms or written >= self._settings.commit_bytes
        if due:
            self._next_commit_ms = now_ms + self._settings.commit_interval_ms
            self._guarded(lambda: self._commit(self._held))
            self._guarded(self._make_room)
            self._reporting.show(
                now_ms,
                self._clock.wall_ms(),
                self._sampler.policies.version,
                self._store_trouble.problem,
                settled=self._settled,
            )

    def _guarded(self, do: Callable[[], None]) -> None:
        """Do something; where it cannot be done, undo what there is since the last commit."""
        try:
            do()
        except RollBackError as error:
            self._roll_back(str(error))
        except StoreError as error:
            self._stand_still(error)

    def _follow_policies(self) -> None:
        """Take up what came on the policies topic; buffered spans are read for it in slices."""
        policies = self._links.policies.follow()
        if policies is not None:
            _log.info("policy_set_taken_up", version=policies.version)
            self._put_in_force(lambda: self._sampler.use(policies))
        until_ms = self._clock.monotonic_ms() + SLICE_MS
        while self._sampler.replacing and self._clock.monotonic_ms() < until_ms:
            self._put_in_force(self._sampler.go_on)

    def _put_in_force(self, go_on: Callable[[], object]) -> None:
        before = self._sampler.policies.version
        go_on()
        if self._sampler.policies.version != before:
            _log.info("policy_set_in_force", version=self._sampler.policies.version)
            self._next_commit_ms = 0  # and with it, what is told of the policies

    def _follow_control_plane(self) -> None:
        """Take up what the control plane told the workers, and its topics when they come."""
        now_ms, control_plane = self._clock.monotonic_ms(), self._links.control_plane
        if now_ms < self._next_tables_ms:
            return
        self._next_tables_ms = now_ms + TABLES_MS
        if control_plane.look(now_ms):
            self._sampler.ask_of_services(health_questions(self._settings))
        for key, table in control_plane.follow():
            self._sampler.learn(key, table)

    def _take_batch(self) -> None:
        # While decisions are read back, that waits instead.
        seconds = 0.0 if self._take_over.busy else POLL_SECONDS
        messages = self._consumer.consume(self._settings.batch_records, seconds)
        if not messages:
            return
        arrived = sift(messages, self._ownership.within(State.LIVE, State.RECOVERING))
        for part in self._suspects.parts(self._take_over.sift(arrived.records)):
            if part:
                self._submit(part)
        now_ms = self._clock.monotonic_ms()
        for partition, offset in arrived.ended.items():
            self._take_over.replayed(partition, offset)
            if self._ownership.state(partition) is State.LIVE:
                self._idle.ended(partition, self._sampler.stream_time_ms(partition), now_ms)
        for partition, words in arrived.gone.items():
            self._begin_again_at_what_is_left(partition, words)

    def _submit(self, messages: Sequence[Message]) -> None:
        latest_ms = self._clock.wall_ms() + self._settings.allowed_skew_ms
        reading = read_messages(
            messages, latest_ms, self._links.translate, self._suspects.condemned, self._position
        )
        if not reading.messages:
            return
        try:
            outcome = self._sampler.submit(reading.batch)
        except StoreError:
            raise
        except Exception as error:
            told = self._suspects.accuse(reading.batch, error)
            _log.exception("engine_failed", records=len(messages), problem=told)
            raise RollBackError(f"the engine failed on a record: {told}") from error
        self._suspects.acquit(reading.batch)
        self._deliver(outcome, reading)
        for partition in reading.partitions:
            self._idle.woke(partition)
            self._take_over.replayed(partition, self._position(partition))

    def _position(self, partition: int) -> int:
        return self._sampler.checkpoint(partition).position

    def _begin_again_at_what_is_left(self, partition: int, words: str) -> None:
        if self._settings.input.out_of_range == "stop":
            raise FailStopError(
                f"{self._topic}/{partition}: the next offset to read is not in the topic any more "
                f"({words}): records were deleted faster than they were read. Set "
                "input.out_of_range: earliest to go on with what is left."
            )
        raise RollBackError(f"records of partition {partition} were deleted unread: {words}")

    def _advance_idle(self) -> None:
        for partition, stream_time_ms in self._idle.due(self._clock.monotonic_ms()):
            try:
                outcome = self._sampler.advance(partition, stream_time_ms)
            except StoreError:
                raise
            except Exception as error:
                words = self._suspects.accuse_nobody(partition, self._position(partition), error)
                _log.exception("engine_failed", records=0, problem=words)
                raise RollBackError(f"the engine failed while time moved on: {words}") from error
            self._deliver(outcome, None)

    def _go_on_taking_over(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if self._store_trouble.is_over(now_ms):
            self._take_over.step(now_ms, self._sampler.policies.default.decision_ttl_ms)

    def _commit(self, partitions: Collection[int], leaving: Collection[int] = ()) -> None:
        """Make what was done so far last.

        1. Of each partition, the engine says where it stands: the low watermark, which is the
           first offset that an undecided trace still needs, the position and the stream time.
        2. The outbox commits: the low watermark as the group's offset, the rest as its metadata,
           together with all kept traces, decisions and dead letters written since the last commit,
           and with what the decided traces of intervals that are over come to.
           Exactly once, that is one transaction; at least once, it is an order
           (`outbox.OrderedOutbox`).
        3. The engine learns of it, and lets go of the blocks that no one can need any more.

        All partitions that may be committed must be in it, as all of them have written into the
        same transaction; and no other, as the broker does not check who owns a partition.

        Args:
            partitions: Of those that the engine holds, all that are live or paused.
            leaving: Those that somebody else has next.

        Raises:
            RollBackError: It was refused, and must be undone.
            StoreError: It is committed, but the store failed.
            FailStopError: Something was refused for good, or took too long.
            RestartError: The clients are of no use any more.
        """
        checkpoints = {p: self._sampler.checkpoint(p) for p in partitions}
        # On an idle partition only stream time moves on, which the next record would tell too.
        moved = {p: c for p, c in checkpoints.items() if self._committed.get(p) != _offsets(c)}
        offsets = [to_commit(self._topic, p, checkpoint) for p, checkpoint in moved.items()]
        self._write_summaries(partitions, leaving)
        began_ms, written = self._clock.monotonic_ms(), self._links.outbox.written_bytes
        refused = self._links.outbox.commit(self._consumer, offsets, self._overdue)
        if refused is not None:
            _log.warning("commit_refused", partitions=sorted(moved), reason=refused)
            return
        took_ms = self._clock.monotonic_ms() - began_ms
        self._reporting.committed(partitions, took_ms if moved or written else None)
        for partition, checkpoint in checkpoints.items():
            self._committed[partition] = _offsets(checkpoint)
            self._suspects.committed(partition, checkpoint.low_watermark)
            self._sampler.committed(partition, checkpoint)

    def _write_summaries(self, partitions: Collection[int], leaving: Collection[int]) -> None:
        shards = self._links.control_plane.shards
        if not shards:
            return
        told = [
            summary
            for partition in partitions
            for summary in self._sampler.summaries(partition, leaving=partition in leaving)
        ]
        if told:
            self._links.outbox.add_summaries(told, shards)

    def _deliver(self, outcome: Outcome, reading: Reading | None) -> None:
        self._links.outbox.add(outcome, reading)
        self._reporting.watch.outcome(outcome)

    def _overdue(self) -> bool:
        """Whether a worker that was told to stop has waited long enough for its brokers."""
        if not self._stop():
            return False
        now_ms = self._clock.monotonic_ms()
        self._stopped_at_ms = self._stopped_at_ms or now_ms
        return now_ms - self._stopped_at_ms > self._settings.stop_timeout_ms

    # What cannot be done is undone, and done again from the last commit.

    def _roll_back(self, reason: str) -> None:
        """Abort, and take every partition through the door that a new one comes through."""
        _log.warning("rolled_back", reason=reason, partitions=list(self._ownership.owned))
        if self._links.outbox.abort():
            _log.warning("transaction_aborted", reason=reason)
            self._reporting.vitals.aborted()
        self._next_commit_ms = 0  # and with it, what is told of the partitions
        for partition in self._ownership.owned:
            if self._ownership.state(partition) is State.ASSIGNED:
                continue
            self._forget(partition, keep=False)
            self._ownership.move(partition, State.ASSIGNED)
            self._consumer.pause([TopicPartition(self._topic, partition)])

    def _forget(self, partition: int, *, keep: bool) -> int:
        """Drop what the engine and we know of a partition; tell how many bytes the store keeps."""
        self._take_over.forget(partition)
        self._idle.woke(partition)
        self._committed.pop(partition, None)
        if partition not in self._sampler.partitions:
            return 0
        self._reporting.vitals.left(partition)
        return self._sampler.revoke(partition, keep=keep)

    def _stand_still(self, error: StoreError) -> None:
        """The disk is full, or fails: nothing is read until the store can be written again."""
        now_ms = self._clock.monotonic_ms()
        self._store_trouble.begin(error, self._ownership.owned, now_ms)
        self._roll_back(str(error))

    def _make_room(self) -> None:
        self._backpressure.regulate()
        for partition in self._kept.surplus(self._clock.monotonic_ms()):
            if partition not in self._ownership.owned:
                self._sampler.discard(partition)

    # A rebalance. The lists hold only what changes.

    def _on_assign(self, consumer: Consumer, assigned: Sequence[TopicPartition]) -> None:
        self._settled = True
        partitions = [one.partition for one in assigned]
        if not partitions:
            return
        # Where each is read from is found out when its past decisions are known.
        places = [TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in partitions]
        consumer.incremental_assign(places)
        consumer.pause(places)
        for partition in partitions:
            self._ownership.move(partition, State.ASSIGNED)
            self._kept.came(partition)
        self._next_commit_ms = 0  # and with it, what is told of the partitions
        _log.info("partitions_assigned", partitions=sorted(partitions))

    def _on_revoke(self, _: Consumer, revoked: Sequence[TopicPartition]) -> None:
        partitions = [one.partition for one in revoked]
        committed = False
        if not self._failed and set(partitions) & set(self._held):
            committed = self._commit_before_leaving(partitions)
        self._leave(partitions, State.REVOKED, keep=committed)

    def _commit_before_leaving(self, leaving: Sequence[int]) -> bool:
        """Commit everything, as what is left behind is somebody else's in a moment.

        Returns:
            Whether it is committed; else all is undone, and whoever is next does it again.
        """
        before = set(self._held)
        self._guarded(lambda: self._commit(self._held, leaving))
        return before == set(self._held)

    def _on_lost(self, _: Consumer, lost: Sequence[TopicPartition]) -> None:
        partitions = [one.partition for one in lost]
        if not self._failed and set(partitions) & set(self._held):
            # What they wrote is in the open transaction; somebody else may have it already.
            self._guarded(lambda: self._roll_back("partitions were lost"))
        self._leave(partitions, State.LOST, keep=False)

    def _leave(self, partitions: Sequence[int], state: State, *, keep: bool) -> None:
        for partition in partitions:
            if partition not in self._ownership.owned:
                continue  # assigning it is what failed
            if self._ownership.state(partition) in COMMITTED:
                self._reporting.left(partition)
            self._suspects.forget(partition)
            try:
                size = self._forget(partition, keep=keep and self._stands_as_committed(partition))
                self._kept.left(partition, size, self._clock.monotonic_ms())
            except StoreError as error:  # then it is read again from Kafka
                _log.warning("store_not_kept", partition=partition, problem=str(error))
            self._ownership.move(partition, state)
        if partitions:
            _log.info("partitions_left", partitions=sorted(partitions), state=state.value)

    def _stands_as_committed(self, partition: int) -> bool:
        if partition not in self._committed:
            return False
        return self._committed[partition] == _offsets(self._sampler.checkpoint(partition))
