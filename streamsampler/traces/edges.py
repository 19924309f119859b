"""The edges of a trace's tree, from label to label: how often they repeat, and their set's word.

A label is a service and an operation. Two traces whose services call each other in the same ways
have the same set of edges, however often each call is made.

Hot: two look-ups a span of the traces that a policy asks about.
"""

import numpy as np

from streamsampler.spans.columns import Rows, UInt32s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.traces.index import empty, home, mixed, slot_after, slot_count
from streamsampler.traces.links import CHILD

_ERROR_STATUS = 2


@kernel
def most_alike(nodes: Rows, slots: UInt32s) -> Word:
    """Count the children of one span that have one label: calls that were made again.

    Args:
        nodes: `NODE` rows of a trace, with their links.
        slots: uint32, scratch, more than there are nodes, and a key behind them.

    Returns:
        The most of any span and label; 0 where nothing stands under anything.
    """
    empty(slots)
    most: Word = 0
    for at in range(len(nodes)):
        if nodes[at]["role"] != CHILD:
            continue
        parent = nodes[at]["parent"]
        label = nodes[at]["label"]
        slot = home(slots, np.uint64(parent), label)
        while slots[slot] != 0:
            other = np.int64(slots[slot]) - 1
            if nodes[other]["parent"] == parent and nodes[other]["label"] == label:
                break
            slot = slot_after(slot, slot_count(slots))
        if slots[slot] == 0:
            slots[slot] = at + 1
            nodes[at]["alike"] = 0
        first = np.int64(slots[slot]) - 1
        nodes[first]["alike"] += 1
        most = max(most, np.int64(nodes[first]["alike"]))
    return most


@kernel
def sign(nodes: Rows, slots: UInt32s) -> Word:
    """Reduce a trace to a word for the set of its edges and whether a span has an error.

    What stands on top has an edge from its role: root, orphan or loop.

    Args:
        nodes: `NODE` rows of a trace, with their links; `edge` is written.
        slots: uint32, scratch, more than there are nodes, and a key behind them.

    Returns:
        uint64. It depends on the values alone: on no order, batch or process.
    """
    empty(slots)
    total = np.uint64(0)
    failed = np.uint64(0)
    for at in range(len(nodes)):
        if nodes[at]["status"] == _ERROR_STATUS:
            failed = np.uint64(1)
        above = np.uint64(nodes[at]["role"])
        if nodes[at]["role"] == CHILD:
            above = nodes[np.int64(nodes[at]["parent"])]["label"]
        edge = mixed(above, nodes[at]["label"])
        nodes[at]["edge"] = edge
        slot = home(slots, edge, np.uint64(0))
        while slots[slot] != 0 and nodes[np.int64(slots[slot]) - 1]["edge"] != edge:
            slot = slot_after(slot, slot_count(slots))
        if slots[slot] == 0:
            slots[slot] = at + 1
            total += edge
    return mixed(total, failed)
