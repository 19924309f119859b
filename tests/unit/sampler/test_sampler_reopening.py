"""What a partition is taken over with: blocks that fit are gone on from, all others are deleted."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Checkpoint, Limits, Outcome, PastDecision, Sampler
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import RecordBatch, join
from streamsampler.store import Block, BlockStore, decode_block, encode_block

WAIT_MS, TTL_MS = 10_000, 60_000
POLICIES = load_policy_set(
    f"""
    decision_wait: {WAIT_MS}ms
    completion_grace: 1s
    decision_ttl: {TTL_MS}ms
    policies: [{{name: all, type: always_sample}}]
    """,
    "table",
)
LIMITS = Limits(block_bytes=100)
A, B, C = b"a" * 16, b"b" * 16, b"c" * 16
NOTHING = Outcome([], [], [])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    with BlockStore(tmp_path / "blocks") as opened:
        yield opened


def record(number: int, trace: bytes = A, *more: int) -> bytes:
    """Spans whose parent never comes; one fills a third of a block."""
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    for one in (number, *more):
        span = scope.spans.add()
        span.trace_id, span.span_id = trace, (one + 1).to_bytes(8)
        span.parent_span_id = b"parent.."
    return data.SerializeToString()


def batch_of(
    values: Sequence[bytes], first: int, times_ms: Sequence[int] | None = None
) -> RecordBatch:
    n = len(values)
    times = times_ms or [1000 + 10 * (first + at) for at in range(n)]
    return join([0] * n, range(first, first + n), times, [None] * n, values, [None] * n)


def begun(store: BlockStore, spans: int = 12, committed: int = 12) -> tuple[Sampler, Checkpoint]:
    """An engine that has taken in so many spans, one each 10 ms, of two traces in turn."""
    sampler = Sampler(POLICIES, store, LIMITS)
    sampler.assign(0)
    for at in range(spans):
        sampler.submit(batch_of([record(at, (A, B)[at % 2])], at))
        if at + 1 == committed:
            checkpoint = sampler.checkpoint(0)
            sampler.committed(0, checkpoint)
    return sampler, checkpoint


def spans_out(outcome: Outcome) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for one in outcome.emissions:
        found[one.trace_id] = found.get(one.trace_id, 0) + one.spans
    return found


# In order.


def test_what_was_kept_need_not_be_read_again(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    before = sampler.counts(0)
    size = sampler.revoke(0, keep=True)
    assert size == store.partitions()[0] > 12 * len(record(1))
    assert sampler.assign(0, checkpoint) == checkpoint.position == 12
    assert sampler.not_reopened(0) == ""
    assert sampler.checkpoint(0) == checkpoint
    assert sampler.stream_time_ms(0) == 1110
    sampler.recall(0, [])
    after = sampler.counts(0)
    assert (after.buffered, after.traces_buffered) == (before.buffered, before.traces_buffered)
    assert after.conserved()
    outcome = sampler.advance(0, 1000 + WAIT_MS)
    assert [(one.trace_id, one.decided_at_ms) for one in outcome.decisions] == [(A, 1000 + WAIT_MS)]
    outcome = sampler.advance(0, 1010 + WAIT_MS)
    assert spans_out(outcome) == {B: 6}


def test_the_clock_is_as_it_was_though_records_were_not_stored(store: BlockStore) -> None:
    sampler = Sampler(POLICIES, store, LIMITS)
    sampler.assign(0)
    # The second is a duplicate and is not stored, nor is the last; both move the clock.
    sampler.submit(
        batch_of([record(1), record(1), record(2, B), record(2, B)], 0, [1000, 5000, 2000, 7000])
    )
    checkpoint = sampler.checkpoint(0)
    sampler.committed(0, checkpoint)
    sampler.revoke(0, keep=True)
    sampler.assign(0, checkpoint)
    sampler.recall(0, [])
    assert sampler.stream_time_ms(0) == 7000
    decisions = sampler.advance(0, 10**6).decisions
    assert [one.decided_at_ms for one in decisions] == [1000 + WAIT_MS, 5000 + WAIT_MS]


def test_nothing_is_kept_where_nothing_is_undecided(store: BlockStore) -> None:
    sampler, _ = begun(store)
    sampler.advance(0, 10**6)
    checkpoint = sampler.checkpoint(0)
    sampler.committed(0, checkpoint)
    assert sampler.revoke(0, keep=True) == 0
    assert store.partitions() == {}
    assert sampler.assign(0, checkpoint) == 12


def test_only_what_is_committed_is_kept(store: BlockStore) -> None:
    sampler, _ = begun(store, committed=11)
    with pytest.raises(ValueError, match="partition 0 stands at 12, and 11 is committed"):
        sampler.revoke(0, keep=True)
    assert sampler.partitions == (0,)


def test_a_partition_comes_and_goes_again_and_again(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    for time in range(5):
        sampler.revoke(0, keep=True)
        assert sampler.assign(0, checkpoint) == 12 + time
        sampler.recall(0, [])
        sampler.submit(batch_of([record(100 + time)], 12 + time))
        checkpoint = sampler.checkpoint(0)
        sampler.committed(0, checkpoint)
    assert spans_out(sampler.finish()) == {A: 11, B: 6}
    assert sampler.counts(0).conserved()


# Stopped in between.


def test_a_store_tells_of_what_was_committed_and_no_more(store: BlockStore) -> None:
    sampler, checkpoint = begun(store, spans=30, committed=12)
    held = [decode_block(value) for _, value in store.blocks(0)]
    assert max(int(block.offsets[-1]) for block in held) > 12
    sampler.revoke(0)
    assert sampler.assign(0, checkpoint) == 12
    # The blocks beyond it are gone, and what comes again is stored anew.
    sampler.submit(batch_of([record(at, (A, B)[at % 2]) for at in range(12, 30)], 12))
    assert spans_out(sampler.finish()) == {A: 15, B: 15}


@pytest.mark.parametrize("committed", [9, 10, 11])
def test_what_an_aborted_transaction_stored_does_not_count(
    store: BlockStore, committed: int
) -> None:
    values = [record(at, (A, B)[at % 2]) for at in range(30)]
    sampler, checkpoint = begun(store, committed, committed)
    # Aborted: time moved on and decided A, so that its next spans were late and are not stored.
    sampler.advance(0, 1000 + WAIT_MS)
    sampler.submit(batch_of(values[committed:], committed))
    sampler.revoke(0)
    position = sampler.assign(0, checkpoint)
    if position < committed:
        sampler.submit(batch_of(values[position:committed], position))
    sampler.recall(0, [])
    # Not so the second time.
    sampler.submit(batch_of(values[committed:24], committed))
    checkpoint = sampler.checkpoint(0)
    sampler.committed(0, checkpoint)
    sampler.revoke(0, keep=True)
    assert sampler.assign(0, checkpoint) == 24
    sampler.recall(0, [])
    counts = sampler.counts(0)
    assert (counts.buffered, counts.duplicates) == (24, 0)
    assert spans_out(sampler.finish()) == {A: 12, B: 12}


def test_spans_of_traces_decided_since_are_passed_over(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    sampler.revoke(0, keep=True)
    past = PastDecision(A, "not_sampled", None, 1000 + WAIT_MS)
    assert sampler.assign(0, replace(checkpoint, low_watermark=1), [past]) == 12
    sampler.recall(0, [])
    assert sampler.counts(0).buffered == 6
    assert spans_out(sampler.finish()) == {B: 6}


def test_blocks_without_undecided_spans_are_deleted_at_once(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    sampler.revoke(0, keep=True)
    past = [PastDecision(trace, "not_sampled", None, 1000 + WAIT_MS) for trace in (A, B)]
    later = replace(checkpoint, low_watermark=11)
    assert sampler.assign(0, later, past) == 12
    assert store.partitions() == {}


def test_old_blocks_are_deleted(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    sampler.revoke(0, keep=True)
    blocks = len(list(store.blocks(0)))
    past = [PastDecision(A, "sampled", "all", 1000 + WAIT_MS)]
    assert sampler.assign(0, replace(checkpoint, low_watermark=9), past) == 12
    assert 0 < len(list(store.blocks(0))) < blocks
    sampler.recall(0, [])
    assert spans_out(sampler.finish()) == {B: 2}


# Decisions that are read back late.


def test_an_older_decision_takes_its_trace_out_again(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    sampler.revoke(0, keep=True)
    sampler.assign(0, checkpoint)
    assert sampler.counts(0).traces_buffered == 2
    sampler.recall(0, [PastDecision(A, "sampled", "all", 900)])
    counts = sampler.counts(0)
    assert (counts.traces_buffered, counts.buffered, counts.spans_in) == (1, 6, 6)
    assert counts.conserved()
    assert spans_out(sampler.finish()) == {B: 6}


@pytest.mark.parametrize(("before_ms", "found"), [(TTL_MS, {}), (TTL_MS + 1000, {A: 1})])
def test_an_older_decision_counts_until_its_time_is_over(
    store: BlockStore, before_ms: int, found: dict[bytes, int]
) -> None:
    sampler = Sampler(POLICIES, store, LIMITS)
    sampler.assign(0)
    sampler.submit(batch_of([record(1)], 0, [200_000]))
    checkpoint = sampler.checkpoint(0)
    sampler.committed(0, checkpoint)
    sampler.revoke(0, keep=True)
    sampler.assign(0, checkpoint)
    sampler.recall(0, [PastDecision(A, "sampled", "all", 200_000 - before_ms)])
    assert spans_out(sampler.finish()) == found


def test_older_decisions_steer_late_spans(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    sampler.revoke(0, keep=True)
    sampler.assign(0, checkpoint, [PastDecision(B, "not_sampled", None, 1050)])
    older = [PastDecision(B, "sampled", "all", 900), PastDecision(C, "sampled", "all", 900)]
    sampler.recall(0, older)
    outcome = sampler.submit(batch_of([record(1, B), record(1, C)], 12))
    assert [one.trace_id for one in outcome.emissions] == [C]
    assert outcome.decisions == []


def test_nothing_is_decided_before_all_decisions_are_there(store: BlockStore) -> None:
    sampler, checkpoint = begun(store, spans=30, committed=12)
    sampler.revoke(0)
    store.clear(0)
    assert sampler.assign(0, checkpoint) == 0
    times = [1000, 10**6, *[10**6] * 10]
    assert sampler.submit(batch_of([record(at) for at in range(12)], 0, times)) == NOTHING
    assert sampler.advance(0, 10**7) == NOTHING
    assert sampler.stream_time_ms(0) == 10**6
    sampler.recall(0, [])
    (decision,) = sampler.submit(batch_of([record(50, B)], 12, [10**6])).decisions
    assert (decision.trace_id, decision.spans) == (A, 12)


# What does not fit.


def changed(**fields: int) -> Callable[[BlockStore], None]:
    """Change a field of the header of the last block but one."""

    def change(store: BlockStore) -> None:
        number, value = list(store.blocks(0))[-2]
        block = decode_block(value)
        store.put(0, number, again(replace(block, **fields)))  # type: ignore[arg-type]  # by name

    return change


def again(block: Block) -> bytes:
    return encode_block(block, [block.body])


def older_version(store: BlockStore) -> None:
    number, value = list(store.blocks(0))[1]
    size = int.from_bytes(value[:4], "little")
    assert value[4:6] == b"\x9e\x02"
    store.put(0, number, value[:5] + b"\x01" + value[6 : 4 + size] + value[4 + size :])


def cut_short(store: BlockStore) -> None:
    number, value = list(store.blocks(0))[1]
    store.put(0, number, value[:-1])


def last_is_foreign(store: BlockStore) -> None:
    store.put(0, 10_000, b"not a block")


def of_another_partition(store: BlockStore) -> None:
    other = Sampler(POLICIES, store, LIMITS)
    other.assign(1)
    values = [record(at) for at in range(12)]
    other.submit(join([1] * 12, range(12), [1000] * 12, [None] * 12, values, [None] * 12))
    for number, value in store.blocks(1):
        store.put(0, number, value)


def twice(store: BlockStore) -> None:
    number, value = list(store.blocks(0))[-1]
    store.put(0, number + 1, value)


MISFITS: dict[str, Callable[[BlockStore], None]] = {
    "an older version": older_version,
    "a block that is cut short": cut_short,
    "a last block that is none": last_is_foreign,
    "blocks of another partition": of_another_partition,
    "a block under two numbers": twice,
    "another partition in a header": changed(partition=1),
    "another number in a header": changed(number=77),
    "a block of another beginning": changed(began=5),
    "a block from before it": changed(since=-1),
    "a block that goes on too early": changed(since=1),
    "a block that goes on too late": changed(since=1000),
    "a commit that falls": changed(until=-1),
    "a commit that rises too far": changed(until=1000),
}


@pytest.mark.parametrize("name", MISFITS)
def test_blocks_that_do_not_fit_are_deleted_and_read_again(store: BlockStore, name: str) -> None:
    sampler, checkpoint = begun(store)
    sampler.revoke(0, keep=True)
    MISFITS[name](store)
    assert sampler.assign(0, checkpoint) == checkpoint.low_watermark == 0
    assert sampler.not_reopened(0)
    assert 0 not in store.partitions()
    assert sampler.counts(0).spans_in == 0
    sampler.submit(batch_of([record(at, (A, B)[at % 2]) for at in range(12)], 0))
    sampler.recall(0, [])
    assert spans_out(sampler.finish()) == {A: 6, B: 6}
    assert sampler.counts(0).conserved()


REACHES: dict[str, tuple[Checkpoint, str]] = {
    "it begins behind the low watermark": (
        Checkpoint(2, 20, 1000), "they tell of offsets 5 to 17 and the group stands at 2 to 20"),
    "it ends at the low watermark": (
        Checkpoint(17, 30, 1000), "they tell of offsets 5 to 17 and the group stands at 17 to 30"),
    "it goes beyond the position": (
        Checkpoint(6, 16, 1000), "they tell of offsets 5 to 17 and the group stands at 6 to 16"),
    "nothing is undecided": (Checkpoint(17, 17, 1000), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REACHES)
def test_a_store_that_tells_of_something_else_is_cleared(store: BlockStore, name: str) -> None:
    resume, reason = REACHES[name]
    sampler = Sampler(POLICIES, store, LIMITS)
    sampler.assign(0, Checkpoint(5, 5, 1000))
    sampler.submit(batch_of([record(at) for at in range(12)], 5))
    sampler.committed(0, sampler.checkpoint(0))
    sampler.revoke(0, keep=True)
    assert sampler.assign(0, resume) == resume.low_watermark
    assert sampler.not_reopened(0) == reason
    assert store.partitions() == {}


def test_without_a_checkpoint_what_is_left_over_is_deleted(store: BlockStore) -> None:
    sampler, _ = begun(store)
    sampler.revoke(0, keep=True)
    assert sampler.assign(0) == 0
    assert store.partitions() == {}


def test_a_wrong_byte_on_the_disk_costs_one_partition_only(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    with BlockStore(path) as store:
        sampler = Sampler(POLICIES, store, Limits(block_bytes=10_000))
        checkpoints = {}
        for partition in range(3):
            sampler.assign(partition)
            values = [record(at) + b"\x7a\x80\x50" + os.urandom(10_240) for at in range(20)]
            batch = join([partition] * 20, range(20), [1000] * 20, [None] * 20, values, [None] * 20)
            sampler.submit(batch)
            checkpoints[partition] = sampler.checkpoint(partition)
            sampler.committed(partition, checkpoints[partition])
            sampler.revoke(partition, keep=True)
    (table,) = path.glob("*.sst")
    with table.open("r+b") as file:
        file.seek(310_000)
        (byte,) = file.read(1)
        file.seek(310_000)
        file.write(bytes([byte ^ 1]))
    with BlockStore(path) as store:
        sampler = Sampler(POLICIES, store)
        read_from = {p: sampler.assign(p, checkpoint) for p, checkpoint in checkpoints.items()}
        assert read_from == {0: 20, 1: 0, 2: 20}
        assert "checksum mismatch" in sampler.not_reopened(1)
        assert [sampler.counts(p).buffered for p in range(3)] == [20, 0, 20]


# Left behind.


def test_what_was_kept_too_long_is_discarded(store: BlockStore) -> None:
    sampler, checkpoint = begun(store)
    with pytest.raises(ValueError, match="partition 0 is held"):
        sampler.discard(0)
    sampler.revoke(0, keep=True)
    sampler.discard(0)
    assert store.partitions() == {}
    assert sampler.assign(0, checkpoint) == 0


def test_offsets_that_were_skipped_are_counted(store: BlockStore) -> None:
    sampler, _ = begun(store)
    sampler.skip(0, 5)
    sampler.skip(0, 2)
    assert sampler.counts(0).offsets_skipped == 7
