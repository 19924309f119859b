"""Which shards nobody reads: owned, with new records, and none of them has come.

A consumer can own a partition and fetch nothing of it. That shows only from outside: the end of the
partition moves, and what was read does not. How far the end is ahead says nothing, as the markers
of transactions have offsets too.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class _Shard:
    end: int
    read: int | None
    moved: bool = False


class Reading:
    """How far the shards of one instance have been read."""

    def __init__(self) -> None:
        self._read: dict[int, int] = {}
        self._known: dict[int, _Shard] = {}
        self._unread: tuple[int, ...] = ()

    def took(self, shard: int, offset: int) -> None:
        """Note that a record has come.

        Args:
            shard: The partition it came from.
            offset: Its offset.
        """
        self._read[shard] = offset

    def compare(self, ends: Mapping[int, int]) -> tuple[int, ...]:
        """Look at the shards again, a good while after the last time.

        Args:
            ends: For each shard that is owned, the offset that its next record will have.

        Returns:
            The shards whose end had moved the last time, and of which nothing has come since.
        """
        self._known = {shard: known for shard, known in self._known.items() if shard in ends}
        unread = []
        for shard in sorted(ends):
            end, read = ends[shard], self._read.get(shard)
            known = self._known.get(shard)
            if known is None or known.read != read:
                self._known[shard] = _Shard(end, read)
            elif known.moved:
                unread.append(shard)
            else:
                known.moved = end > known.end
        self._unread = tuple(unread)
        return self._unread

    def unread(self) -> tuple[int, ...]:
        """Tell what the last comparison found."""
        return self._unread

    def drop(self) -> None:
        """Forget everything: the shards go to somebody, perhaps back to us."""
        self._read, self._known, self._unread = {}, {}, ()
