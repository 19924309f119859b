"""Stream time of partitions that have nothing to read: the wall clock carries it on.

Only a partition that was read to its end is idle: one whose records have merely not arrived yet
must not have its traces timed out.
"""

from dataclasses import dataclass
from typing import Final

TICK_MS: Final = 100


@dataclass(slots=True)
class _Idle:
    stream_time_ms: int  # when it fell idle; -1: nothing was ever read, nothing is carried on
    since_ms: int  # when that was
    advanced_ms: int  # when it was last advanced


class IdleClocks:
    """The idle partitions; all times but stream time are of one monotonic clock, in ms."""

    def __init__(self) -> None:
        self._idle: dict[int, _Idle] = {}

    def ended(self, partition: int, stream_time_ms: int, now_ms: int) -> None:
        """Note that a partition was read to its end.

        Args:
            partition: Its number; one that is idle already stays idle since then.
            stream_time_ms: Its stream time; -1, nothing ever read, has nothing to carry on.
            now_ms: The clock.
        """
        if partition not in self._idle:
            self._idle[partition] = _Idle(stream_time_ms, now_ms, now_ms)

    def woke(self, partition: int) -> None:
        """Note that a partition has records again, or is no longer ours."""
        self._idle.pop(partition, None)

    def __contains__(self, partition: object) -> bool:
        return partition in self._idle

    def due(self, now_ms: int) -> list[tuple[int, int]]:
        """Tell which partitions' stream time moves on.

        Args:
            now_ms: The clock.

        Returns:
            Partition and stream time in ms, for those not advanced within the last tick.
        """
        advanced = []
        for partition, idle in self._idle.items():
            if idle.stream_time_ms >= 0 and now_ms - idle.advanced_ms >= TICK_MS:
                idle.advanced_ms = now_ms
                advanced.append((partition, idle.stream_time_ms + now_ms - idle.since_ms))
        return advanced
