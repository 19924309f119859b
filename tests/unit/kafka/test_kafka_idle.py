"""Idle partitions: the wall clock carries their stream time on, from their end and no earlier."""

from streamsampler.kafka.idle import TICK_MS, IdleClocks


def test_a_partition_at_its_end_moves_on_at_the_speed_of_the_clock() -> None:
    clocks = IdleClocks()
    clocks.ended(0, stream_time_ms=5_000, now_ms=100)
    assert clocks.due(100 + TICK_MS) == [(0, 5_000 + TICK_MS)]
    assert clocks.due(100 + 30_000) == [(0, 35_000)]


def test_it_moves_on_in_ticks() -> None:
    clocks = IdleClocks()
    clocks.ended(0, 5_000, 0)
    assert clocks.due(TICK_MS - 1) == []
    assert clocks.due(TICK_MS) == [(0, 5_000 + TICK_MS)]
    assert clocks.due(TICK_MS + 1) == []


def test_new_records_stop_the_clock() -> None:
    clocks = IdleClocks()
    clocks.ended(0, 5_000, 0)
    clocks.woke(0)
    assert clocks.due(1_000) == []
    clocks.ended(0, 9_000, 2_000)
    assert clocks.due(2_500) == [(0, 9_500)]


def test_being_told_of_the_end_again_sets_nothing_back() -> None:
    clocks = IdleClocks()
    clocks.ended(0, 5_000, 0)
    clocks.ended(0, 5_000, 400)
    assert clocks.due(1_000) == [(0, 6_000)]


def test_without_any_record_there_is_no_time_to_carry_on() -> None:
    clocks = IdleClocks()
    clocks.ended(0, -1, 0)
    assert clocks.due(60_000) == []


def test_waking_a_partition_that_sleeps_not_does_nothing() -> None:
    clocks = IdleClocks()
    clocks.woke(4)
    assert clocks.due(60_000) == []
