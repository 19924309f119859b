"""What an app knows of its shards: entries in a table, and the same in memory, summed up.

A record is put under its identity and never added to what is there, so that a record read twice
changes nothing. Whatever is in memory can be made anew from the table.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from topologies.entries import Entry


class Taken(Enum):
    """What became of a record."""

    KEPT = "kept"
    OTHER_KIND = "of a kind for another app"
    TOO_OLD = "from before the window"
    UNDECODABLE = "not readable"


class Summary(Protocol):
    """What a worker published of one interval of one input partition."""

    @property
    def kind(self) -> str:
        """What it sums up."""

    @property
    def partition(self) -> int:
        """Of the input."""

    @property
    def interval(self) -> int:
        """Of stream time."""

    @property
    def part(self) -> int:
        """Tells two owners of a partition apart."""


class Window(Protocol):
    """Summaries of one shard, and what follows from them."""

    def put(self, entry: Entry, summary: Any) -> None:
        """Take a summary in, instead of the one that came under this identity before."""

    def forget(self, entry: Entry) -> None:
        """Let a summary go; nothing happens where there is none."""

    def closing(self) -> Iterable[tuple[Entry, Any]]:
        """Tell what the app itself wants kept in the table, each once; each is put after that."""

    def tables(self) -> Mapping[bytes, bytes]:
        """Tell the records of the tables topic, key and value, as they follow from what is in."""


W = TypeVar("W", bound=Window)


@dataclass(slots=True)
class _Shard(Generic[W]):
    window: W
    entries: dict[tuple[bytes, int], set[Entry]] = field(default_factory=lambda: defaultdict(set))
    newest: int | None = None


class Shards(Generic[W]):
    """The shards of one instance of an app.

    Args:
        read: Reads a record of the sketches topic; a ValueError where it is none.
        write: Writes one, for what the app itself wants kept.
        retained: For each kind of records that the app goes by, and of entries that are its own,
            how many intervals, counted from the shard's newest, an entry is kept.
        make_window: Makes the window of a shard, from its number.
    """

    def __init__(
        self,
        read: Callable[[bytes], Summary],
        write: Callable[[Any], bytes],
        retained: Mapping[str, int],
        make_window: Callable[[int], W],
    ) -> None:
        self._read = read
        self._write = write
        self._kinds = frozenset(retained)
        self._retained = {kind[:1].encode(): count for kind, count in retained.items()}
        self._make_window = make_window
        self._shards: dict[int, _Shard[W]] = {}

    def take(self, shard: int, value: bytes, table: MutableMapping[bytes, bytes]) -> Taken:
        """Take a record of the sketches topic in, and let go what it makes too old.

        Args:
            shard: The partition it came from.
            value: Its value.
            table: Where entries are kept; only entries of this shard are written or deleted.

        Returns:
            What became of it.
        """
        try:
            summary = self._read(value)
            entry = _entry(shard, summary)
            key = entry.pack()
        except (ValueError, struct.error):
            return Taken.UNDECODABLE
        if summary.kind not in self._kinds:
            return Taken.OTHER_KIND
        known = self._shard(shard)
        if self._is_old(known, entry):
            return Taken.TOO_OLD
        table[key] = value
        self._put(known, entry, summary)
        for own, closed in known.window.closing():
            table[own.pack()] = self._write(closed)
            self._put(known, own, closed)
        for old in self._expired(known):
            table.pop(old.pack(), None)
        return Taken.KEPT

    def rebuild(self, owned: Iterable[int], items: Iterable[tuple[bytes, bytes]]) -> int:
        """Begin anew with what a table holds.

        Args:
            owned: The shards of this instance now; entries of others are passed over.
            items: The table's, in any order.

        Returns:
            How many entries could not be read; they stay where they are until the table's
            changelog is deleted.
        """
        self._shards = {shard: _Shard(self._make_window(shard)) for shard in owned}
        unreadable = 0
        for key, value in items:
            try:
                entry, summary = Entry.unpack(key), self._read(value)
            except (ValueError, struct.error):
                unreadable += 1
                continue
            if entry.shard in self._shards:
                self._put(self._shards[entry.shard], entry, summary)
        for known in self._shards.values():
            # Their deletion from the table may not have got through; it comes with the next record
            # of the shard, as an entry can be deleted only while one of its shard is taken.
            for old in self._too_old(known):
                known.window.forget(old)
        return unreadable

    def owned(self) -> list[int]:
        """Tell the shards that are in memory."""
        return sorted(self._shards)

    def tables(self, shard: int) -> Mapping[bytes, bytes]:
        """Tell what follows from a shard.

        Args:
            shard: One that is owned.

        Returns:
            Records of the tables topic, key and value.
        """
        return self.window(shard).tables()

    def window(self, shard: int) -> W:
        """Tell the window of a shard that is owned."""
        return self._shards[shard].window

    def drop(self) -> None:
        """Forget everything: the shards go to somebody, perhaps back to us."""
        self._shards = {}

    def _shard(self, shard: int) -> _Shard[W]:
        if shard not in self._shards:
            self._shards[shard] = _Shard(self._make_window(shard))
        return self._shards[shard]

    def _put(self, known: _Shard[W], entry: Entry, summary: Summary) -> None:
        known.window.put(entry, summary)
        known.entries[entry.kind, entry.interval].add(entry)
        known.newest = entry.interval if known.newest is None else max(known.newest, entry.interval)

    def _too_old(self, known: _Shard[W]) -> list[Entry]:
        # All of one kind and interval are old, or none is.
        return [
            entry
            for entries in known.entries.values()
            if self._is_old(known, next(iter(entries)))
            for entry in entries
        ]

    def _is_old(self, known: _Shard[W], entry: Entry) -> bool:
        kept = self._retained.get(entry.kind, 0)  # a kind of another version: at once
        return known.newest is not None and entry.interval <= known.newest - kept

    def _expired(self, known: _Shard[W]) -> list[Entry]:
        old = self._too_old(known)
        for entry in old:
            known.window.forget(entry)
            known.entries.pop((entry.kind, entry.interval), None)
        return old


def _entry(shard: int, summary: Summary) -> Entry:
    return Entry(
        kind=summary.kind[:1].encode(),
        shard=shard,
        partition=summary.partition,
        interval=summary.interval,
        part=summary.part,
    )
