"""Reading partitions up to where they ended at a moment."""

from streamsampler.kafka.watermarks import CatchUp, Watermarks


def test_a_partition_is_there_at_the_offset_behind_its_last_record() -> None:
    catch_up = CatchUp({0: Watermarks(0, 3), 1: Watermarks(5, 6)})
    assert catch_up.behind == {0, 1}
    assert not catch_up.reached(0, 2)
    assert catch_up.reached(0, 3)
    assert catch_up.behind == {1}
    assert catch_up.reached(1, 9)  # more came meanwhile
    assert not catch_up.behind


def test_an_empty_partition_is_there_from_the_start() -> None:
    assert not CatchUp({0: Watermarks(0, 0), 1: Watermarks(8, 8)}).behind


def test_an_end_before_an_open_transaction_is_none() -> None:
    catch_up = CatchUp({0: Watermarks(0, 13)})
    assert not catch_up.reached(0, 5)
    assert catch_up.behind == {0}


def test_a_partition_is_reached_once() -> None:
    catch_up = CatchUp({0: Watermarks(0, 1)})
    assert catch_up.reached(0, 1)
    assert not catch_up.reached(0, 1)


def test_a_partition_that_left_is_not_waited_for() -> None:
    catch_up = CatchUp({0: Watermarks(0, 1)})
    catch_up.forget(0)
    catch_up.forget(7)
    assert not catch_up.behind
