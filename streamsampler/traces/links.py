"""The links of a span tree as columns: who stands under whom, for one trace at a time.

It is `traces.tree` for kernels: parents by ids alone, the server's side of a shared id first,
loops of parents opened at their first span. The spans stand in the order of siblings, so that
nothing depends on the order in which they came.

Hot: two look-ups a span of the traces that a policy asks about. Nothing is recursive, as a trace
may be one long chain.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Int32s, Rows, UInt32s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.traces.index import empty, home, slot_after, slot_count

NODE: Final = np.dtype(
    [
        ("span_id", np.uint64),
        ("parent_id", np.uint64),  # 0: a root
        ("start", np.uint64),  # ns
        ("end", np.uint64),  # ns, not before the start
        ("service", np.uint64),  # word of its name (traces.words)
        ("label", np.uint64),  # word of its service and operation
        ("edge", np.uint64),  # word of its parent's label and its own
        ("low", np.uint64),  # its interval within that of its parent, where a path passes, ns
        ("high", np.uint64),
        ("cursor", np.uint64),  # up to where its part of the path is still to be told, ns
        ("self_ns", np.uint64),  # its own time on the path
        ("service_ns", np.uint64),  # of all of its service; of one span of each service alone
        ("parent", np.int32),  # node, or -1
        ("first_child", np.int32),  # node, or -1
        ("next_sibling", np.int32),  # node, or -1
        ("children", np.int32),  # how many
        ("brood_at", np.int32),  # where its children stand in the order of all nodes
        ("waiting", np.int32),  # how many of these the path has not looked at
        ("depth", np.int32),  # steps down from the top
        ("alike", np.int32),  # siblings with its label; of one of them alone
        ("walk", np.int32),  # number of the walk that came by first
        ("kind", np.int32),
        ("status", np.int32),
        ("role", np.uint8),  # CHILD to LOOP
    ],
    align=True,
)

CHILD, ROOT, ORPHAN, LOOP = range(4)
"""How a span came to its place; all but CHILD stand on top (`tree.Role`)."""

NO_NODE: Final = -1
SERVER, CLIENT = 2, 3


@inlined
def slot_of_id(nodes: Rows, slots: UInt32s, span_id: Word) -> Word:
    """Find where an id stands in the index, or would stand.

    Args:
        nodes: `NODE` rows of a trace.
        slots: uint32, their index; node + 1, or 0; and its key.
        span_id: uint64.

    Returns:
        The slot.
    """
    slot = home(slots, span_id, np.uint64(0))
    while slots[slot] != 0 and nodes[np.int64(slots[slot]) - 1]["span_id"] != span_id:
        slot = slot_after(slot, slot_count(slots))
    return slot


@kernel
def tie_to_parents(nodes: Rows, slots: UInt32s) -> None:
    """Find each span's parent.

    Where two spans share an id, as the two sides of a call do in Zipkin, their children stand
    under the server's side, or under the first of the two.

    Args:
        nodes: `NODE` rows of a trace in the order of siblings; `parent` and `role` are written.
        slots: uint32, scratch, more than there are nodes, and a key behind them.
    """
    empty(slots)
    for at in range(len(nodes)):
        slot = slot_of_id(nodes, slots, nodes[at]["span_id"])
        known = np.int64(slots[slot]) - 1
        if known < 0 or (nodes[at]["kind"] == SERVER and nodes[known]["kind"] != SERVER):
            slots[slot] = at + 1
    for at in range(len(nodes)):
        nodes[at]["parent"] = NO_NODE
        nodes[at]["role"] = ROOT
        if nodes[at]["parent_id"] != 0:
            parent = np.int64(slots[slot_of_id(nodes, slots, nodes[at]["parent_id"])]) - 1
            nodes[at]["parent"] = parent
            nodes[at]["role"] = CHILD if parent >= 0 else ORPHAN


@kernel
def open_loops(nodes: Rows) -> None:
    """Take the first span of each loop of parents out from under its parent.

    Args:
        nodes: `NODE` rows of a trace, tied to their parents; `walk` is 0.
    """
    for start in range(len(nodes)):
        at: Word = start
        while at >= 0 and nodes[at]["walk"] == 0:
            nodes[at]["walk"] = start + 1
            at = np.int64(nodes[at]["parent"])
        if at < 0 or nodes[at]["walk"] != start + 1:
            continue
        first: Word = at
        other = np.int64(nodes[at]["parent"])
        while other != at:
            first = min(first, other)
            other = np.int64(nodes[other]["parent"])
        nodes[first]["parent"] = NO_NODE
        nodes[first]["role"] = LOOP


@kernel
def put_in_order(nodes: Rows, order: Int32s) -> None:
    """Number the nodes so that each stands behind its parent and beside its siblings.

    Args:
        nodes: `NODE` rows of a trace, tied and without loops; `children`, `brood_at` and `depth`
            are written.
        order: int32[nodes], written: the nodes, top level first.
    """
    for at in range(len(nodes)):
        nodes[at]["first_child"] = NO_NODE
        nodes[at]["children"] = 0
    for at in range(len(nodes) - 1, -1, -1):
        parent = np.int64(nodes[at]["parent"])
        if parent >= 0:
            nodes[at]["next_sibling"] = nodes[parent]["first_child"]
            nodes[parent]["first_child"] = at
            nodes[parent]["children"] += 1
    filled = 0
    for at in range(len(nodes)):
        if nodes[at]["role"] != CHILD:
            nodes[at]["depth"] = 0
            order[filled] = at
            filled += 1
    for place in range(len(nodes)):
        above = np.int64(order[place])
        nodes[above]["brood_at"] = filled
        child = np.int64(nodes[above]["first_child"])
        while child >= 0:
            nodes[child]["depth"] = nodes[above]["depth"] + 1
            order[filled] = child
            filled += 1
            child = np.int64(nodes[child]["next_sibling"])
