"""The trees of traces that are due, read back from the store for the policies that ask for them.

Hot: for the traces that the cheap policies left open. Each of their records is read and scanned
once, whichever and however many policies ask.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from streamsampler.spans.columns import STRING, Booleans, Int64s, Rows, UInt64s
from streamsampler.spans.scan import Scan, Scanner
from streamsampler.store import Shelf
from streamsampler.store.found import Found
from streamsampler.traces.places import places_of
from streamsampler.traces.shapes import Shapes, no_shapes, shapes_of
from streamsampler.traces.words import value_words

SERVICE: Final = b"service.name"
_MOST_SPANS: Final = 1 << 16  # as many are read at once, and more of a trace that has more


class DueTrees:
    """The trees of n traces that are due; each is read when it is first asked for."""

    def __init__(self, scanner: Scanner, shelf: Shelf, traces: Rows, records: Int64s) -> None:
        """Begin without having read any.

        Args:
            scanner: Looks for `SERVICE`; its room is used anew.
            shelf: Holds the traces' records.
            traces: `TRACE` rows [n].
            records: int64[spans of these], record numbers, trace by trace.
        """
        self._scanner = scanner
        self._shelf = shelf
        self._traces = traces
        self._records = records
        self._ends = np.cumsum(traces["spans"], dtype=np.int64)
        self._known = np.zeros(len(traces), np.bool_)
        self._shapes = no_shapes(len(traces))

    def shapes(self, asked: Booleans) -> Shapes:
        """Tell the shapes of traces.

        Args:
            asked: bool[n], of which.

        Returns:
            The shapes of all n; those that nobody has asked for are zero.

        Raises:
            StoreError: A block cannot be read.
        """
        new = np.flatnonzero(asked & ~self._known)
        steps = [self._shapes.steps]
        for part in self._parts(new):
            found = self._read(part)
            self._shapes.rows[part] = found.rows
            found.steps["trace"] = part[found.steps["trace"]]
            steps.append(found.steps)
        self._known[new] = True
        if len(new):
            self._shapes = replace(self._shapes, steps=np.concatenate(steps))
        return self._shapes

    def _parts(self, chosen: Int64s) -> Iterator[Int64s]:
        """Cut traces into parts of no more spans than are read at once."""
        spans = np.cumsum(self._traces["spans"][chosen], dtype=np.int64)
        begin = 0
        while begin < len(chosen):
            before = int(spans[begin - 1]) if begin else 0
            behind = max(int(np.searchsorted(spans, before + _MOST_SPANS, "right")), begin + 1)
            yield chosen[begin:behind]
            begin = behind

    def _read(self, chosen: Int64s) -> Shapes:
        """Read the spans of some traces and tell their shapes, in the order of the traces."""
        traces = self._traces[chosen]
        counts = traces["spans"].astype(np.int64)
        places = np.repeat(np.arange(len(chosen)), counts)
        first = np.repeat(self._ends[chosen] - np.cumsum(counts), counts)
        records = self._records[first + np.arange(len(places))]
        numbers, held = np.unique(records, return_inverse=True)
        found = self._shelf.find(numbers)
        # As the batches' buffers are, so that kernels see one type.
        found.body.setflags(write=False)
        scan = self._scanner.scan(found.body, found.bounds)
        of_span = places_of(scan.spans, traces)
        # A record may hold spans of a trace that came too late for it, or are duplicates.
        theirs = np.unique(places * len(numbers) + held)
        pairs = of_span * len(numbers) + scan.spans["record"]
        mine = np.flatnonzero((of_span >= 0) & np.isin(pairs, theirs))
        services, operations = _words(found, scan)
        return shapes_of(
            scan.spans[mine], of_span[mine], services[mine], operations[mine], len(chosen)
        )


def _words(found: Found, scan: Scan) -> tuple[UInt64s, UInt64s]:
    """Reduce each span's service and operation to words; no service is an empty one."""
    named = scan.resources[:, 0]
    known = named["kind"] == STRING
    positions = np.where(known, named["word"], 0)
    services = value_words(found.body, positions, np.where(known, named["size"], np.int32(0)))
    operations = value_words(found.body, scan.spans["name_at"], scan.spans["name_size"])
    return services[scan.spans["resource"]], operations


class TreeReader:
    """Reads trees, with room that serves from one verdict to the next."""

    def __init__(self) -> None:
        """Prepare the scan."""
        self._scanner = Scanner((SERVICE,))

    def due(self, shelf: Shelf, traces: Rows, records: Int64s) -> DueTrees:
        """Make ready to read traces that are due; nothing is read yet.

        Args:
            shelf: Holds their records.
            traces: `TRACE` rows [n], before they are forgotten.
            records: int64[spans of these], record numbers, trace by trace.

        Returns:
            Their trees; they hold until the records are released.
        """
        return DueTrees(self._scanner, shelf, traces, records)
