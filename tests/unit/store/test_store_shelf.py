"""The shelf against a plain list of records."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.spans.columns import Rows
from streamsampler.spans.records import Headers
from streamsampler.store import LATE_SPAN, Block, BlockStore, Shelf, decode_block
from streamsampler.store.filling import copy_records

BLOCK_BYTES = 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("shelf")
    with BlockStore(path / "blocks") as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Record:
    """One record on a shelf; its spans are buffered ones."""

    value: bytes
    offset: int
    stream_ms: int
    whole: int
    spans: int
    headers: Headers | None


@dataclass
class Shelved:
    """A shelf, and the records that it has to hold, by number."""

    shelf: Shelf
    records: list[Record] = field(default_factory=list)
    live: list[int] = field(default_factory=list)  # undecided spans of each record

    def append(self, records: list[Record], beside: int = 0) -> None:
        """Append records that stand among others in their batch, one in `beside` or all."""
        values: list[bytes] = []
        chosen = []
        for record in records:
            values += [b"not chosen"] * beside
            chosen.append(len(values))
            values.append(record.value)
        self.shelf.append(
            np.frombuffer(b"".join(values), np.uint8),
            np.cumsum([0, *map(len, values)], dtype=np.int64),
            np.array(chosen, np.int64),
            np.array([record.offset for record in records], np.int64),
            np.array([record.stream_ms for record in records], np.int64),
            np.array([record.whole for record in records], np.uint8),
            np.array([record.spans for record in records], np.int32),
            {place: one.headers for place, one in enumerate(records) if one.headers},
        )
        self.records += records
        self.live += [record.spans for record in records]

    def undecided(self) -> list[int]:
        return [number for number, spans in enumerate(self.live) if spans]

    def release(self, numbers: list[int]) -> None:
        """Decide one span of each of these records."""
        self.shelf.release(np.array(numbers, np.int64))
        for number in numbers:
            self.live[number] -= 1

    def check_find(self, numbers: list[int]) -> None:
        found = self.shelf.find(np.array(numbers, np.int64))
        wanted = [self.records[number] for number in numbers]
        bounds = found.bounds.tolist()
        assert len(bounds) == len(numbers) + 1
        values = [found.body[bounds[at] : bounds[at + 1]].tobytes() for at in range(len(numbers))]
        assert values == [record.value for record in wanted]
        assert found.whole.tolist() == [record.whole for record in wanted]
        assert found.spans.tolist() == [record.spans for record in wanted]
        headers = {place: list(pairs) for place, pairs in found.headers.items()}
        assert headers == {at: list(one.headers) for at, one in enumerate(wanted) if one.headers}

    def check_blocks(self) -> None:
        """Every undecided record stands in a live block, with all that came with it."""
        blocks = list(self.shelf.live_blocks())
        firsts = [one.first for one in blocks]
        assert firsts == sorted(firsts)
        held: dict[int, tuple[Block, int]] = {
            one.first + at: (one.block, at) for one in blocks for at in range(len(one.block))
        }
        assert set(self.undecided()) <= set(held)
        for number, (block, at) in held.items():
            record = self.records[number]
            assert block.value(at) == record.value
            assert block.offsets[at] == record.offset
            assert block.stream_ms[at] == record.stream_ms
            assert list(block.headers.get(at) or ()) == list(record.headers or ())


RECORDS = st.lists(
    st.builds(
        Record,
        value=st.sampled_from([b"a", b"bc" * 9, b"d" * 31, b"e" * 64, b"f" * 300]),
        offset=st.integers(0, 2**40),
        stream_ms=st.integers(0, 2**40),
        whole=st.integers(0, 1),
        spans=st.integers(1, 3),
        headers=st.sampled_from([None, None, [("k", b"v")], [("k", b"v"), ("k", b"w")]]),
    ),
    min_size=1,
    max_size=6,
)


@given(st.data())
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_shelf_is_a_list_of_records(store: BlockStore, data: st.DataObject) -> None:
    shelved = Shelved(fresh(store))
    for _ in range(data.draw(st.integers(1, 12))):
        step = data.draw(st.sampled_from(["append", "append", "release", "all", "find", "dispose"]))
        undecided = shelved.undecided()
        if step == "append":
            shelved.append(data.draw(RECORDS), data.draw(st.integers(0, 2)))
        elif step == "dispose":
            shelved.shelf.dispose(shelved.shelf.disposable(), 0)
        elif step == "all":
            shelved.release([one for one in undecided for _ in range(shelved.live[one])])
        elif undecided:
            some = data.draw(st.lists(st.sampled_from(undecided), min_size=1, unique=True))
            shelved.check_find(some)
            if step == "release":
                shelved.release(some)
        shelved.check_blocks()
        assert _stored(store) == _expected_on_disk(shelved)
        assert shelved.shelf.size == sum(len(value) for _, value in store.blocks(7))
    if shelved.undecided():
        shelved.check_find(shelved.undecided())
    shelved.shelf.clear()
    assert list(store.blocks(7)) == []


def fresh(store: BlockStore) -> Shelf:
    """A shelf of a partition of which the store holds nothing."""
    shelf = Shelf(store, 7, BLOCK_BYTES)
    shelf.clear()
    return shelf


def _stored(store: BlockStore) -> list[int]:
    return [number for number, _ in store.blocks(7)]


def _expected_on_disk(shelved: Shelved) -> list[int]:
    """The blocks that are needed, and those that are not needed but not yet disposed of."""
    needed = [one.number for one in shelved.shelf.live_blocks()][:-1]
    assert len(needed) == shelved.shelf.blocks
    return sorted([*needed, *shelved.shelf.disposable()])


def record(value: bytes, spans: int = 1, offset: int = 0, stream_ms: int = 0) -> Record:
    return Record(value, offset, stream_ms, 1, spans, None)


@pytest.fixture
def shelved(store: BlockStore) -> Shelved:
    return Shelved(fresh(store))


def test_a_block_is_disposable_when_its_last_span_is_decided(
    store: BlockStore, shelved: Shelved
) -> None:
    shelved.append([record(b"x" * 40, spans=2), record(b"y" * 40)])
    assert len(_stored(store)) == 1
    for number in (0, 1):
        shelved.release([number])
        assert shelved.shelf.disposable() == []
    shelved.check_find([0])
    shelved.release([0])
    assert shelved.shelf.disposable() == _stored(store)
    assert shelved.shelf.blocks == 0
    shelved.shelf.dispose(shelved.shelf.disposable(), 0)
    assert _stored(store) == []
    assert shelved.shelf.disposable() == []
    assert shelved.shelf.size == 0


def test_a_full_block_is_put_also_when_all_in_it_is_decided(
    store: BlockStore, shelved: Shelved
) -> None:
    shelved.append([record(b"x" * 40)])
    shelved.release([0])
    shelved.append([record(b"y" * 20)])
    shelved.release([1])
    assert _stored(store) == []
    shelved.append([record(b"z" * 40, spans=0)])
    (number,) = _stored(store)
    assert shelved.shelf.disposable() == [number]
    assert shelved.shelf.blocks == 0
    shelved.append([record(b"u")])
    shelved.check_find([3])


def test_a_record_larger_than_a_block_is_a_block(store: BlockStore, shelved: Shelved) -> None:
    shelved.append([record(b"a"), record(b"b" * 1000), record(b"c" * 1000), record(b"d")])
    assert len(_stored(store)) == 2
    shelved.check_find([3, 2, 1, 0])
    shelved.check_blocks()


def test_only_what_is_named_is_disposed_of(store: BlockStore, shelved: Shelved) -> None:
    shelved.append([record(b"a" * 64), record(b"b" * 64), record(b"c" * 64)])
    shelved.release([0, 1])
    first, second = shelved.shelf.disposable()
    shelved.shelf.dispose([first], 0)
    assert shelved.shelf.disposable() == [second]
    assert len(_stored(store)) == 2
    shelved.check_find([2])


def late(*offsets: int) -> Rows:
    return np.array([(offset, 1, offset, 5) for offset in offsets], LATE_SPAN)


def told(store: BlockStore) -> list[list[int]]:
    """The offsets of the late spans that each block tells of."""
    return [decode_block(value).late["offset"].tolist() for _, value in store.blocks(7)]


def test_a_block_tells_of_late_spans_that_are_committed(
    store: BlockStore, shelved: Shelved
) -> None:
    shelf = shelved.shelf
    shelf.note_late(late(3, 5))
    shelved.append([record(b"a" * 64, offset=6)])
    shelf.note_late(late(8))
    shelf.reached(8, 100)
    shelved.append([record(b"b" * 64, offset=9)])
    shelf.reached(10, 200)
    shelved.append([record(b"c" * 64, offset=11)])
    shelved.append([record(b"d" * 64, offset=12)])
    assert told(store) == [[], [3, 5], [8], []]


def test_what_a_deleted_block_told_is_told_again_above_the_low_watermark(
    store: BlockStore, shelved: Shelved
) -> None:
    shelf = shelved.shelf
    shelf.note_late(late(3, 4, 5))
    shelf.reached(6, 100)
    shelved.append([record(b"a" * 64, offset=6), record(b"b" * 64, offset=7)])
    assert told(store) == [[3, 4, 5], []]
    shelved.release([0])
    shelf.dispose(shelf.disposable(), 4)
    shelved.append([record(b"c" * 64, offset=8)])
    assert told(store) == [[], [4, 5]]


def test_a_block_tells_how_far_all_is_committed(store: BlockStore) -> None:
    shelf = Shelf(store, 7, BLOCK_BYTES, began=3)
    shelf.clear()
    shelved = Shelved(shelf)
    shelf.reached(4, 10)
    shelved.append([record(b"a" * 64, offset=3, stream_ms=9), record(b"b" * 64, offset=6)])
    shelf.reached(9, 90)
    shelved.append([record(b"c" * 64, offset=11, stream_ms=95)])
    shelved.append([record(b"d", offset=13)])
    shelf.reached(14, 99)
    shelf.put_open()
    shelf.reached(20, 120)
    shelf.put_open()
    blocks = [decode_block(value) for _, value in store.blocks(7)]
    assert [(one.since, one.until, one.until_ms) for one in blocks] == [
        (3, 4, 10), (4, 4, 10), (7, 9, 90), (12, 14, 99), (14, 20, 120),
    ]  # fmt: skip
    assert {one.began for one in blocks} == {3}


def test_numbers_of_blocks_only_rise(store: BlockStore, shelved: Shelved) -> None:
    shelved.append([record(b"a" * 64)])
    first = _stored(store)
    again = Shelved(fresh(store))
    again.append([record(b"b" * 64)])
    assert min(_stored(store)) > max(first)
    again.check_find([0])


def test_shelves_of_two_partitions_do_not_touch_each_other(
    store: BlockStore, shelved: Shelved
) -> None:
    shelved.append([record(b"a" * 64)])
    other = Shelved(Shelf(store, 8, BLOCK_BYTES))
    other.shelf.clear()
    other.append([record(b"b" * 64)])
    other.release([0])
    other.shelf.dispose(other.shelf.disposable(), 0)
    shelved.check_find([0])


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=8), st.data())
def test_records_are_copied_to_where_they_are_wanted(
    values: list[bytes], data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=10))
    sizes = [len(values[one]) for one in chosen]
    starts = np.cumsum([3, *sizes], dtype=np.int64)
    target = np.full(int(starts[-1]) + 2, 0xEE, np.uint8)
    copy_records(
        np.frombuffer(b"".join(values), np.uint8),
        np.cumsum([0, *map(len, values)], dtype=np.int64),
        np.array(chosen, np.int64),
        target,
        starts[:-1],
    )
    expected = b"\xee" * 3 + b"".join(values[one] for one in chosen) + b"\xee" * 2
    assert target.tobytes() == expected
