"""The database: blocks by partition and number, one owner, errors in words."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.store import Block, BlockStore, StoreError, StoreSettings, encode_block

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
        partition=0, number=number, first=number, offsets=one, times_ms=one,
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


def test_what_was_put_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "blocks"
    with BlockStore(path) as store:
        for number in range(20):
            store.put(1, number, bytes(1000))
        store.delete(1, [0, 19])
    with BlockStore(path) as store:
        assert [number for number, _ in store.blocks(1)] == list(range(1, 19))
        assert store.written_bytes() > 0


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
