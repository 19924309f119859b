"""The loop against a scripted group: commits, rebalances, what is undone, and what it waits for.

The consumer, the outbox, the engine and its store are stand-ins that write down what is asked of
them in one journal, so that the order of events can be read.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    KafkaError,
    Message,
    TopicPartition,
)
from structlog.testing import capture_logs

from streamsampler.config import Settings
from streamsampler.engine.health import HealthQuestions
from streamsampler.kafka import takeover
from streamsampler.kafka.clock import Clock
from streamsampler.kafka.errors import FailStopError, NotYetError, RestartError, RollBackError
from streamsampler.kafka.links import Links
from streamsampler.kafka.loop import SLICE_MS, Worker
from streamsampler.kafka.offsets import Start
from streamsampler.kafka.poison import IN_A_ROW
from streamsampler.kafka.readback import Found
from streamsampler.kafka.reporting import STORE_MS, Watch
from streamsampler.kafka.store_trouble import MEND_MS
from streamsampler.observe import StoreStanding, Vitals
from streamsampler.outcome import GroupKnowledge
from streamsampler.policies import load_policy_set
from streamsampler.policies.sets import PolicySets
from streamsampler.sampler import Checkpoint, Counts, Outcome, PastDecision, PolicyCounts
from streamsampler.spans.malformed import REASONS
from streamsampler.spans.records import RecordBatch
from streamsampler.store import StoreError, StoreFigures

SETTINGS = Settings(
    kafka={"bootstrap.servers": "nobody"},
    commit_interval_ms=1_000,
    limits={"buffered_spans": 100, "soft_share": 0.5},
)
POLICIES = load_policy_set("policies: [{name: all, type: always_sample}]", "test")
OTHER = load_policy_set("decision_wait: 5s\npolicies: [{name: all, type: always_sample}]", "test")

Journal = list[tuple[Any, ...]]
Step = Callable[["Group"], Sequence[Message]]


class Group:
    """Stands for the consumer: plays a script, one step for each `consume`."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.script: list[Step] = []
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
        for place in places:
            self.journal.append(("read", place.partition, place.offset))

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        self.journal.append(("unassign", *[p.partition for p in places]))

    def pause(self, places: list[TopicPartition]) -> None:
        self.journal.append(("pause", *[p.partition for p in places]))

    def resume(self, places: list[TopicPartition]) -> None:
        self.journal.append(("resume", *[p.partition for p in places]))

    def get_watermark_offsets(self, _place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        assert cached
        return 0, 99

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
        self.resumed: dict[int, int] = {}
        self.parts: list[int] = []
        self.in_store: dict[int, int] = {}
        self.keyless = 0
        self.policies = PolicySets(POLICIES)
        self.coming: PolicySets | None = None
        self.needed = self.slices = 0
        self.tick: Callable[[], None] = lambda: None
        self.raises: dict[int, list[Exception]] = {}
        self.spans = 0
        self.figures: list[StoreFigures] = []
        self.asked_store = 0
        self.told = Counts()

    @property
    def partitions(self) -> tuple[int, ...]:
        return tuple(self.held)

    def knowledge(self) -> GroupKnowledge:
        return GroupKnowledge(None, None, {}, {}, 0)

    def assign(
        self, partition: int, resume: Checkpoint, decided: list[PastDecision], part: int
    ) -> int:
        self.parts.append(part)
        self.journal.append(("assign", partition, resume.low_watermark, len(decided)))
        first = self.in_store.get(partition, resume.low_watermark)
        self.held[partition] = replace(resume, position=first)
        self.resumed[partition] = resume.position
        return first

    def recall(self, partition: int, older: list[PastDecision]) -> None:
        self.journal.append(("recall", partition, len(older)))
        position = max(self.held[partition].position, self.resumed[partition])
        self.held[partition] = replace(self.held[partition], position=position)

    def revoke(self, partition: int, *, keep: bool) -> int:
        self.journal.append(("revoke", partition, "kept" if keep else "not kept"))
        del self.held[partition]
        return 0

    def skip(self, partition: int, offsets: int) -> None:
        self.journal.append(("skip", partition, offsets))

    def submit(self, batch: RecordBatch) -> Outcome:
        for partition, offset, time_ms in zip(
            batch.partitions.tolist(), batch.offsets.tolist(), batch.times_ms.tolist(), strict=True
        ):
            if self.raises.get(offset):
                raise self.raises[offset].pop(0)
            low = self.held[partition].low_watermark
            self.held[partition] = Checkpoint(low, offset + 1, time_ms)
        self.journal.append(("submit", batch.offsets.tolist()))
        return Outcome([], [], [])

    def ask_of_services(self, health: HealthQuestions | None) -> None:
        self.journal.append(("ask of services", health.one_in if health else None))

    def learn(self, key: bytes, table: object) -> None:
        self.journal.append(("learn", key, table))

    def summaries(self, partition: int, *, leaving: bool) -> list[str]:
        return [f"the rest of {partition}" if leaving else f"of {partition}"]

    def advance(self, partition: int, stream_time_ms: int) -> Outcome:
        self.journal.append(("advance", partition, stream_time_ms))
        return Outcome([], [], [])

    def use(self, policies: PolicySets) -> None:
        self.journal.append(("use", policies.version))
        self.coming = policies
        self.slices = self.needed

    @property
    def replacing(self) -> bool:
        return self.coming is not None

    def policy_counts(self) -> dict[tuple[str, str], PolicyCounts]:
        return {}

    def go_on(self) -> None:
        self.tick()
        self.slices -= 1
        if self.coming and self.slices <= 0:
            self.policies, self.coming = self.coming, None
            self.journal.append(("in force", self.policies.version))

    def checkpoint(self, partition: int) -> Checkpoint:
        return self.held[partition]

    def committed(self, partition: int, checkpoint: Checkpoint) -> None:
        self.journal.append(("committed", partition, checkpoint.position))

    def stream_time_ms(self, partition: int) -> int:
        return self.held[partition].stream_time_ms

    def buffered(self) -> tuple[int, int]:
        return self.spans, 0

    def buffered_bytes(self, _partition: int) -> int:
        return 0

    def block_bytes(self, _partition: int) -> int:
        return 0

    def store_figures(self) -> StoreFigures:
        self.asked_store += 1
        if not self.figures:
            raise StoreError("the database is closed")
        return self.figures.pop(0)

    def counts(self, _partition: int) -> Counts:
        return replace(self.told, records_keyless=self.keyless)


class Desk:
    """Stands for the outbox: refuses what it is told to, once for each."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.written_bytes = 0
        self.refuses: list[Exception] = []
        self.reason: str | None = None

    def add(self, _outcome: Outcome, _reading: object) -> None:
        pass

    def add_summaries(self, summaries: list[str], shards: int) -> None:
        self.journal.append(("summaries", summaries, shards))

    def commit(
        self, _consumer: Group, offsets: list[TopicPartition], overdue: Callable[[], bool]
    ) -> str | None:
        assert not overdue()
        if self.refuses:
            raise self.refuses.pop(0)
        if offsets and self.reason is None:
            self.journal.append(("commit", {p.partition: (p.offset, p.metadata) for p in offsets}))
        self.written_bytes = 0
        return self.reason if offsets else None

    def abort(self) -> bool:
        self.journal.append(("abort",))
        return True


class Disk:
    """Stands for the store."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.full = False

    def partitions(self) -> dict[int, int]:
        return {}

    def reopen(self) -> None:
        if self.full:
            raise StoreError("No space left on device")
        self.journal.append(("reopen",))


class Following:
    """Stands for the policies topic."""

    def __init__(self) -> None:
        self.coming: list[PolicySets] = []

    def follow(self) -> PolicySets | None:
        return self.coming.pop(0) if self.coming else None


class Beyond:
    """Stands for the way to the control plane."""

    def __init__(self) -> None:
        self.shards = 0
        self.come_at_ms = 0
        self.tables: list[tuple[bytes, object]] = []

    def look(self, now_ms: int) -> bool:
        came = not self.shards and 0 < self.come_at_ms <= now_ms
        self.shards = self.shards or 3 * came
        return came

    def follow(self) -> list[tuple[bytes, object]]:
        told, self.tables = self.tables, []
        return told


class Past:
    """Stands for the reading of past decisions: one recent and two older ones, or when told."""

    waiting = False
    waiting_for_older = False

    def __init__(
        self, _settings: object, _admin: object, resumed: dict[int, Checkpoint], ttl_ms: int, _: int
    ) -> None:
        assert ttl_ms == POLICIES.decision_ttl_ms
        self.recent = set(resumed)
        self.older = set(resumed)

    def poll(self) -> Found:
        found = Found({}, {})
        if not Past.waiting:
            found.recent.update({p: _decisions(1) for p in self.recent})
            self.recent = set()
            if not Past.waiting_for_older:
                found.older.update({p: _decisions(2) for p in self.older})
                self.older = set()
        return found

    def forget(self, partition: int) -> None:
        self.recent.discard(partition)
        self.older.discard(partition)

    @property
    def finished(self) -> bool:
        return not self.recent and not self.older

    def close(self) -> None:
        pass


def _decisions(count: int) -> list[PastDecision]:
    return [PastDecision(bytes([number]) * 16, "sampled", None, 5) for number in range(count)]


class Scene:
    """A worker among its stand-ins."""

    def __init__(self) -> None:
        self.journal: Journal = []
        self.group = Group(self.journal)
        self.engine = Engine(self.journal)
        self.desk = Desk(self.journal)
        self.disk = Disk(self.journal)
        self.following = Following()
        self.beyond = Beyond()
        self.starts: dict[int, Start] = {}
        self.now_ms = 0
        self.counted: list[dict[int, Counts]] = []
        self.vitals = Vitals("pod-1", "1.0.0", "exactly_once", 0)
        links: Any = (self.group, None, self.desk, self.following, self.beyond, self.disk, None)
        engine: Any = self.engine
        self.worker = Worker(
            SETTINGS,
            engine,
            Links(*links),
            Clock(lambda: self.now_ms, lambda: self.now_ms),
            Watch(counts=self.counted.append),
            self.vitals,
        )

    def start_of(self, partition: int) -> Start:
        fresh = Start(Checkpoint(10 * partition, 10 * partition, -1), 0)
        return self.starts.get(partition, fresh)

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

    def then(self, do: Callable[[], object], *messages: Message) -> Step:
        def step(_group: Group) -> Sequence[Message]:
            do()
            return messages

        return step


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene()

    def starts(_s: object, _c: object, _a: object, partitions: list[int]) -> dict[int, Start]:
        return {p: made.start_of(p) for p in partitions}

    monkeypatch.setattr(takeover, "find_starts", starts)
    monkeypatch.setattr(takeover, "Readback", Past)
    monkeypatch.setattr(Past, "waiting", False)
    monkeypatch.setattr(Past, "waiting_for_older", False)
    return made


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


def deleted(partition: int) -> Message:
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    return Message(SETTINGS.topics.input, partition, -1, error=error)


def submitted(scene: Scene) -> list[list[int]]:
    """The offsets of each batch that the engine was given."""
    return [offsets for _, offsets in scene.of("submit")]


# Taking over


def test_what_the_client_gives_again_is_taken_in_once(scene: Scene) -> None:
    scene.starts[0] = Start(Checkpoint(4, 6, 500), 0)
    scene.play(
        assign(0),
        bring(*(record(0, offset) for offset in (2, 3, 4, 5))),
        bring(*(record(0, offset) for offset in (6, 7, 8, 6, 7, 8, 9))),
        bring(*(record(0, offset) for offset in (6, 7, 8, 9))),
        bring(*(record(0, offset) for offset in (8, 9, 12))),  # a gap is Kafka's to make
    )
    assert [one for batch in submitted(scene) for one in batch] == [4, 5, 6, 7, 8, 9, 12]


def test_a_partition_is_live_after_its_past_decisions_are_known(scene: Scene) -> None:
    scene.play(assign(3))
    kinds = ("read", "pause", "assign", "recall", "unassign", "resume")
    assert scene.of(*kinds) == [
        ("read", 3, OFFSET_BEGINNING),
        ("pause", 3),
        ("assign", 3, 30, 1),
        ("recall", 3, 2),
        ("unassign", 3),
        ("read", 3, 30),
        ("resume", 3),
    ]


def test_what_is_undecided_is_read_again_and_nothing_beyond_until_the_older_are_known(
    scene: Scene,
) -> None:
    scene.starts[0] = Start(Checkpoint(4, 7, 500), 0)
    Past.waiting_for_older = True
    scene.play(
        assign(0),
        bring(record(0, 4), record(0, 5)),
        bring(record(0, 6), record(0, 7), record(0, 8)),
        bring(record(0, 9)),
        scene.then(lambda: setattr(Past, "waiting_for_older", False)),
        bring(record(0, 7), record(0, 8)),
    )
    assert scene.of("assign", "read", "resume", "submit", "pause", "recall")[1:] == [
        ("pause", 0),
        ("assign", 0, 4, 1),
        ("read", 0, 4),
        ("resume", 0),
        ("submit", [4, 5]),
        ("pause", 0),
        ("submit", [6]),
        ("recall", 0, 2),
        ("read", 0, 7),
        ("resume", 0),
        ("submit", [7, 8]),
    ]


def test_nothing_of_a_partition_that_is_taken_over_is_committed(scene: Scene) -> None:
    scene.starts[0] = Start(Checkpoint(4, 7, 500), 0)
    scene.play(assign(0), bring(record(0, 4)), scene.wait(1_000), revoke(0))
    assert scene.of("commit") == []


def test_what_the_local_store_has_is_not_read_again(scene: Scene) -> None:
    scene.starts[0] = Start(Checkpoint(4, 7, 500), 0)
    scene.engine.in_store[0] = 7
    scene.play(assign(0), bring(record(0, 7)))
    assert scene.of("read", "submit")[1:] == [("read", 0, 7), ("submit", [7])]


def test_a_replay_that_ends_in_a_gap_ends_at_the_next_record_or_at_the_end(scene: Scene) -> None:
    scene.starts[0] = Start(Checkpoint(4, 7, 500), 0)
    scene.starts[1] = Start(Checkpoint(4, 7, 500), 0)
    scene.play(assign(0, 1), bring(record(0, 4), record(0, 8), record(1, 4), end(1, 7)))
    assert scene.of("recall") == [("recall", 0, 2), ("recall", 1, 2)]


def test_records_that_are_gone_from_the_topic_are_counted_and_the_rest_is_read(
    scene: Scene,
) -> None:
    scene.starts[0] = Start(Checkpoint(4, 7, 500), 6)
    with capture_logs() as logs:
        scene.play(assign(0), bring(record(0, 6)))
    assert scene.of("skip", "read")[1:3] == [("skip", 0, 2), ("read", 0, 6)]
    assert [one["offsets"] for one in logs if one["event"] == "offsets_skipped"] == [2]


def test_records_that_are_deleted_under_a_live_partition_take_it_through_the_same_door(
    scene: Scene,
) -> None:
    scene.play(
        assign(0),
        bring(record(0, 0)),
        scene.then(lambda: scene.starts.update({0: Start(Checkpoint(0, 1, 9), 5)}), deleted(0)),
        scene.wait(1),
    )
    assert scene.of("abort", "assign", "skip") == [
        ("assign", 0, 0, 1),
        ("abort",),
        ("assign", 0, 0, 1),
        ("skip", 0, 5),
    ]


def test_records_of_a_partition_that_is_not_live_are_passed_over(scene: Scene) -> None:
    Past.waiting = True
    scene.play(assign(0), bring(record(0, 0)), revoke(0))
    assert scene.of("submit", "assign", "commit", "revoke") == []


def test_a_broker_that_cannot_tell_offsets_yet_is_asked_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [NotYetError("a commit is under way"), NotYetError("still")]

    def starts(*_: object) -> dict[int, Start]:
        if answers:
            raise answers.pop()
        return {0: scene.start_of(0)}

    monkeypatch.setattr(takeover, "find_starts", starts)
    scene.play(assign(0), *[scene.wait(takeover.AGAIN_MS)] * 3, bring(record(0, 0)))
    assert scene.of("assign", "submit") == [("assign", 0, 0, 1), ("submit", [0])]


def test_the_others_go_on_while_one_is_taken_over(scene: Scene) -> None:
    scene.play(
        assign(0),
        scene.then(lambda: setattr(Past, "waiting", True)),
        assign(1),
        bring(record(0, 0)),
        scene.then(lambda: setattr(Past, "waiting", False)),
        bring(record(1, 10)),
    )
    assert scene.of("assign", "submit") == [
        ("assign", 0, 0, 1),
        ("submit", [0]),
        ("assign", 1, 10, 1),
        ("submit", [10]),
    ]


def test_a_partition_taken_away_while_it_is_taken_over_never_meets_the_engine(
    scene: Scene,
) -> None:
    Past.waiting = True
    scene.play(assign(0), revoke(0), scene.then(lambda: setattr(Past, "waiting", False)))
    assert scene.of("assign", "revoke", "commit") == []


def test_how_far_it_is_is_said(scene: Scene) -> None:
    scene.starts[0] = Start(Checkpoint(0, 100, 500), 0)
    records = [record(0, offset) for offset in range(25)]
    with capture_logs() as logs:
        scene.play(assign(0), bring(*records), scene.wait(takeover.PROGRESS_MS))
    (progress,) = [one for one in logs if one["event"] == "recovery_progress"]
    assert (progress["replayed"], progress["of"]) == (25, 100)
    assert progress["expected_seconds"] == 3 * takeover.PROGRESS_MS / 1000


# Commits


def test_a_commit_follows_its_protocol(scene: Scene) -> None:
    journal = scene.play(assign(0), bring(record(0, 4, 700)), scene.wait(1_000))
    at = journal.index(("submit", [4]))
    assert journal[at + 1 : at + 3] == [
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


def test_a_commit_comes_early_when_much_was_written(scene: Scene) -> None:
    def much() -> None:
        scene.desk.written_bytes = SETTINGS.commit_bytes

    scene.play(assign(0), bring(record(0, 0)), scene.then(much), bring(record(0, 1)))
    assert [offsets[0][1] for _, offsets in scene.of("commit")][1:2] == [
        "v1 position=1 stream_time_ms=1000"
    ]


def test_what_has_not_moved_is_not_committed_again(scene: Scene) -> None:
    scene.play(assign(0, 1), scene.wait(1_000), bring(record(1, 10)), scene.wait(1_000))
    assert [set(offsets) for _, offsets in scene.of("commit")] == [{0, 1}, {1}]


@pytest.mark.parametrize("error", [FailStopError("refused"), RestartError("refused")])
def test_what_is_refused_for_good_ends_the_worker_and_nothing_is_committed(
    scene: Scene, error: Exception
) -> None:
    def refuse() -> None:
        scene.desk.refuses.append(error)
        scene.now_ms += 1_000

    with pytest.raises(type(error), match="refused"):
        scene.play(assign(0), bring(record(0, 0)), scene.then(refuse), bring(record(0, 1)))
    after = scene.journal[scene.journal.index(("submit", [0])) :]
    assert after == [("submit", [0]), ("revoke", 0, "not kept"), ("close",)]


def test_a_commit_refused_for_now_keeps_everything(scene: Scene) -> None:
    with capture_logs() as logs:
        scene.play(
            assign(0),
            scene.then(lambda: setattr(scene.desk, "reason", "a rebalance")),
            bring(record(0, 0)),
            scene.wait(1_000),
            scene.then(lambda: setattr(scene.desk, "reason", None)),
            scene.wait(1_000),
        )
    assert scene.of("committed")[-1] == ("committed", 0, 1)
    assert [entry["partitions"] for entry in logs if entry["event"] == "commit_refused"] == [[0]]


def test_an_aborted_transaction_takes_all_partitions_through_the_same_door(scene: Scene) -> None:
    def abort() -> None:
        scene.desk.refuses.append(RollBackError("another generation"))
        scene.now_ms += 1_000

    scene.play(assign(0, 1), bring(record(0, 0), record(1, 10)), scene.then(abort), scene.wait(1))
    after = scene.journal[scene.journal.index(("submit", [0, 10])) + 1 :]
    assert after[:9] == [
        ("abort",),
        ("revoke", 0, "not kept"),
        ("pause", 0),
        ("revoke", 1, "not kept"),
        ("pause", 1),
        ("assign", 0, 0, 1),
        ("assign", 1, 10, 1),
        ("recall", 0, 2),
        ("unassign", 0),
    ]


# Rebalances


def test_before_a_partition_is_handed_over_all_is_committed_and_its_blocks_are_kept(
    scene: Scene,
) -> None:
    journal = scene.play(assign(0, 1), bring(record(0, 0), record(1, 10)), revoke(1))
    at = journal.index(("submit", [0, 10]))
    assert journal[at + 1 : at + 5] == [
        (
            "commit",
            {
                0: (0, "v1 position=1 stream_time_ms=1000"),
                1: (10, "v1 position=11 stream_time_ms=1000"),
            },
        ),
        ("committed", 0, 1),
        ("committed", 1, 11),
        ("revoke", 1, "kept"),
    ]


def test_a_partition_that_was_revoked_is_in_no_later_commit(scene: Scene) -> None:
    journal = scene.play(
        assign(0, 1), revoke(1), bring(record(0, 0), record(1, 10)), scene.wait(1_000)
    )
    after = journal[journal.index(("revoke", 1, "kept")) :]
    assert [set(entry[1]) for entry in after if entry[0] == "commit"] == [{0}]
    assert ("submit", [0]) in after


def test_a_commit_refused_while_handing_over_undoes_the_others_too(scene: Scene) -> None:
    def refuse() -> None:
        scene.desk.refuses.append(RollBackError("another generation"))

    scene.play(
        assign(0, 1), bring(record(0, 0), record(1, 10)), scene.then(refuse), revoke(1),
        scene.wait(1_000),
    )  # fmt: skip
    after = scene.journal[scene.journal.index(("abort",)) :]
    assert [entry for entry in after if entry[0] in ("revoke", "assign", "commit")] == [
        ("revoke", 0, "not kept"),
        ("revoke", 1, "not kept"),
        ("assign", 0, 0, 1),
        ("commit", {0: (0, "v1 position=0 stream_time_ms=-1")}),
        ("revoke", 0, "kept"),
    ]


def test_a_lost_partition_is_undone_and_forgotten_without_a_commit(scene: Scene) -> None:
    journal = scene.play(assign(0), bring(record(0, 0)), lose(0), scene.wait(1_000))
    after = journal[journal.index(("submit", [0])) :]
    assert after[1:3] == [("abort",), ("revoke", 0, "not kept")]
    assert [entry for entry in after if entry[0] == "commit"] == []


def test_a_partition_comes_back_as_a_new_one(scene: Scene) -> None:
    scene.play(
        assign(0), bring(record(0, 0)), revoke(0), scene.wait(1), assign(0), bring(record(0, 0))
    )
    assert len(set(scene.engine.parts)) == 2, "two owners tell their sums under one name"
    assert scene.of("assign", "submit", "revoke") == [
        ("assign", 0, 0, 1),
        ("submit", [0]),
        ("revoke", 0, "kept"),
        ("assign", 0, 0, 1),
        ("submit", [0]),
        ("revoke", 0, "kept"),
    ]


def test_rebalances_that_change_nothing_do_nothing(scene: Scene) -> None:
    scene.play(assign(), revoke(), lose())
    assert scene.of("read", "commit", "assign", "abort") == []


def test_a_stop_commits_and_leaves_and_decides_nothing(scene: Scene) -> None:
    journal = scene.play(assign(0), bring(record(0, 0)))
    after = journal[journal.index(("submit", [0])) :]
    assert [entry[0] for entry in after] == [
        "submit", "commit", "committed", "revoke", "close",
    ]  # fmt: skip


def test_a_stop_waits_for_brokers_that_are_away_only_so_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    def away(_consumer: object, _offsets: object, overdue: Callable[[], bool]) -> None:
        while not overdue():
            scene.now_ms += 1_000
            waited.append(scene.now_ms)
        raise FailStopError("not acknowledged in time")

    monkeypatch.setattr(scene.desk, "commit", away)
    with pytest.raises(FailStopError):
        scene.play(scene.wait(1))
    assert waited[-1] - waited[0] == SETTINGS.stop_timeout_ms
    assert scene.of("commit") == []


# What it tells


def test_a_partitions_clock_is_held_against_the_wall_clock(scene: Scene) -> None:
    scene.play(assign(0, 1), bring(record(0, 0, 7_000)), scene.wait(9_000), scene.wait(500))
    delays = {one.partition: one.stream_delay_ms for one in scene.vitals.read().partitions}
    assert delays == {0: 2_000, 1: None}


def test_the_store_is_asked_once_a_second_and_what_it_said_stands_while_it_fails(
    scene: Scene,
) -> None:
    scene.engine.figures = [StoreFigures(5, 10, 2), StoreFigures(6, 20, 4)]
    seen: list[StoreStanding | None] = []
    look = scene.then(lambda: seen.append(scene.vitals.read().store))
    scene.play(
        scene.wait(0), look, scene.wait(STORE_MS), look,
        assign(0), look,  # shown at once, and the store is not asked
        scene.wait(STORE_MS), look,
    )  # fmt: skip
    first, second = StoreStanding(5, 10, 2), StoreStanding(6, 20, 4)
    assert seen == [first, second, second, second]
    assert scene.engine.asked_store == 3


def test_traces_that_were_decided_before_an_abort_are_counted_when_they_are_decided_again(
    scene: Scene,
) -> None:
    def decided(count: int) -> Callable[[], None]:
        counts = Counts(
            traces=(count, *[0] * 11), delays=(count, *[0] * 17), delay_ms=90 * count,
            dead=(count, *[0] * (len(REASONS) - 1)),
        )  # fmt: skip
        return lambda: setattr(scene.engine, "told", counts)

    scene.play(
        assign(0),
        scene.then(decided(3), record(0, 0)),
        scene.wait(1_000),
        scene.then(decided(8), record(0, 1)),
        scene.then(lambda: scene.desk.refuses.append(RollBackError("no"))),
        scene.wait(1_000),  # aborted: the five are undone
        scene.then(decided(5), record(0, 1)),
        scene.wait(1_000),
    )
    totals = scene.vitals.read().totals.counts
    assert totals.decided("not_sampled", "complete") == sum(totals.delays) == 3 + 5
    assert totals.delay_ms == 90 * 8
    assert totals.records_dead == 8


# The disk


def fill(scene: Scene) -> Callable[[], None]:
    def full() -> None:
        scene.disk.full = True
        scene.engine.raises[1] = [StoreError("cannot write block 7: No space left on device")]

    return full


def test_a_full_disk_stops_everything_until_there_is_room(scene: Scene) -> None:
    with capture_logs() as logs:
        scene.play(
            assign(0),
            bring(record(0, 0)),
            scene.then(fill(scene), record(0, 1)),
            bring(record(0, 2)),
            scene.wait(MEND_MS),
            scene.wait(MEND_MS),
            scene.then(lambda: setattr(scene.disk, "full", False)),
            scene.wait(MEND_MS),
            bring(record(0, 1)),
        )
    assert scene.of("submit", "abort", "reopen", "assign") == [
        ("assign", 0, 0, 1),
        ("submit", [0]),
        ("abort",),
        ("reopen",),
        ("assign", 0, 0, 1),
        ("submit", [1]),
    ]
    said = [one["event"] for one in logs if one["event"].startswith("store_")]
    assert said == ["store_failed", "store_failed_again", "store_failed_again", "store_mended"]


def test_while_the_disk_is_full_nothing_is_committed(scene: Scene) -> None:
    scene.play(
        assign(0),
        scene.wait(1_000),
        scene.then(fill(scene), record(0, 1)),
        scene.wait(1_000),
        scene.wait(1_000),
    )
    after = scene.journal[scene.journal.index(("abort",)) :]
    assert [entry for entry in after if entry[0] == "commit"] == []


# Poison


def test_a_record_that_makes_the_engine_raise_is_set_aside_and_the_others_go_on(
    scene: Scene,
) -> None:
    records = [record(0, 0), record(0, 1), record(0, 2)]
    scene.engine.raises[1] = [ValueError("first"), ValueError("alone")]
    with capture_logs() as logs:
        scene.play(
            assign(0),
            bring(*records),  # raises
            scene.wait(1),
            bring(*records),  # one at a time: the second raises again
            scene.wait(1),
            bring(*records),  # goes to the dead letters
            bring(record(0, 3)),
        )
    assert scene.of("submit", "abort") == [
        ("abort",),
        ("submit", [0]),
        ("abort",),
        ("submit", [0]),
        ("submit", [1]),
        ("submit", [2]),
        ("submit", [3]),
    ]
    problems = [one["problem"] for one in logs if one["event"] == "engine_failed"]
    assert [problem.partition(" at ")[0] for problem in problems] == ["ValueError", "ValueError"]


def test_when_time_alone_makes_the_engine_raise_all_is_undone_and_in_the_end_it_stops(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advance(_partition: int, _stream_time_ms: int) -> Outcome:
        raise ValueError("a verdict")

    monkeypatch.setattr(scene.engine, "advance", advance)
    scene.starts[0] = Start(Checkpoint(1, 1, 5_000), 0)
    again = [bring(end(0, 1)), scene.wait(150), scene.wait(1)]
    with capture_logs() as logs, pytest.raises(FailStopError, match="ValueError at"):
        scene.play(assign(0), scene.wait(1), *(again * (IN_A_ROW + 5)))
    assert len(scene.of("abort")) == IN_A_ROW - 1
    assert [one["event"] for one in logs].count("engine_failed") == IN_A_ROW - 1


# Overload


def test_over_the_soft_limit_those_ahead_wait_for_the_one_behind(scene: Scene) -> None:
    def fill_up() -> None:
        scene.engine.spans = 60

    def drain() -> None:
        scene.engine.spans = 40

    scene.play(
        assign(0, 1),
        bring(record(0, 0, 2_000), record(1, 10, 1_000)),
        scene.then(fill_up),
        scene.wait(1_000),
        bring(record(0, 1), record(1, 11)),
        scene.then(drain),
        scene.wait(1_000),
        bring(record(0, 1), record(1, 12)),
    )
    after = scene.journal[scene.journal.index(("submit", [0, 10])) + 1 :]
    assert [entry for entry in after if entry[0] in ("pause", "read", "resume", "submit")] == [
        ("pause", 0),
        ("submit", [11]),
        ("read", 0, 1),
        ("resume", 0),
        ("submit", [1, 12]),
    ]


@pytest.mark.parametrize("stream_time_ms", [-1, 1_000])
def test_a_partition_with_nothing_to_read_holds_nobody_up_however_far_behind(
    scene: Scene, stream_time_ms: int
) -> None:
    day_ms = 86_400_000
    scene.now_ms = 2 * day_ms
    scene.starts[1] = Start(Checkpoint(10, 10, stream_time_ms), 0)
    scene.play(
        assign(0, 1),
        bring(record(0, 0, day_ms), end(1, 10)),
        scene.then(lambda: setattr(scene.engine, "spans", 60)),
        scene.wait(1_000),
        bring(record(0, 1, day_ms)),
    )
    assert scene.of("submit") == [("submit", [0]), ("submit", [1])]


# Time, policies and counts


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
    publish = scene.then(lambda: scene.following.coming.append(PolicySets(OTHER)))
    scene.play(assign(0), bring(record(0, 0)), publish, bring(record(0, 1)))
    assert scene.of("submit", "use") == [
        ("submit", [0]),
        ("use", OTHER.version),
        ("submit", [1]),
    ]


def test_batches_have_their_turn_while_buffered_spans_are_read_for_another_set(
    scene: Scene,
) -> None:
    def tick() -> None:
        scene.now_ms += SLICE_MS // 2

    scene.engine.tick, scene.engine.needed = tick, 5
    publish = scene.then(lambda: scene.following.coming.append(PolicySets(OTHER)))
    scene.play(assign(0), publish, *(bring(record(0, offset)) for offset in range(5)))
    assert scene.of("submit", "use", "in force") == [
        ("use", OTHER.version),
        ("submit", [0]),
        ("submit", [1]),
        ("in force", OTHER.version),
        ("submit", [2]),
        ("submit", [3]),
        ("submit", [4]),
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


# The control plane


def test_what_is_summed_up_is_told_from_when_there_is_somebody_to_tell(scene: Scene) -> None:
    scene.beyond.come_at_ms = 3_000
    scene.play(assign(0), *[scene.wait(1_000)] * 4)
    kinds = ("ask of services", "summaries")
    assert scene.of(*kinds) == [
        ("ask of services", 64),
        ("summaries", ["of 0"], 3),
        ("summaries", ["the rest of 0"], 3),
    ]


def test_what_the_control_plane_tells_is_learned(scene: Scene) -> None:
    scene.beyond.tables = [(b"rates/all", "a table")]
    scene.play(assign(0))
    assert scene.of("learn") == [("learn", b"rates/all", "a table")]
