"""A shard that is owned and not read is noticed, and no other is."""

from topologies.reading import Reading


def test_a_shard_that_is_not_read_is_named_when_its_end_has_moved() -> None:
    reading = Reading()
    reading.took(0, 9)
    assert reading.compare({0: 10, 1: 10}) == ()
    reading.took(0, 19)
    assert reading.compare({0: 20, 1: 20}) == ()  # perhaps it has only just moved
    reading.took(0, 29)
    assert reading.compare({0: 30, 1: 20}) == (1,)
    assert reading.unread() == (1,)
    reading.took(1, 10)
    assert reading.compare({0: 30, 1: 20}) == ()


def test_a_shard_to_which_nothing_is_written_is_not_named() -> None:
    reading = Reading()
    reading.took(0, 7)
    for _ in range(3):
        assert reading.compare({0: 10, 1: 0}) == ()  # the end is ahead by markers


def test_shards_that_come_back_are_looked_at_anew() -> None:
    reading = Reading()
    for end in (1, 2, 3):
        found = reading.compare({0: end})
    assert found == (0,)
    reading.compare({})
    assert reading.compare({0: 4}) == ()
    assert reading.compare({0: 5}) == ()
    reading.drop()
    assert reading.compare({0: 6}) == ()
    assert reading.unread() == ()
