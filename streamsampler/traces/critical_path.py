"""The critical path of a trace: which spans its root's duration was spent in.

From the root's end backwards: the child that ended last held the root up, and is looked into
first; from where it began on, the child that had ended last by then; and so on. What no child
covers is the span's own time. The path's steps together take as long as the root.

Clocks of different services disagree, so a child's interval is cut to that of its parent, and
one that ends before its parent begins is a moment at the beginning. A child that begins after its
parent's end was not waited for and is not on the path, but a server's side is, below its client:
there it is the clocks that are wrong.

Source: Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures",
USENIX ATC 2022, section 3.

Hot: a sort of the children of each span on the path.
"""

import numpy as np

from streamsampler.spans.columns import Int32s, Rows, UInt32s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.traces.index import empty, home, slot_after, slot_count
from streamsampler.traces.links import CHILD, CLIENT, ROOT, SERVER

_ERROR_STATUS = 2


@inlined
def _ends_before(nodes: Rows, one: Word, other: Word) -> Word:
    """Tell whether of two siblings one ended first; of equal ones, the one that began last."""
    if nodes[one]["high"] != nodes[other]["high"]:
        return nodes[one]["high"] < nodes[other]["high"]
    if nodes[one]["end"] != nodes[other]["end"]:
        return nodes[one]["end"] < nodes[other]["end"]
    return one > other


@inlined
def _sift(nodes: Rows, brood: Int32s, place: Word, behind: Word) -> None:
    """Let one of a heap sink to its place below those that ended after it."""
    at = place
    while True:
        later = 2 * at + 1
        if later >= behind:
            break
        if later + 1 < behind and _ends_before(nodes, brood[later], brood[later + 1]):
            later += 1
        if not _ends_before(nodes, brood[at], brood[later]):
            break
        brood[at], brood[later] = brood[later], brood[at]
        at = later


@kernel
def sort_by_end(nodes: Rows, brood: Int32s) -> None:
    """Sort siblings by their ends, the one that ended last behind all others.

    Args:
        nodes: `NODE` rows of a trace.
        brood: int32, nodes, sorted in place. Siblings alike stand in falling order.
    """
    for half in range(len(brood) // 2, 0, -1):
        _sift(nodes, brood, half - 1, len(brood))
    for last in range(len(brood) - 1, 0, -1):
        brood[0], brood[last] = brood[last], brood[0]
        _sift(nodes, brood, 0, last)


@inlined
def _within(low: Word, high: Word, moment: Word) -> Word:
    return min(max(moment, low), high)


@inlined
def _enter(nodes: Rows, order: Int32s, at: Word) -> None:
    """Begin a span's part of the path: its children get their intervals and their order."""
    low = nodes[at]["low"]
    high = nodes[at]["high"]
    begin = np.int64(nodes[at]["brood_at"])
    behind = begin + np.int64(nodes[at]["children"])
    for place in range(begin, behind):
        child = np.int64(order[place])
        nodes[child]["low"] = _within(low, high, nodes[child]["start"])
        nodes[child]["high"] = _within(low, high, nodes[child]["end"])
    sort_by_end(nodes, order[begin:behind])
    nodes[at]["cursor"] = high
    nodes[at]["waiting"] = behind - begin
    nodes[at]["self_ns"] = 0


@inlined
def _held_up(nodes: Rows, at: Word, child: Word) -> Word:
    """Tell whether a span waited for its child, as far as clocks can tell."""
    called = nodes[at]["kind"] == CLIENT and nodes[child]["kind"] == SERVER
    return called or nodes[child]["start"] <= nodes[at]["end"]


@inlined
def _next_child(nodes: Rows, order: Int32s, at: Word) -> Word:
    """Find the child that had ended last by the cursor, or -1."""
    found: Word = -1
    while found < 0 and nodes[at]["waiting"] > 0:
        nodes[at]["waiting"] -= 1
        child = np.int64(order[np.int64(nodes[at]["brood_at"]) + np.int64(nodes[at]["waiting"])])
        if nodes[child]["high"] <= nodes[at]["cursor"] and _held_up(nodes, at, child):
            found = child
    return found


@inlined
def _add_to_service(nodes: Rows, slots: UInt32s, at: Word) -> Word:
    """Add a span's own time to that of its service; returns what this comes to, ns."""
    service = nodes[at]["service"]
    slot = home(slots, service, np.uint64(0))
    while slots[slot] != 0 and nodes[np.int64(slots[slot]) - 1]["service"] != service:
        slot = slot_after(slot, slot_count(slots))
    if slots[slot] == 0:
        slots[slot] = at + 1
        nodes[at]["service_ns"] = 0
    first = np.int64(slots[slot]) - 1
    nodes[first]["service_ns"] += nodes[at]["self_ns"]
    return nodes[first]["service_ns"]


@inlined
def _where_it_begins(nodes: Rows) -> Word:
    """Find the first root, or without one the first span on top."""
    top: Word = -1
    for at in range(len(nodes)):
        if nodes[at]["role"] == ROOT:
            return at
        if top < 0 and nodes[at]["role"] != CHILD:
            top = at
    return top


@kernel
def walk_path(nodes: Rows, order: Int32s, slots: UInt32s, shape: Rows, steps: Rows) -> Word:
    """Follow the critical path of a trace.

    Args:
        nodes: `NODE` rows of the trace, one at least, in the order of siblings, with their links.
        order: int32[nodes], as `put_in_order` left it; siblings change places.
        slots: uint32, scratch, more than there are nodes, and a key behind them.
        shape: `SHAPE` row of the trace; `path_ns`, `largest_share` and `critical_error` are
            written.
        steps: `STEP` rows, one a node at least; `service` and `ns` are written, the last step
            first.

    Returns:
        How many steps.
    """
    empty(slots)
    top = _where_it_begins(nodes)
    nodes[top]["low"] = nodes[top]["start"]
    nodes[top]["high"] = nodes[top]["end"]
    _enter(nodes, order, top)
    count = 0
    largest = np.uint64(0)
    failed = False
    at = top
    while True:
        child = _next_child(nodes, order, at)
        if child >= 0:
            nodes[at]["self_ns"] += nodes[at]["cursor"] - nodes[child]["high"]
            nodes[at]["cursor"] = nodes[child]["low"]
            _enter(nodes, order, child)
            at = child
            continue
        nodes[at]["self_ns"] += nodes[at]["cursor"] - nodes[at]["low"]
        steps[count]["service"] = nodes[at]["service"]
        steps[count]["ns"] = nodes[at]["self_ns"]
        count += 1
        largest = max(largest, _add_to_service(nodes, slots, at))
        failed = failed or nodes[at]["status"] == _ERROR_STATUS
        if at == top:
            break
        at = np.int64(nodes[at]["parent"])
    path = nodes[top]["end"] - nodes[top]["start"]
    shape["path_ns"] = path
    shape["largest_share"] = np.float64(largest) / np.float64(path) if path > 0 else 0.0
    shape["critical_error"] = failed
    return count
