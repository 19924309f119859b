"""The shapes of traces: what their trees are like, as columns.

Parentage is by ids alone, as in `traces.tree`, and so is all but the critical path. Nothing
depends on the order in which spans came.

Hot: a sort and six look-ups a span, about 130 ns, for the traces that a policy asks about.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streamsampler.spans.columns import Booleans, Int32s, Int64s, Rows, UInt32s, UInt64s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.hash_key import HASH_KEY, KEY_WORDS
from streamsampler.traces.critical_path import walk_path
from streamsampler.traces.edges import most_alike, sign
from streamsampler.traces.index import empty_slots, give_key, slots_for
from streamsampler.traces.links import NODE, ORPHAN, ROOT, open_loops, put_in_order, tie_to_parents
from streamsampler.traces.words import label_words, word_of

SHAPE: Final = np.dtype(
    [
        ("signature", np.uint64),  # word of the set of its edges, and whether there is an error
        ("path_ns", np.uint64),  # length of the critical path
        ("largest_share", np.float64),  # of the path, spent in the service that took most of it
        ("roots", np.int32),  # spans that name no parent
        ("orphans", np.int32),  # spans that name a parent that is not here
        ("depth", np.int32),  # spans on the longest way down, the top included
        ("fan_out", np.int32),  # most children of one span
        ("repeats", np.int32),  # most children of one span with one service and one name
        ("critical_error", np.bool_),  # a span on the critical path has the status ERROR
    ],
    align=True,
)

# A span on a critical path.
STEP: Final = np.dtype(
    [
        ("trace", np.int64),  # row of its trace's shape
        ("service", np.uint64),  # word of its service (traces.words)
        ("ns", np.uint64),  # its own time on the path
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of n traces; rows of traces that nobody has asked for are zero.

    Attributes:
        rows: `SHAPE` rows [n].
        steps: `STEP` rows, those of one trace together.
    """

    rows: Rows
    steps: Rows

    @property
    def missing_root(self) -> Booleans:
        """bool[n], whether every span names a parent."""
        missing: Booleans = self.rows["roots"] == 0
        return missing

    def share_of(self, service: str) -> npt.NDArray[np.float64]:
        """Tell how much of each critical path was spent in a service.

        Args:
            service: Its name; empty for spans without one.

        Returns:
            float64[n], 0 to 1; 0 for a path of no length.
        """
        mine = self.steps[self.steps["service"] == word_of(service.encode())]
        spent = np.bincount(mine["trace"], mine["ns"].astype(np.float64), len(self.rows))
        return spent / np.maximum(self.rows["path_ns"].astype(np.float64), 1.0)

    def take(self, rows: Int64s) -> "Shapes":
        """Choose some of the traces.

        Args:
            rows: int64[m], which, each once.

        Returns:
            The shapes of these, in this order.
        """
        places = np.full(len(self.rows), -1, np.int64)
        places[rows] = np.arange(len(rows))
        steps = self.steps[places[self.steps["trace"]] >= 0]
        steps["trace"] = places[steps["trace"]]
        return Shapes(self.rows[rows], steps)


def no_shapes(count: int) -> Shapes:
    """Begin without having seen any trace.

    Args:
        count: How many traces there are.

    Returns:
        Shapes with nothing but zeros.
    """
    return Shapes(np.zeros(count, SHAPE), np.empty(0, STEP))


def shapes_of(
    spans: Rows, traces: Int64s, services: UInt64s, operations: UInt64s, count: int
) -> Shapes:
    """Find the shapes of traces.

    Args:
        spans: `SPAN` rows [n], in the order in which they came: of spans of a trace with one id,
            kind and start the first counts.
        traces: int64[n], which trace each belongs to, from 0 on.
        services: uint64[n], words of the services' names.
        operations: uint64[n], words of the spans' names.
        count: How many traces.

    Returns:
        The shapes of `count` traces.
    """
    order = _siblings_order(spans, traces)
    nodes = np.zeros(len(order), NODE)
    for name in ("span_id", "parent_id", "start", "kind", "status"):
        nodes[name] = spans[name][order]
    nodes["end"] = np.maximum(spans["start"], spans["end"])[order]
    nodes["service"] = services[order]
    nodes["label"] = label_words(services, operations)[order]
    bounds = np.searchsorted(traces[order], np.arange(count + 1))
    longest = int(np.diff(bounds).max(initial=0))
    shapes, steps = np.zeros(count, SHAPE), np.empty(len(nodes), STEP)
    scratch = np.empty(longest, np.int32)
    taken = draw_shapes(
        nodes, bounds, HASH_KEY, empty_slots(slots_for(longest)), scratch, shapes, steps
    )
    return Shapes(shapes, steps[:taken])


def _siblings_order(spans: Rows, traces: Int64s) -> Int64s:
    """Sort spans by trace, start, id and kind, each once."""
    order = np.lexsort((spans["start"], traces))
    # Starts in nanoseconds hardly ever meet, and two columns sort in half the time of four.
    if not _as_before((spans["start"], traces), order).any():
        return order
    columns = (spans["kind"], spans["span_id"], spans["start"], traces)
    order = np.lexsort(columns)
    return order[~_as_before(columns, order)]


def _as_before(columns: tuple[Rows, ...], order: Int64s) -> Booleans:
    """Find what equals the one before it in all columns."""
    equal = np.ones(len(order), np.bool_)
    equal[:1] = False
    for column in columns:
        equal[1:] &= column[order[1:]] == column[order[:-1]]
    return equal


@inlined
def _room(count: Word) -> Word:
    return max(16, 3 * count // 2) + KEY_WORDS


@inlined
def _measure(nodes: Rows, shape: Rows) -> None:
    """Count roots and orphans; find the greatest depth and the most children."""
    for at in range(len(nodes)):
        if nodes[at]["role"] == ROOT:
            shape["roots"] += 1
        elif nodes[at]["role"] == ORPHAN:
            shape["orphans"] += 1
        shape["depth"] = max(shape["depth"], nodes[at]["depth"] + 1)
        shape["fan_out"] = max(shape["fan_out"], nodes[at]["children"])


@kernel
def draw_shapes(
    nodes: Rows, bounds: Int64s, key: UInt32s, slots: UInt32s, order: Int32s, shapes: Rows,
    steps: Rows,
) -> Word:  # fmt: skip
    """Find the shapes of traces, one after the other.

    Args:
        nodes: `NODE` rows, what they have of their spans written: trace by trace, in the order of
            siblings.
        bounds: int64[n + 1], where each trace's begin and end.
        key: uint32[KEY_WORDS], of the index of each trace's spans.
        slots: uint32, scratch for the longest trace, with room for the key.
        order: int32, scratch for the longest trace.
        shapes: `SHAPE` rows [n], zero; written.
        steps: `STEP` rows, as many as nodes; written.

    Returns:
        How many steps.
    """
    taken = 0
    for trace in range(len(bounds) - 1):
        count = bounds[trace + 1] - bounds[trace]
        if count == 0:
            continue
        mine = nodes[bounds[trace] : bounds[trace + 1]]
        index = slots[: _room(count)]
        give_key(index, key)
        tie_to_parents(mine, index)
        open_loops(mine)
        put_in_order(mine, order[:count])
        _measure(mine, shapes[trace])
        shapes[trace]["repeats"] = most_alike(mine, index)
        shapes[trace]["signature"] = sign(mine, index)
        before = taken
        taken += walk_path(mine, order[:count], index, shapes[trace], steps[before:])
        for step in range(before, taken):
            steps[step]["trace"] = trace
    return taken
