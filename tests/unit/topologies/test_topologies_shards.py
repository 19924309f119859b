"""What an app knows of its shards: puts, windows, and memory made anew from the table."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.entries import Entry
from topologies.shards import Shards, Summary, Taken

RETAINED = 10


@dataclass
class Sums:
    """A window that adds numbers up."""

    shard: int
    numbers: dict[Entry, int] = field(default_factory=dict)

    def put(self, entry: Entry, summary: Any) -> None:
        self.numbers[entry] = summary.number

    def forget(self, entry: Entry) -> None:
        self.numbers.pop(entry, None)

    def closing(self) -> Iterator[tuple[Entry, Any]]:
        return iter(())

    def tables(self) -> Mapping[bytes, bytes]:
        return {b"sum/%d" % self.shard: b"%d" % sum(self.numbers.values())}


def record(number: int, interval: int, partition: int = 0, part: int = 0) -> bytes:
    return json.dumps(
        {
            "kind": "groups",
            "partition": partition,
            "interval": interval,
            "part": part,
            "number": number,
        }
    ).encode()


def read(value: bytes) -> Summary:
    summary: Summary = SimpleNamespace(**json.loads(value))
    return summary


def make() -> Shards[Sums]:
    return Shards(read, lambda _: b"", {"groups": RETAINED}, Sums)


def sum_of(shards: Shards[Sums], shard: int = 0) -> bytes:
    return shards.tables(shard)[b"sum/%d" % shard]


def test_a_record_that_comes_twice_counts_once() -> None:
    shards, table = make(), dict[bytes, bytes]()
    for _ in range(2):
        assert shards.take(0, record(7, interval=3), table) is Taken.KEPT
    assert sum_of(shards) == b"7"
    assert len(table) == 1


def test_a_later_record_of_an_identity_replaces_the_one_before() -> None:
    shards, table = make(), dict[bytes, bytes]()
    shards.take(0, record(7, interval=3), table)
    shards.take(0, record(9, interval=3), table)
    assert sum_of(shards) == b"9"
    assert list(table.values()) == [record(9, interval=3)]


def test_parts_and_partitions_and_shards_are_apart() -> None:
    shards, table = make(), dict[bytes, bytes]()
    shards.take(0, record(1, interval=3), table)
    shards.take(0, record(2, interval=3, part=500), table)
    shards.take(0, record(4, interval=3, partition=1), table)
    shards.take(1, record(8, interval=3), table)
    assert (sum_of(shards, 0), sum_of(shards, 1)) == (b"7", b"8")
    assert len(table) == 4


def test_what_the_newest_interval_makes_too_old_goes_from_memory_and_table() -> None:
    shards, table = make(), dict[bytes, bytes]()
    shards.take(0, record(1, interval=0), table)
    shards.take(0, record(2, interval=RETAINED - 1), table)
    assert sum_of(shards) == b"3"
    shards.take(0, record(4, interval=RETAINED), table)
    assert sum_of(shards) == b"6"
    assert len(table) == 2


def test_what_comes_too_old_is_not_kept() -> None:
    shards, table = make(), dict[bytes, bytes]()
    shards.take(0, record(1, interval=100), table)
    assert shards.take(0, record(2, interval=90), table) is Taken.TOO_OLD
    assert shards.take(0, record(2, interval=91), table) is Taken.KEPT
    assert sum_of(shards) == b"3"


def test_other_kinds_are_passed_over() -> None:
    shards, table = make(), dict[bytes, bytes]()
    other = record(1, interval=0).replace(b"groups", b"demands")
    assert shards.take(0, other, table) is Taken.OTHER_KIND
    assert table == {}


@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"{", record(1, interval=2**70), record(1, interval=0, partition=-1)]
)
def test_what_nobody_can_read_is_passed_over(value: bytes) -> None:
    shards, table = make(), dict[bytes, bytes]()
    assert shards.take(0, value, table) is Taken.UNDECODABLE
    assert table == {}
    assert shards.owned() == []


records = st.builds(
    record,
    st.integers(0, 9),
    interval=st.integers(0, 25),
    partition=st.integers(0, 2),
    part=st.integers(0, 1),
)


@given(st.lists(st.tuples(st.integers(0, 1), records), max_size=40))
def test_memory_made_anew_from_the_table_is_the_memory_there_was(
    taken: list[tuple[int, bytes]],
) -> None:
    shards, table = make(), dict[bytes, bytes]()
    for shard, value in taken:
        shards.take(shard, value, table)
    again = make()
    assert again.rebuild(shards.owned(), table.items()) == 0
    assert again.owned() == shards.owned()
    for shard in shards.owned():
        assert again.tables(shard) == shards.tables(shard)


def test_only_owned_shards_are_made_anew_and_what_is_unreadable_is_counted() -> None:
    shards, table = make(), dict[bytes, bytes]()
    shards.take(0, record(1, interval=0), table)
    shards.take(1, record(2, interval=0), table)
    table[b"?"] = b""
    again = make()
    assert again.rebuild([1, 2], table.items()) == 1
    assert again.owned() == [1, 2]
    assert (sum_of(again, 1), sum_of(again, 2)) == (b"2", b"0")


def test_what_was_dropped_is_not_owned() -> None:
    shards = make()
    shards.take(0, record(1, interval=0), {})
    shards.drop()
    assert shards.owned() == []


@given(
    st.binary(min_size=1, max_size=1),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1)),
)
def test_a_key_gives_its_entry_back(
    kind: bytes, numbers: tuple[int, int], times: tuple[int, int]
) -> None:
    entry = Entry(kind, *numbers, *times)
    assert Entry.unpack(entry.pack()) == entry
