"""The index from trace ids to rows, against a dict."""

import itertools
import json
import subprocess
import sys
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamsampler.spans.columns import Rows, UInt32s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.spans.hash_key import HASH_KEY, KEY_WORDS
from streamsampler.traces.index import (
    empty_slots,
    find,
    home,
    home_of,
    insert,
    may_fill,
    mixed,
    reindex,
    remove,
    slot_after,
    slots_for,
)

IDS = np.dtype([("id_hi", np.uint64), ("id_lo", np.uint64)])
SLOTS = 11
ROWS = 8  # an index always keeps an empty slot
Words = list[tuple[int, int]]
Drawn = TypeVar("Drawn")


@kernel
def begins(slots: UInt32s, hi: Word, lo: Word) -> Word:
    return home(slots, hi, lo)


@kernel
def scaled(word: Word, count: Word) -> Word:
    return home_of(word, count)


@kernel
def mixed_word(hi: Word, lo: Word) -> Word:
    return mixed(hi, lo)


@kernel
def place_of(slots: UInt32s, rows: Rows, hi: Word, lo: Word) -> Word:
    return find(slots, rows, hi, lo)


@kernel
def enter(slots: UInt32s, rows: Rows, row: Word) -> None:
    insert(slots, rows, row)


@kernel
def take_out(slots: UInt32s, rows: Rows, row: Word) -> None:
    remove(slots, rows, row)


def slot_of(slots: UInt32s, words: tuple[int, int]) -> int:
    """Where the search for an id begins."""
    return int(begins(slots, np.uint64(words[0]), np.uint64(words[1])))


def keyed(count: int, number: int) -> UInt32s:
    """An empty index that has another key for each number."""
    slots = empty_slots(count)
    slots[count:] = np.random.default_rng(number).integers(0, 2**32, KEY_WORDS, np.uint32)
    return slots


def _colliding() -> Words:
    """Ids that begin at the last slot, the first and the one in the middle; five each."""
    found: dict[int, Words] = {SLOTS - 1: [], 0: [], SLOTS // 2: []}
    slots = empty_slots(SLOTS)
    for number in itertools.count():
        words = (number % 7, number)
        here = found.get(slot_of(slots, words), [])
        if len(here) < 5:
            here.append(words)
        if all(len(ids) == 5 for ids in found.values()):
            return list(itertools.chain(*found.values()))
    raise AssertionError


@pytest.fixture(scope="module")
def colliding() -> Words:
    return _colliding()


class Indexed:
    """An index over a few rows, and the dict that it has to equal."""

    def __init__(self, slots: int, rows: int) -> None:
        self.slots = empty_slots(slots)
        self.rows = np.zeros(rows, IDS)
        self.free = list(range(rows))
        self.twin: dict[tuple[int, int], int] = {}

    def find(self, words: tuple[int, int]) -> int:
        return int(place_of(self.slots, self.rows, np.uint64(words[0]), np.uint64(words[1])))

    def toggle(self, words: tuple[int, int]) -> None:
        """Take an id out if it is in, else enter it if there is room."""
        if words in self.twin:
            row = self.twin.pop(words)
            take_out(self.slots, self.rows, row)
            self.free.append(row)
        elif self.free:
            row = self.free.pop(0)
            self.rows[row] = words
            enter(self.slots, self.rows, row)
            self.twin[words] = row

    def check(self, known: Words) -> None:
        assert {words: self.find(words) for words in known} == {
            words: self.twin.get(words, -1) for words in known
        }
        slots, key = self.slots[:-KEY_WORDS], self.slots[-KEY_WORDS:]
        assert sorted(slots[slots != 0].tolist()) == sorted(row + 1 for row in self.twin.values())
        assert (key == HASH_KEY).all()


def of_any_length(step: st.SearchStrategy[Drawn], most: int) -> st.SearchStrategy[list[Drawn]]:
    """Draw lists whose lengths are spread evenly; lists by themselves are mostly short."""
    return st.integers(0, most).flatmap(lambda n: st.lists(step, min_size=n, max_size=n))


@given(choices=of_any_length(st.integers(0, 14), 100))
def test_an_index_of_colliding_ids_is_a_dict(colliding: Words, choices: list[int]) -> None:
    index = Indexed(SLOTS, ROWS)
    for choice in choices:
        index.toggle(colliding[choice])
        index.check(colliding)


@given(
    words=st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 2), unique=True, max_size=40),
    more=st.integers(0, 30),
)
def test_what_an_index_holds_is_found_in_the_larger_one(words: Words, more: int) -> None:
    index = Indexed(slots_for(len(words)), len(words))
    for one in words:
        index.toggle(one)
    for one in words[::3]:
        index.toggle(one)
    larger = empty_slots(slots_for(len(words) + more))
    reindex(index.slots, larger, index.rows)
    index.slots = larger
    index.check(words)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(1, 2**32 - 1))
def test_a_search_begins_at_a_slot(hi: int, lo: int, count: int) -> None:
    assert 0 <= scaled(np.uint64(mixed_word(np.uint64(hi), np.uint64(lo))), count) < count
    few = count % 100 + 1
    assert 0 <= slot_of(empty_slots(few), (hi, lo)) < few


@pytest.mark.parametrize("key", range(10))
def test_ids_that_differ_in_a_few_bits_spread_over_all_slots(key: int) -> None:
    slots = keyed(16, key)
    for high, low in [(1, 0), (0, 1), (2**32, 0), (0, 2**32), (2**58, 0), (0, 2**58)]:
        homes = {slot_of(slots, (high * n, low * n)) for n in range(64)}
        assert len(homes) > 10, (high, low)


def test_ids_chosen_for_one_key_are_spread_by_another() -> None:
    theirs, ours = keyed(64, 1), keyed(64, 2)
    chosen = [(0, n) for n in range(20_000) if slot_of(theirs, (0, n)) == 0]
    assert len(chosen) > 200
    counts = np.bincount([slot_of(ours, words) for words in chosen], minlength=64)
    assert counts.max() < len(chosen) / 10


def test_a_process_has_one_key_that_is_not_that_of_another() -> None:
    show = "from streamsampler.spans.hash_key import HASH_KEY; print(HASH_KEY.tolist())"
    ran = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) != HASH_KEY.tolist()
    assert (empty_slots(1)[1:] == empty_slots(9)[9:]).all()


@given(st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 2), unique=True, min_size=2))
@example([(1, 0), (2**62 - 1, 2**62 - 2)])
def test_words_that_mix_alike_are_not_met_by_chance(words: Words) -> None:
    made = [int(mixed_word(np.uint64(hi), np.uint64(lo))) for hi, lo in words]
    assert made == [int(mixed_word(np.uint64(hi), np.uint64(lo))) for hi, lo in words]
    assert len(set(made)) == len(words)


def test_an_entry_may_move_back_to_where_the_search_for_it_still_passes() -> None:
    for count in range(2, 7):
        for gap, slot, origin in itertools.product(range(count), repeat=3):
            if gap == slot:
                continue
            passed = [(origin + step) % count for step in range((slot - origin) % count)]
            assert bool(may_fill(gap, slot, origin)) is (gap in passed), (count, gap, slot, origin)


@pytest.mark.parametrize(("slot", "after"), [(0, 1), (9, 10), (10, 0)])
def test_the_first_slot_follows_the_last(slot: int, after: int) -> None:
    assert slot_after(slot, SLOTS) == after


def test_an_index_is_at_most_three_quarters_full() -> None:
    for rows in [0, 1, 2, 11, 12, 13, 255, 256, 1000, 999_999, 10**8]:
        assert slots_for(rows) > rows
        assert rows * 4 <= slots_for(rows) * 3
