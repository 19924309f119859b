"""The trees of traces that are due, read back from the store for the policies that ask for them.

Hot: for the traces that the cheap policies left open. Each of their records is read and scanned
once, whichever and however many policies ask.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from streamsampler.engine.due_spans import DueSpans
from streamsampler.spans.columns import STRING, Booleans, Int64s, UInt64s
from streamsampler.spans.scan import Scan, Scanner
from streamsampler.store.found import Found
from streamsampler.traces.shapes import Shapes, no_shapes, shapes_of
from streamsampler.traces.words import value_words

SERVICE: Final = b"service.name"


class DueTrees:
    """The trees of n traces that are due; each is read when it is first asked for."""

    def __init__(self, scanner: Scanner, due: DueSpans) -> None:
        """Begin without having read any.

        Args:
            scanner: Looks for `SERVICE`; its room is used anew.
            due: The traces' spans.
        """
        self._scanner = scanner
        self._due = due
        self._known = np.zeros(len(due), np.bool_)
        self._shapes = no_shapes(len(due))

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
        for part in self._due.parts(new):
            found = self._read(part)
            self._shapes.rows[part] = found.rows
            found.steps["trace"] = part[found.steps["trace"]]
            steps.append(found.steps)
        self._known[new] = True
        if len(new):
            self._shapes = replace(self._shapes, steps=np.concatenate(steps))
        return self._shapes

    def _read(self, chosen: Int64s) -> Shapes:
        """Tell the shapes of some traces, in their order."""
        read = self._due.read(self._scanner, chosen)
        services, operations = _words(read.found, read.scan)
        mine = read.spans
        return shapes_of(
            read.scan.spans[mine], read.trace[mine], services[mine], operations[mine], len(chosen)
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

    def due(self, due: DueSpans) -> DueTrees:
        """Make ready to read traces that are due; nothing is read yet.

        Args:
            due: Their spans.

        Returns:
            Their trees; they hold until the records are released.
        """
        return DueTrees(self._scanner, due)
