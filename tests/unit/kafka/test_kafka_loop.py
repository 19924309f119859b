"""The loop against a scripted group: the order of a commit, and what each rebalance does.

The consumer, the producer and the engine are stand-ins that write down what is asked of them in
one journal, so that the order of events can be read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from structlog.testing import capture_logs

from streamsampler.config import Settings
from streamsampler.kafka import loop
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.loop import Links, Watch, Worker
from streamsampler.kafka.offsets import Start
from streamsampler.policies import PolicySet, load_policy_set
from streamsampler.sampler import Checkpoint, Counts, Outcome, PastDecision
from streamsampler.spans.records import RecordBatch

SETTINGS = Settings(kafka={"bootstrap.servers": "nobody"}, commit_interval_ms=1_000)
POLICIES = load_policy_set("policies: [{name: all, type: always_sample}]", "test")
OTHER = load_policy_set("decision_wait: 5s\npolicies: [{name: all, type: always_sample}]", "test")

Journal = list[tuple[Any, ...]]
Step = Callable[["Group"], Sequence[Message]]


class Group:
    """Stands for the consumer: plays a script, one step for each `consume`."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.script: list[Step] = []
        self.refuses: KafkaError | None = None
        self.assigned: set[int] = set()
        self.on_assign: Any = None
        self.on_revoke: Any = None
        self.on_lost: Any = None

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        assert topics == [SETTINGS.topics.input]
        self.__dict__.update(callbacks)

    def consume(self, _most: int, _seconds: float) -> Sequence[Message]:
        return self.script.pop(0)(self)

    def assign(self, *partitions: int) -> None:
        self.assigned |= set(partitions)
        self.on_assign(self, _places(partitions))

    def revoke(self, *partitions: int) -> None:
        self.assigned -= set(partitions)
        self.on_revoke(self, _places(partitions))

    def lose(self, *partitions: int) -> None:
        self.assigned -= set(partitions)
        self.on_lost(self, _places(partitions))

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.journal.append(("incremental_assign", {p.partition: p.offset for p in places}))

    def pause(self, places: list[TopicPartition]) -> None:
        self.journal.append(("pause", [p.partition for p in places]))

    def seek(self, place: TopicPartition) -> None:
        self.journal.append(("seek", place.partition, place.offset))

    def resume(self, places: list[TopicPartition]) -> None:
        self.journal.append(("resume", [p.partition for p in places]))

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        if self.refuses is not None:
            raise KafkaException(self.refuses)
        self.journal.append(("commit", {p.partition: (p.offset, p.metadata) for p in offsets}))
        return offsets

    def close(self) -> None:
        self.revoke(*self.assigned)
        self.journal.append(("close",))


def _places(partitions: Sequence[int]) -> list[TopicPartition]:
    return [TopicPartition(SETTINGS.topics.input, partition) for partition in partitions]


class Engine:
    """Stands for the sampler: buffers everything."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.held: dict[int, Checkpoint] = {}
        self.keyless = 0

    def assign(self, partition: int, resume: Checkpoint, decided: list[PastDecision]) -> None:
        self.journal.append(("assign", partition, resume.low_watermark, len(decided)))
        self.held[partition] = resume

    def revoke(self, partition: int) -> None:
        self.journal.append(("revoke", partition))
        del self.held[partition]

    def submit(self, batch: RecordBatch) -> Outcome:
        for partition, offset, time_ms in zip(
            batch.partitions.tolist(), batch.offsets.tolist(), batch.times_ms.tolist(), strict=True
        ):
            low = self.held[partition].low_watermark
            self.held[partition] = Checkpoint(low, offset + 1, time_ms)
        self.journal.append(("submit", batch.offsets.tolist()))
        return Outcome([], [], [])

    def advance(self, partition: int, stream_time_ms: int) -> Outcome:
        self.journal.append(("advance", partition, stream_time_ms))
        return Outcome([], [], [])

    def use(self, policies: PolicySet) -> None:
        self.journal.append(("use", policies.version))

    def checkpoint(self, partition: int) -> Checkpoint:
        return self.held[partition]

    def committed(self, partition: int, checkpoint: Checkpoint) -> None:
        self.journal.append(("committed", partition, checkpoint.position))

    def stream_time_ms(self, partition: int) -> int:
        return self.held[partition].stream_time_ms

    def counts(self, _partition: int) -> Counts:
        return Counts(records_keyless=self.keyless)


class Desk:
    """Stands for the outbox."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.refuses = False

    def add(self, _outcome: Outcome, _reading: object) -> None:
        pass

    def settle(self, overdue: Callable[[], bool]) -> None:
        assert not overdue()
        if self.refuses:
            raise FailStopError("refused")
        self.journal.append(("settle",))


class Following:
    """Stands for the policies topic."""

    def __init__(self) -> None:
        self.coming: list[PolicySet] = []

    def follow(self) -> PolicySet | None:
        return self.coming.pop(0) if self.coming else None


class Past:
    """Stands for the reading of past decisions: done at once, or when told."""

    waiting = False

    def __init__(
        self, _settings: object, _admin: object, resumed: dict[int, Checkpoint], ttl_ms: int
    ) -> None:
        assert ttl_ms == POLICIES.decision_ttl_ms
        self.left = set(resumed)

    def poll(self) -> dict[int, list[PastDecision]]:
        if Past.waiting:
            return {}
        done, self.left = self.left, set()
        return {partition: [PastDecision(bytes(16), "sampled", None, 5)] for partition in done}

    def forget(self, partition: int) -> None:
        self.left.discard(partition)

    @property
    def finished(self) -> bool:
        return not self.left

    def close(self) -> None:
        pass


class Scene:
    """A worker among its stand-ins."""

    def __init__(self) -> None:
        self.journal: Journal = []
        self.group = Group(self.journal)
        self.engine = Engine(self.journal)
        self.desk = Desk(self.journal)
        self.following = Following()
        self.now_ms = 0
        self.counted: list[dict[int, Counts]] = []
        links: Any = (self.group, None, self.desk, self.following, None)
        engine: Any = self.engine
        self.worker = Worker(
            SETTINGS,
            POLICIES,
            engine,
            Links(*links),
            Clock(lambda: self.now_ms, lambda: self.now_ms),
            Watch(counts=self.counted.append),
        )

    def play(self, *script: Step) -> Journal:
        """Run until the script is at its end, then stop as SIGTERM does."""
        self.group.script = list(script)
        self.worker.run(lambda: not self.group.script)
        return self.journal

    def of(self, *kinds: str) -> list[Any]:
        return [entry for entry in self.journal if entry[0] in kinds]

    def wait(self, ms: int) -> Step:
        def step(_group: Group) -> Sequence[Message]:
            self.now_ms += ms
            return ()

        return step


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    def starts(_s: object, _c: object, _a: object, partitions: list[int]) -> dict[int, Start]:
        return {p: Start(Checkpoint(10 * p, 10 * p, -1)) for p in partitions}

    monkeypatch.setattr(loop, "find_starts", starts)
    monkeypatch.setattr(loop, "Readback", Past)
    monkeypatch.setattr(Past, "waiting", False)
    return Scene()


def assign(*partitions: int) -> Step:
    def step(group: Group) -> Sequence[Message]:
        group.assign(*partitions)
        return ()

    return step


def revoke(*partitions: int) -> Step:
    def step(group: Group) -> Sequence[Message]:
        group.revoke(*partitions)
        return ()

    return step


def lose(*partitions: int) -> Step:
    def step(group: Group) -> Sequence[Message]:
        group.lose(*partitions)
        return ()

    return step


def bring(*messages: Message) -> Step:
    return lambda _group: messages


def record(partition: int, offset: int, time_ms: int = 1_000) -> Message:
    return Message(SETTINGS.topics.input, partition, offset, value=b"v", timestamp=(1, time_ms))


def end(partition: int, offset: int) -> Message:
    error = KafkaError(KafkaError._PARTITION_EOF)
    return Message(SETTINGS.topics.input, partition, offset, error=error)


def test_a_partition_waits_for_its_past_decisions_and_is_read_from_its_low_watermark(
    scene: Scene,
) -> None:
    scene.play(assign(3))
    assert scene.of("incremental_assign", "pause", "assign", "seek", "resume") == [
        ("incremental_assign", {3: 30}),
        ("pause", [3]),
        ("assign", 3, 30, 1),
        ("seek", 3, 30),
        ("resume", [3]),
    ]


def test_records_of_a_partition_that_is_not_live_are_passed_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Past, "waiting", True)
    scene.play(assign(0), bring(record(0, 0)), revoke(0))
    assert scene.of("submit", "assign", "commit", "revoke") == []


def test_a_commit_follows_its_protocol(scene: Scene) -> None:
    journal = scene.play(assign(0), bring(record(0, 4, 700)), scene.wait(1_000))
    at = journal.index(("submit", [4]))
    assert journal[at + 1 : at + 4] == [
        ("settle",),
        ("commit", {0: (0, "v1 position=5 stream_time_ms=700")}),
        ("committed", 0, 5),
    ]


def test_commits_come_at_their_interval(scene: Scene) -> None:
    scene.play(
        assign(0),
        *(bring(record(0, offset)) for offset in range(5)),
        scene.wait(999),
        scene.wait(1),
    )
    assert [offsets[0][1] for _, offsets in scene.of("commit")] == [
        "v1 position=0 stream_time_ms=-1",
        "v1 position=5 stream_time_ms=1000",
    ]


def test_what_has_not_moved_is_not_committed_again(scene: Scene) -> None:
    scene.play(assign(0, 1), scene.wait(1_000), bring(record(1, 10)), scene.wait(1_000))
    assert [set(offsets) for _, offsets in scene.of("commit")] == [{0, 1}, {1}]


def test_a_refused_record_stops_the_worker_and_nothing_is_committed(scene: Scene) -> None:
    def refuse(_group: Group) -> Sequence[Message]:
        scene.desk.refuses = True
        scene.now_ms += 1_000
        return ()

    with pytest.raises(FailStopError, match="refused"):
        scene.play(assign(0), bring(record(0, 0)), refuse, bring(record(0, 1)))
    after = scene.journal[scene.journal.index(("submit", [0])) :]
    assert [entry[0] for entry in after] == ["submit", "revoke", "close"]


def test_a_commit_refused_for_now_keeps_everything(scene: Scene) -> None:
    def refuse(_group: Group) -> Sequence[Message]:
        scene.group.refuses = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
        return ()

    def allow(_group: Group) -> Sequence[Message]:
        scene.group.refuses = None
        return ()

    with capture_logs() as logs:
        scene.play(
            assign(0), refuse, bring(record(0, 0)), scene.wait(1_000), allow, scene.wait(1_000)
        )
    assert scene.of("committed")[-1] == ("committed", 0, 1)
    assert [entry["partitions"] for entry in logs if entry["event"] == "commit_refused"] == [[0]]


def test_before_a_partition_is_handed_over_it_is_committed_and_then_forgotten(scene: Scene) -> None:
    journal = scene.play(assign(0, 1), bring(record(0, 0), record(1, 10)), revoke(1))
    at = journal.index(("submit", [0, 10]))
    assert journal[at + 1 : at + 5] == [
        ("settle",),
        ("commit", {1: (10, "v1 position=11 stream_time_ms=1000")}),
        ("committed", 1, 11),
        ("revoke", 1),
    ]


def test_a_partition_that_was_revoked_is_in_no_later_commit(scene: Scene) -> None:
    journal = scene.play(
        assign(0, 1), revoke(1), bring(record(0, 0), record(1, 10)), scene.wait(1_000)
    )
    after = journal[journal.index(("revoke", 1)) :]
    assert [set(entry[1]) for entry in after if entry[0] == "commit"] == [{0}]
    assert ("submit", [0]) in after


def test_a_lost_partition_is_forgotten_without_a_commit(scene: Scene) -> None:
    journal = scene.play(assign(0), bring(record(0, 0)), lose(0), scene.wait(1_000))
    after = journal[journal.index(("submit", [0])) :]
    assert ("revoke", 0) in after
    assert [entry for entry in after if entry[0] == "commit"] == []


def test_a_partition_comes_back_as_a_new_one(scene: Scene) -> None:
    scene.play(assign(0), bring(record(0, 0)), revoke(0), assign(0), bring(record(0, 0)))
    assert scene.of("assign", "submit", "revoke") == [
        ("assign", 0, 0, 1),
        ("submit", [0]),
        ("revoke", 0),
        ("assign", 0, 0, 1),
        ("submit", [0]),
        ("revoke", 0),
    ]


def test_the_others_go_on_while_one_is_taken_over(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(_group: Group) -> Sequence[Message]:
        monkeypatch.setattr(Past, "waiting", True)
        return ()

    def done(_group: Group) -> Sequence[Message]:
        monkeypatch.setattr(Past, "waiting", False)
        return ()

    scene.play(assign(0), hold, assign(1), bring(record(0, 0)), done, bring(record(1, 10)))
    assert scene.of("assign", "submit")[:4] == [
        ("assign", 0, 0, 1),
        ("submit", [0]),
        ("assign", 1, 10, 1),
        ("submit", [10]),
    ]


def test_a_partition_taken_away_while_it_is_taken_over_never_meets_the_engine(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done(_group: Group) -> Sequence[Message]:
        monkeypatch.setattr(Past, "waiting", False)
        return ()

    monkeypatch.setattr(Past, "waiting", True)
    scene.play(assign(0), revoke(0), done)
    assert scene.of("assign", "revoke", "commit") == []


def test_rebalances_that_change_nothing_do_nothing(scene: Scene) -> None:
    scene.play(assign(), revoke(), lose())
    assert scene.of("incremental_assign", "commit", "assign") == []


def test_a_stop_commits_and_leaves_and_decides_nothing(scene: Scene) -> None:
    journal = scene.play(assign(0), bring(record(0, 0)))
    after = journal[journal.index(("submit", [0])) :]
    assert [entry[0] for entry in after] == [
        "submit", "settle", "commit", "committed",  # told to stop
        "settle", "committed", "revoke", "close",  # and revoked by the close
    ]  # fmt: skip


def test_a_stop_waits_for_brokers_that_are_away_only_so_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    def away(overdue: Callable[[], bool]) -> None:
        while not overdue():
            scene.now_ms += 1_000
            waited.append(scene.now_ms)
        raise FailStopError("not acknowledged in time")

    monkeypatch.setattr(scene.desk, "settle", away)
    with pytest.raises(FailStopError):
        scene.play(scene.wait(1))
    assert waited[-1] - waited[0] == SETTINGS.stop_timeout_ms
    assert scene.of("commit") == []


def test_a_partition_read_to_its_end_moves_on_with_the_clock(scene: Scene) -> None:
    scene.play(
        assign(0), bring(record(0, 0, 5_000), end(0, 1)), scene.wait(150), scene.wait(100),
        bring(record(0, 1, 5_100)), scene.wait(500),
    )  # fmt: skip
    assert scene.of("advance") == [("advance", 0, 5_150), ("advance", 0, 5_250)]


def test_a_partition_that_left_does_not_move_on(scene: Scene) -> None:
    scene.play(assign(0), bring(record(0, 0), end(0, 1)), revoke(0), scene.wait(500))
    assert scene.of("advance") == []


def test_another_policy_set_takes_effect_between_two_batches(scene: Scene) -> None:
    def publish(_group: Group) -> Sequence[Message]:
        scene.following.coming.append(OTHER)
        return ()

    scene.play(assign(0), bring(record(0, 0)), publish, bring(record(0, 1)))
    assert scene.of("submit", "use") == [
        ("submit", [0]),
        ("use", OTHER.version),
        ("submit", [1]),
    ]


def test_counts_are_shown_at_each_interval(scene: Scene) -> None:
    scene.play(assign(0, 2), scene.wait(1_000))
    assert [set(counts) for counts in scene.counted] == [{0, 2}, {0, 2}]


def test_records_without_a_key_are_said_loudly_but_not_at_each_interval(scene: Scene) -> None:
    scene.engine.keyless = 7
    with capture_logs() as logs:
        scene.play(assign(0), scene.wait(1_000), scene.wait(1_000), scene.wait(1_000))
    warnings = [entry for entry in logs if entry["event"] == "records_without_key"]
    assert [entry["records"] for entry in warnings] == [7]
    assert warnings[0]["log_level"] == "warning"
    assert "partition_traces_by_id" in warnings[0]["mend"]
