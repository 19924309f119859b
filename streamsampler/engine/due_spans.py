"""The spans of traces that are due, read back from the store for those who ask.

Hot: for the traces that are asked for. Each of their records is read and scanned once a question.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.spans.columns import Int64s, Rows
from streamsampler.spans.scan import Scan, Scanner
from streamsampler.store import Shelf
from streamsampler.store.found import Found
from streamsampler.traces.places import places_of

MOST_SPANS: Final = 1 << 16
"""So many are read at once, and more of a trace that has more."""


@dataclass(frozen=True, slots=True)
class SpansRead:
    """Spans of some traces.

    Attributes:
        found: Their records.
        scan: The records' columns; they hold until the scanner's next call.
        spans: int64[m], rows of the scan's spans: those of the traces, without others that came
            in the same records.
        trace: int64[all of the scan's spans], which of the traces each is of.
    """

    found: Found
    scan: Scan
    spans: Int64s
    trace: Int64s


class DueSpans:
    """The spans of n traces that are due; nothing is read before somebody asks."""

    def __init__(self, shelf: Shelf, traces: Rows, records: Int64s) -> None:
        """Note where they are.

        Args:
            shelf: Holds the traces' records.
            traces: `TRACE` rows [n], before they are forgotten.
            records: int64[spans of these], record numbers, trace by trace.
        """
        self._shelf = shelf
        self._traces = traces
        self._records = records
        self._ends = np.cumsum(traces["spans"], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._traces)

    def parts(self, chosen: Int64s) -> Iterator[Int64s]:
        """Cut traces into parts of no more spans than are read at once.

        Args:
            chosen: int64[k], which of the traces.

        Yields:
            int64, one part after the other.
        """
        spans = np.cumsum(self._traces["spans"][chosen], dtype=np.int64)
        begin = 0
        while begin < len(chosen):
            before = int(spans[begin - 1]) if begin else 0
            behind = max(int(np.searchsorted(spans, before + MOST_SPANS, "right")), begin + 1)
            yield chosen[begin:behind]
            begin = behind

    def read(self, scanner: Scanner, chosen: Int64s) -> SpansRead:
        """Read the spans of some traces.

        Args:
            scanner: Looks for what is wanted of them.
            chosen: int64[k], which of the traces.

        Returns:
            Their spans; ``trace`` counts in the order of `chosen`.

        Raises:
            StoreError: A block cannot be read.
        """
        traces = self._traces[chosen]
        counts = traces["spans"].astype(np.int64)
        places = np.repeat(np.arange(len(chosen)), counts)
        first = np.repeat(self._ends[chosen] - np.cumsum(counts), counts)
        records = self._records[first + np.arange(len(places))]
        numbers, held = np.unique(records, return_inverse=True)
        found = self._shelf.find(numbers)
        # As the batches' buffers are, so that kernels see one type.
        found.body.setflags(write=False)
        scan = scanner.scan(found.body, found.bounds)
        of_span = places_of(scan.spans, traces)
        # A record may hold spans of a trace that came too late for it, or are duplicates.
        theirs = np.unique(places * len(numbers) + held)
        pairs = of_span * len(numbers) + scan.spans["record"]
        mine = np.flatnonzero((of_span >= 0) & np.isin(pairs, theirs))
        return SpansRead(found, scan, mine, of_span)
