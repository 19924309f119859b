"""The database: blocks by partition and number, one owner, errors in words."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.store import (
    LATE_SPAN,
    Block,
    BlockStore,
    StoreError,
    StoreSettings,
    encode_block,
)
from streamsampler.store.figures import written_bytes

FAR = 2**31 - 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    with BlockStore(tmp_path / "blocks") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    with BlockStore(tmp_path_factory.mktemp("rocks") / "blocks") as opened:
        yield opened


def block_bytes(number: int, body: bytes) -> bytes:
    one = np.zeros(1, np.int64)
    block = Block(
        partition=0, number=number, began=0, since=0, until=1, until_ms=0, offsets=one,
        stream_ms=one, late=np.empty(0, LATE_SPAN),
        bounds=np.array([0, len(body)], np.int64), whole=np.ones(1, np.uint8),
        spans=np.ones(1, np.int32), headers={}, body=np.frombuffer(body, np.uint8),
    )  # fmt: skip
    return encode_block(block, [block.body])


def test_a_block_comes_back_as_it_was_put(store: BlockStore) -> None:
    store.put(5, 9, b"\0value\xff")
    assert store.get(5, 9) == b"\0value\xff"


def test_a_block_that_is_not_there_is_named(store: BlockStore, tmp_path: Path) -> None:
    store.put(5, 9, b"x")
    store.delete(5, [9])
    sentence = f"block 9 of partition 5 is not in {tmp_path / 'blocks'}"
    for ask in (store.get, store.block):
        with pytest.raises(StoreError) as error:
            ask(5, 9)
        assert str(error.value) == sentence


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete", "clear"]),
        st.sampled_from([0, 1, 2, 255, 256, FAR]),
        st.integers(0, 5),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_partitions_do_not_touch_each_other(shared: BlockStore, steps: list[Step]) -> None:
    partitions = [0, 1, 2, 255, 256, FAR]
    twin: dict[int, dict[int, bytes]] = {partition: {} for partition in partitions}
    for partition in partitions:
        shared.clear(partition)
    for value, (name, partition, size) in enumerate(steps):
        held = twin[partition]
        match name:
            case "put":
                number = 255 * (max(held, default=-1) + 1 + size)
                held[number] = b"%d" % value
                shared.put(partition, number, held[number])
            case "delete":
                gone = list(held)[:size]
                shared.delete(partition, gone)
                twin[partition] = {one: held[one] for one in held if one not in gone}
            case _:
                assert shared.clear(partition) == max(held, default=-1) + 1
                twin[partition] = {}
        for one in partitions:
            assert list(shared.blocks(one)) == sorted(twin[one].items())
            assert shared.last(one) == max(twin[one], default=None)
        sizes = {one: sum(map(len, blocks.values())) for one, blocks in twin.items() if blocks}
        assert shared.partitions() == sizes


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "blocks"
    with BlockStore(path) as store:
        for number in range(20):
            store.put(1, number, bytes(1000))
        store.delete(1, [0, 19])
    with BlockStore(path) as store:
        assert [number for number, _ in store.blocks(1)] == list(range(1, 19))
        assert store.partitions() == {1: 18_000}
        assert store.table_bytes() > 0
        assert store.rebuilt == ""


def test_what_was_put_and_what_went_to_the_disk_is_counted_over_reopenings(
    tmp_path: Path,
) -> None:
    settings = StoreSettings(write_buffer_bytes=6 << 20)
    with BlockStore(tmp_path / "blocks", settings) as store:
        assert store.figures() == (0, 0, 0)
        for number in range(100):
            store.put(1, number, os.urandom(100_000))
        store.reopen()
        before = store.figures()
        assert before.put_bytes == 10_000_000
        assert 10_000_000 < before.table_bytes <= before.written_bytes
        store.put(1, 100, os.urandom(100_000))
        store.reopen()
        after = store.figures()
        assert after.put_bytes == 10_100_000
        assert after.written_bytes > before.written_bytes + 100_000


def test_blocks_that_are_deleted_in_time_never_go_to_the_disk(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        for number in range(100):
            store.put(1, number, os.urandom(100_000))
        store.delete(1, list(range(100)))
        store.reopen()
        assert store.figures().put_bytes == 10_000_000
        assert store.figures().written_bytes < 10_000


def test_a_store_that_is_closed_tells_no_figures(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        pass
    with pytest.raises(StoreError, match="cannot tell what was written"):
        store.figures()


def test_statistics_that_do_not_say_what_was_written_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no rocksdb\.compact\.write\.bytes"):
        written_bytes("rocksdb.flush.write.bytes COUNT : 5\nrocksdb.stall.micros COUNT : 0")


def test_a_reader_that_stops_halfway_does_not_keep_the_folder(tmp_path: Path) -> None:
    store = BlockStore(tmp_path / "blocks")
    for number in range(5):
        store.put(0, number, b"x")
    reader = store.blocks(0)
    assert next(reader) == (0, b"x")
    del reader
    store.close()
    with BlockStore(tmp_path / "blocks") as again:
        assert len(list(again.blocks(0))) == 5


def test_only_a_store_that_is_open_elsewhere_is_said_to_be(tmp_path: Path) -> None:
    odd = tmp_path / "blocks"  # a name with a lock in it
    (odd / "CURRENT").mkdir(parents=True)
    with BlockStore(tmp_path / "held"), pytest.raises(StoreError) as held:
        BlockStore(tmp_path / "held")
    with pytest.raises(StoreError) as unreachable:
        BlockStore(odd)
    hint = "another worker has it open"
    assert [hint in str(one.value) for one in (held, unreachable)] == [True, False]


def test_a_second_opener_is_refused(store: BlockStore, tmp_path: Path) -> None:
    store.put(0, 0, b"x")
    with pytest.raises(StoreError, match=f"cannot open the block store at {tmp_path}"):
        BlockStore(tmp_path / "blocks")
    assert store.get(0, 0) == b"x"


def test_a_closed_store_lets_the_folder_go(tmp_path: Path) -> None:
    BlockStore(tmp_path / "blocks").close()
    BlockStore(tmp_path / "blocks").close()
    with BlockStore(tmp_path / "blocks") as store:
        assert list(store.blocks(0)) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_path_that_is_a_file_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not ours")
    with pytest.raises(StoreError, match="cannot open the block store at"):
        BlockStore(tmp_path / place)
    assert (tmp_path / "file").read_text() == "not ours"


def test_a_damaged_block_is_named(store: BlockStore) -> None:
    store.put(0, 3, b"no block")
    with pytest.raises(StoreError, match=r"block 3 in .* is damaged: block header"):
        store.block(0, 3)


def test_a_block_read_a_moment_ago_is_not_read_again(store: BlockStore) -> None:
    store.put(0, 1, block_bytes(1, b"body"))
    first = store.block(0, 1)
    assert first.value(0) == b"body"
    assert store.block(0, 1) is first
    store.delete(0, [1])
    with pytest.raises(StoreError):
        store.block(0, 1)


def test_the_blocks_kept_in_memory_are_bounded(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks", StoreSettings(block_cache_bytes=250)) as store:
        for number in range(4):
            store.put(0, number, block_bytes(number, bytes(100)))
        first = [store.block(0, number) for number in range(4)]
        # Room for two; the newest two are the ones kept.
        again = [store.block(0, number) for number in (3, 2, 1, 0)]
        assert [a is b for a, b in zip(again, first[::-1], strict=True)] == [
            True,
            True,
            False,
            False,
        ]
        assert [block.value(0) for block in again] == [bytes(100)] * 4


def test_a_block_larger_than_the_room_is_still_given(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks", StoreSettings(block_cache_bytes=10)) as store:
        store.put(0, 0, block_bytes(0, bytes(100)))
        store.put(0, 1, block_bytes(1, b"other"))
        assert store.block(0, 0).value(0) == bytes(100)
        assert store.block(0, 1).value(0) == b"other"


def test_a_cleared_partition_is_gone_from_memory_too(store: BlockStore) -> None:
    store.put(0, 0, block_bytes(0, b"old"))
    store.block(0, 0)
    assert store.clear(0) == 1
    store.put(0, 0, block_bytes(0, b"new"))
    assert store.block(0, 0).value(0) == b"new"


def test_memory_is_counted(store: BlockStore) -> None:
    before = store.memory_bytes()
    for number in range(50):
        store.put(0, number, bytes(10_000))
    assert store.memory_bytes() >= before + 500_000


# Whose it is.


def test_a_store_is_claimed_once(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        assert store.claim("here")
        store.put(3, 0, b"x")
        assert store.claim("here")
    with BlockStore(tmp_path / "blocks") as store:
        assert store.claim("here")
        assert store.partitions() == {3: 1}


@pytest.mark.parametrize("before", ["there", None])
def test_what_is_anothers_is_deleted(tmp_path: Path, before: str | None) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        if before is not None:
            assert store.claim(before)
        for partition in (0, 1, FAR):
            store.put(partition, 5, b"x")
    with BlockStore(tmp_path / "blocks") as store:
        assert not store.claim("here")
        assert store.partitions() == {}
        assert [list(store.blocks(partition)) for partition in (0, 1, FAR)] == [[], [], []]
        assert store.claim("here")


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (("here", "1"), ("here", "1"), True),
        (("here", "1"), ("here", "2"), False),  # the topic was made anew
        (("here", "1"), ("here", ""), True),  # the broker does not tell
        (("here", ""), ("here", "1"), True),
        (("here", "1"), ("there", ""), False),
        (("here", "1"), ("there", "1"), False),
    ],
)
def test_an_incarnation_that_is_not_known_is_any(
    tmp_path: Path, before: tuple[str, str], now: tuple[str, str], *, kept: bool
) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        assert store.claim(*before)
        store.put(3, 0, b"x")
    with BlockStore(tmp_path / "blocks") as store:
        assert store.claim(*now) is kept
        assert store.partitions() == ({3: 1} if kept else {})


def test_an_incarnation_is_remembered_while_it_is_not_told(tmp_path: Path) -> None:
    for told, kept in (("", True), ("1", True), ("", True), ("2", False)):
        with BlockStore(tmp_path / "blocks") as store:
            assert store.claim("here", told) is kept
            store.put(3, 0, b"x")


def test_an_empty_store_of_another_is_told_too(tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        assert store.claim("there")
    with BlockStore(tmp_path / "blocks") as store:
        assert not store.claim("here")


# Damage.


def _tables(path: Path) -> list[Path]:
    return sorted(path.glob("*.sst"))


def _cut(path: Path, pattern: str, size: int) -> None:
    for file in path.glob(pattern):
        with file.open("r+b") as opened:
            opened.truncate(size)


def _flip(file: Path, at: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        (byte,) = opened.read(1)
        opened.seek(at)
        opened.write(bytes([byte ^ 1]))


def _overwrite(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def _remove(path: Path, pattern: str) -> None:
    for file in path.glob(pattern):
        file.unlink()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "a table is cut": lambda path: _cut(path, "*.sst", 1000),
    "a table is missing": lambda path: _remove(path, "*.sst"),
    "a table's end is changed": lambda path: _flip(
        _tables(path)[0], _tables(path)[0].stat().st_size - 10
    ),
    "the manifest is missing": lambda path: _remove(path, "MANIFEST*"),
    "the manifest is cut": lambda path: _cut(path, "MANIFEST*", 20),
    "a byte of the manifest is changed": lambda path: _flip(next(path.glob("MANIFEST*")), 30),
    "CURRENT is missing": lambda path: _remove(path, "CURRENT"),
    "CURRENT is empty": lambda path: _cut(path, "CURRENT", 0),
    "CURRENT is something else": lambda path: _overwrite(path / "CURRENT", b"abc"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_database_is_made_anew(tmp_path: Path, name: str) -> None:
    path = tmp_path / "blocks"
    with BlockStore(path) as store:
        for number in range(20):
            store.put(0, number, os.urandom(10_000))
    DAMAGES[name](path)
    with BlockStore(path) as store:
        assert store.rebuilt
        assert store.partitions() == {}
        store.put(0, 0, b"x")
    with BlockStore(path) as store:
        assert store.rebuilt == ""
        assert store.get(0, 0) == b"x"


def damaged_inside(path: Path) -> BlockStore:
    """A store of partitions 0 to 2, ten blocks each; one of partition 1 has a wrong byte."""
    with BlockStore(path) as store:
        for partition in range(3):
            for number in range(10):
                store.put(partition, number, os.urandom(10_000))
    _flip(_tables(path)[0], 155_000)
    return BlockStore(path)


def test_a_wrong_byte_is_told_of_wherever_it_is_met(tmp_path: Path) -> None:
    with damaged_inside(tmp_path / "blocks") as store:
        assert store.rebuilt == ""
        readable: list[int] = []
        with pytest.raises(StoreError, match="cannot read the blocks of partition 1"):
            readable.extend(number for number, _ in store.blocks(1))
        (damaged,) = set(range(10)) - set(readable) - set(range(len(readable) + 1, 10))
        with pytest.raises(StoreError, match=f"cannot read block {damaged}"):
            store.get(1, damaged)
        for partition in (0, 2):
            assert len(list(store.blocks(partition))) == 10


def test_partitions_are_told_as_far_as_they_can_be_read(tmp_path: Path) -> None:
    with damaged_inside(tmp_path / "blocks") as store:
        sizes = store.partitions()
        assert (sizes[0], sizes[2]) == (100_000, 100_000)
        assert 0 < sizes[1] < 100_000


def test_a_partition_that_cannot_be_read_can_be_cleared(tmp_path: Path) -> None:
    with damaged_inside(tmp_path / "blocks") as store:
        store.clear(1)
        assert list(store.blocks(1)) == []
        assert sorted(store.partitions()) == [0, 2]
        store.put(1, 0, b"x")
        assert list(store.blocks(1)) == [(0, b"x")]
        assert len(list(store.blocks(2))) == 10


def test_a_store_that_was_found_damaged_is_made_anew_when_it_is_opened_again(
    tmp_path: Path,
) -> None:
    with damaged_inside(tmp_path / "blocks") as store:
        store.clear(1)
        store.claim("here")
        store.reopen()
        assert "block checksum mismatch" in store.rebuilt
        assert store.partitions() == {}
        assert store.claim("here")


def test_a_store_that_is_opened_again_has_what_it_had(store: BlockStore) -> None:
    store.put(0, 1, block_bytes(1, b"body"))
    store.reopen()
    assert store.rebuilt == ""
    assert store.block(0, 1).value(0) == b"body"


# A full disk.


@contextmanager
def no_room() -> Iterator[None]:
    """Files may not grow beyond some size, which is how a full disk looks to RocksDB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(store: BlockStore) -> None:
    for number in range(1, 5_000):
        store.put(0, number, os.urandom(10_000))


def test_a_full_disk_is_told_of_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    small = StoreSettings(write_buffer_bytes=1 << 20)
    store = BlockStore(tmp_path / "blocks", small)
    store.put(0, 0, b"early")
    with no_room():
        with pytest.raises(StoreError, match="cannot write block"):
            fill(store)
        with pytest.raises(StoreError):
            store.close()
    with BlockStore(tmp_path / "blocks", small) as again:
        assert again.rebuilt == ""
        again.put(1, 0, b"x")
        assert again.get(1, 0) == b"x"


def test_a_store_that_failed_can_be_opened_again_in_place(tmp_path: Path) -> None:
    small = StoreSettings(write_buffer_bytes=1 << 20)
    store = BlockStore(tmp_path / "blocks", small)
    with no_room(), pytest.raises(StoreError):
        fill(store)
    store.reopen()
    store.put(1, 0, b"x")
    assert store.get(1, 0) == b"x"
    store.close()
