"""Blocks of partitions that left are kept for their return, within a size and an age."""

from streamsampler.kafka.kept import KeptBlocks


def test_what_is_young_and_fits_is_kept() -> None:
    kept = KeptBlocks(100, 1_000, {}, 0)
    kept.left(1, 60, 0)
    kept.left(2, 40, 500)
    assert kept.surplus(1_000) == []


def test_what_is_too_old_goes() -> None:
    kept = KeptBlocks(100, 1_000, {}, 0)
    kept.left(1, 60, 0)
    kept.left(2, 40, 500)
    assert kept.surplus(1_001) == [1]
    assert kept.surplus(1_001) == []
    assert kept.surplus(1_501) == [2]


def test_of_what_is_too_much_the_oldest_goes() -> None:
    kept = KeptBlocks(100, 1_000, {}, 0)
    kept.left(1, 60, 0)
    kept.left(2, 30, 0)
    kept.left(3, 50, 0)
    assert kept.surplus(0) == [1]


def test_what_came_back_is_ours_to_keep() -> None:
    kept = KeptBlocks(100, 1_000, {}, 0)
    kept.left(1, 600, 0)
    kept.came(1)
    assert kept.surplus(5_000) == []


def test_what_leaves_again_is_young_again() -> None:
    kept = KeptBlocks(100, 1_000, {}, 0)
    kept.left(1, 60, 0)
    kept.left(1, 60, 900)
    assert kept.surplus(1_500) == []


def test_nothing_kept_is_nothing_to_let_go() -> None:
    kept = KeptBlocks(0, 0, {}, 0)
    kept.left(1, 0, 0)
    assert kept.surplus(9_999) == []


def test_what_the_store_held_at_the_start_has_its_time_from_then_on() -> None:
    kept = KeptBlocks(100, 1_000, {4: 50}, 200)
    assert kept.surplus(1_200) == []
    assert kept.surplus(1_201) == [4]
