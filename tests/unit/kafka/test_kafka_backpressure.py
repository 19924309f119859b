"""Which partitions wait when the buffer is nearly full."""

from hypothesis import given
from hypothesis import strategies as st

from streamsampler.kafka.backpressure import waiting

times = st.dictionaries(st.integers(0, 50), st.integers(-1, 10**12), max_size=20)


@given(times)
def test_with_room_nobody_waits(stream_times_ms: dict[int, int]) -> None:
    assert waiting(stream_times_ms, nearly_full=False) == frozenset()


@given(times.filter(bool))
def test_without_room_all_wait_but_one_that_is_furthest_behind(
    stream_times_ms: dict[int, int],
) -> None:
    going_on = stream_times_ms.keys() - waiting(stream_times_ms, nearly_full=True)
    assert len(going_on) == 1
    assert stream_times_ms[going_on.pop()] == min(stream_times_ms.values())


def test_a_worker_without_partitions_has_nobody_to_wait() -> None:
    assert waiting({}, nearly_full=True) == frozenset()
