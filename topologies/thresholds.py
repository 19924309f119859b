"""How long the traces of each group take, over all partitions, and whether that has changed.

Three stretches of stream time: the long window, whose quantiles are published; the fast window, the
newest 20 s, which is compared; and the reference, what lies before the fast window. The windows
follow from the entries of the table. The reference reaches further back than those are kept: so the
groups of each quarter of a long window are merged once, when the fast window has left it behind,
and put into the table under an identity of their own (kind `r`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from streamsampler.config import Settings
from streamsampler.estimates import summaries, tables
from streamsampler.estimates.summaries import INTERVAL_MS, Group, GroupSummary, Summary, rows_of
from streamsampler.estimates.tables import ThresholdTable
from topologies.app import App, app_from_environment
from topologies.durations import KIND, Durations, Sums
from topologies.entries import Entry
from topologies.publishing import assemble, intervals
from topologies.regressions import FAST, FROZEN, Frozen, group_thresholds, is_regressed
from topologies.shards import Shards

NAME: Final = "thresholds"
REFERENCE: Final = b"r"
QUARTERS: Final = 4
MOST_BYTES: Final = 500_000
"""Of sketches in one entry of the reference, so that its record fits a topic."""


class Thresholds:
    """The groups of one shard.

    Args:
        shard: Its number.
        window: Intervals in the long window.
    """

    def __init__(self, shard: int, window: int) -> None:
        self._shard = shard
        self._quarter = max(1, window // QUARTERS)
        self._fast = min(FAST, window)
        self._now = Durations()
        self._before = Durations()
        self._frozen = Frozen(shard, self._fast)
        self._newest: int | None = None
        self._judged: int | None = None
        self._made: Mapping[bytes, bytes] | None = None

    def put(self, entry: Entry, summary: Summary) -> None:
        """Take a summary in, instead of the one that came under this identity before."""
        if entry.kind == FROZEN:
            self._frozen.put(entry, summary)
            self._made = None
            return
        known = self._before if entry.kind == REFERENCE else self._now
        if not known.put(entry, rows_of(GroupSummary, summary)):
            return
        self._made = None
        if known is self._now:
            newest = entry.interval if self._newest is None else self._newest
            self._newest = max(newest, entry.interval)

    def forget(self, entry: Entry) -> None:
        """Let a summary go; nothing happens where there is none."""
        self._made = None
        if entry.kind == FROZEN:
            self._frozen.forget(entry)
        else:
            (self._before if entry.kind == REFERENCE else self._now).forget(entry)

    def closing(self) -> Iterator[tuple[Entry, Summary]]:
        """Tell what is to be kept as of a new interval: references that freeze or thaw, quarters.

        Yields:
            Entry and summary, each once.
        """
        newest = self._newest
        if newest is None or newest == self._judged:
            return
        self._judged = newest
        # First who is flagged: what those groups do now becomes no part of a reference.
        yield from self._judge(newest)
        for quarter in self._open_quarters():
            last = (quarter + 1) * self._quarter - 1
            if last + self._fast <= newest:
                yield from self._close(quarter * self._quarter, last)

    def _judge(self, newest: int) -> Iterator[tuple[Entry, Summary]]:
        fast = self._fast_sums(newest)
        flagged = set(self._frozen.flagged())
        references = self._references(newest, {*fast, *flagged})
        for group in sorted(references):
            reference = references[group]
            regressed = is_regressed(fast.get(group), reference)
            if regressed and group not in flagged:
                yield self._frozen.freeze(group, newest, reference)
            elif group in flagged and not regressed:
                yield from self._frozen.thaw(group, newest)

    def _close(self, first: int, last: int) -> Iterator[tuple[Entry, Summary]]:
        sums = self._now.sums(first, last)
        known = [group for group in sorted(sums) if not self._frozen.covers(group, first, last)]
        rows = [sums[group].summary(group) for group in known]
        # Without rows too there is an entry: it says that the quarter is closed.
        for part, chunk in enumerate(list(_chunks(rows)) or [()]):
            entry = Entry(REFERENCE, self._shard, 0, last, part)
            yield entry, Summary(KIND, 0, last, part, chunk)

    def _open_quarters(self) -> list[int]:
        done = {entry.interval // self._quarter for entry in self._before.entries()}
        return sorted({entry.interval // self._quarter for entry in self._now.entries()} - done)

    def _fast_sums(self, newest: int) -> Mapping[Group, Sums]:
        return self._now.sums(first=newest - self._fast + 1)

    def _references(self, newest: int, groups: Iterable[Group]) -> dict[Group, Sums]:
        """What each group is compared with: frozen, or all that the fast window left behind."""
        total, left = self._before.total(), newest - self._fast
        opened: list[tuple[int, int, Mapping[Group, Sums]]] = []
        for quarter in self._open_quarters():
            first, last = quarter * self._quarter, min((quarter + 1) * self._quarter - 1, left)
            if first <= last:
                opened.append((first, last, self._now.sums(first, last)))
        references = {}
        for group in groups:
            frozen = self._frozen.reference(group)
            if frozen is None:
                frozen = Sums()
                if group in total:
                    frozen.merge(total[group])
                for first, last, sums in opened:
                    if group in sums and not self._frozen.covers(group, first, last):
                        frozen.merge(sums[group])
            references[group] = frozen
        return references

    def table(self) -> ThresholdTable | None:
        """Tell the thresholds as they follow from what is in; None: from nothing."""
        newest = self._newest
        if newest is None:
            return None
        now, fast = self._now.sums(), self._fast_sums(newest)
        references = self._references(newest, now)
        known = {
            group: group_thresholds(sums, fast.get(group), references[group])
            for group, sums in sorted(now.items())
        }
        groups = {group: found for group, found in known.items() if found is not None}
        return ThresholdTable(newest * INTERVAL_MS, groups)

    def tables(self) -> Mapping[bytes, bytes]:
        """Tell the records of the tables topic, key and value."""
        if self._made is None:  # else there is no news, and merging anew would differ by chance
            table, key = self.table(), b"thresholds/%d" % self._shard
            self._made = {} if table is None else {key: tables.pack(table)}
        return self._made

    def regressed(self) -> int:
        """Tell how many groups were flagged when the newest interval began."""
        return len(self._frozen.flagged())


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


def make_shards(window: int, reference: int) -> Shards[Thresholds]:
    """Make the shards, empty.

    Args:
        window: Intervals in the long window.
        reference: How many intervals back the reference reaches.

    Returns:
        What the app goes by.
    """
    # A quarter is closed once, so what says that it is must outlive what it was made of.
    retained = {
        KIND: window,
        REFERENCE.decode(): max(window, reference),
        FROZEN.decode(): reference,
    }
    return Shards(
        summaries.unpack, summaries.pack, retained, lambda shard: Thresholds(shard, window)
    )


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
    shards = make_shards(intervals(topology.window_ms), intervals(topology.reference_ms))

    def figures() -> dict[str, int]:
        return {"regressed": sum(shards.window(shard).regressed() for shard in shards.owned())}

    return assemble(settings, NAME, shards, topology.publish_ms, figures).app


def __getattr__(name: str) -> Any:
    """Make the app when `faust -A topologies.thresholds` asks for it, and not on import."""
    if name == "app":
        return globals().setdefault(name, app_from_environment(__name__))
    raise AttributeError(name)
