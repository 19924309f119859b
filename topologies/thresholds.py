"""How long the traces of each group take, over all partitions, and whether that has changed.

The figures of the window follow from the entries of the table. What they are compared with lies
further back than entries are kept: so the groups of each quarter of a window are merged once, when
it is complete, and put into the table under an identity of their own (kind `r`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from streamsampler.config import Settings
from streamsampler.estimates import summaries, tables
from streamsampler.estimates.summaries import GroupSummary, Summary
from streamsampler.estimates.tables import ThresholdTable
from topologies.app import App, app_from_environment
from topologies.durations import Durations, GroupSums, Sums, rows_of_groups
from topologies.entries import Entry
from topologies.publishing import INTERVAL_MS, assemble, intervals
from topologies.regressions import FAST, Regressions
from topologies.shards import Shards

NAME: Final = "thresholds"
KIND: Final = "groups"
REFERENCE: Final = b"r"
QUARTERS: Final = 4
GRACE: Final = 2
"""So many intervals after its end a quarter is merged; what comes later counts no more there."""
MOST_BYTES: Final = 500_000
"""Of sketches in one entry of the reference, so that its record fits a topic."""


class Thresholds:
    """The groups of one shard.

    Args:
        shard: Its number.
        window: Intervals in the window.
        reference: Intervals in what lies before it.
    """

    def __init__(self, shard: int, window: int, reference: int) -> None:
        self._shard = shard
        self._quarter = max(1, window // QUARTERS)
        self._now = Durations()
        self._before = Durations()
        self._newest: int | None = None
        self._judged: int | None = None
        self._regressions = Regressions(reference)

    def put(self, entry: Entry, summary: Summary) -> None:
        """Take a summary in, instead of the one that came under this identity before."""
        rows = rows_of_groups(summary)
        if entry.kind == REFERENCE:
            self._before.put(entry, rows)
            return
        self._now.put(entry, rows)
        newest = entry.interval if self._newest is None else self._newest
        self._newest = max(newest, entry.interval)

    def forget(self, entry: Entry) -> None:
        """Let a summary go; nothing happens where there is none."""
        (self._before if entry.kind == REFERENCE else self._now).forget(entry)

    def closing(self) -> Iterator[tuple[Entry, Summary]]:
        """Tell what is complete now and is to be kept for the reference.

        Yields:
            Entry and summary, each quarter once.
        """
        if self._newest is None:
            return
        if self._judged != self._newest:  # a slowdown is noted when it comes, whoever asks when
            self._judged = self._newest
            self.table()
        done = {entry.interval // self._quarter for entry in self._before.entries()}
        seen = {entry.interval // self._quarter for entry in self._now.entries()}
        for quarter in sorted(seen - done):
            last = (quarter + 1) * self._quarter - 1
            if last + GRACE <= self._newest:
                yield from self._close(quarter * self._quarter, last)

    def _close(self, first: int, last: int) -> Iterator[tuple[Entry, Summary]]:
        sums = self._now.sums(first, last)
        rows = [sums[group].summary(group) for group in sorted(sums)]
        for part, chunk in enumerate(_chunks(rows)):
            entry = Entry(REFERENCE, self._shard, 0, last, part)
            yield entry, Summary(KIND, 0, last, part, chunk)

    def table(self) -> ThresholdTable | None:
        """Tell the thresholds as they follow from what is in; None: from nothing."""
        if self._newest is None:
            return None
        newest = self._newest
        window, fast = self._now.sums(), self._now.sums(newest - FAST + 1)
        before = self._before_fast(newest - FAST)
        known = {
            group: self._regressions.judge(group, newest, sums, fast.get(group), before.get(group))
            for group, sums in sorted(window.items())
        }
        groups = {group: found for group, found in known.items() if found is not None}
        return ThresholdTable(newest * INTERVAL_MS, groups)

    def _before_fast(self, last: int) -> GroupSums:
        """Sum up what lies before the fast window: closed quarters, and what is in none yet."""
        closed = [one.interval for one in self._before.entries() if one.interval <= last]
        sums: GroupSums = {}
        parts = [self._now.sums(max(closed) + 1 if closed else None, last)]
        if closed:
            parts.append(self._before.sums(last=max(closed)))
        for part in parts:
            for group, more in part.items():
                sums.setdefault(group, Sums()).merge(more)
        return sums

    def tables(self) -> Mapping[bytes, bytes]:
        """Tell the records of the tables topic, key and value."""
        table = self.table()
        return {} if table is None else {b"thresholds/%d" % self._shard: tables.pack(table)}


def _chunks(rows: Iterable[GroupSummary]) -> Iterator[tuple[GroupSummary, ...]]:
    chunk: list[GroupSummary] = []
    size = 0
    for row in rows:
        if chunk and size + len(row.sketch) > MOST_BYTES:
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(row)
        size += len(row.sketch)
    if chunk:
        yield tuple(chunk)


def make_app(settings: Settings) -> App:
    """Make the app.

    Args:
        settings: The settings.

    Returns:
        The app, not started.

    Raises:
        ConfigError: Something in them has no counterpart in Faust.
    """
    topology = settings.topology
    window = intervals(topology.window_ms)
    shards = Shards(
        summaries.unpack,
        summaries.pack,
        {KIND: window, REFERENCE.decode(): window + intervals(topology.reference_ms)},
        lambda shard: Thresholds(shard, window, intervals(topology.reference_ms)),
    )
    return assemble(settings, NAME, shards, topology.publish_ms).app


def __getattr__(name: str) -> Any:
    """Make the app when `faust -A topologies.thresholds` asks for it, and not on import."""
    if name == "app":
        return globals().setdefault(name, app_from_environment(__name__))
    raise AttributeError(name)
