"""The two clocks that a worker reads; tests move them."""

import time
from collections.abc import Callable
from dataclasses import dataclass


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as an argument.

    Attributes:
        wall_ms: Ms since the epoch; may jump. Only record timestamps are held against it.
        monotonic_ms: Ms since some moment; never goes back. Intervals are measured with it.
    """

    wall_ms: Callable[[], int] = _wall_ms
    monotonic_ms: Callable[[], int] = _monotonic_ms
