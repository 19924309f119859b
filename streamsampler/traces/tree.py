"""The span tree: who called whom, by parent ids alone.

Clocks of different services disagree, and a span may outlive the one that started it, so time
says nothing about parentage: a child may begin before its parent and end after it. Time only
orders siblings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

_SERVER: Final = 2  # SPAN_KIND_SERVER of the trace schema
_NO_NODE: Final = -1


class PlacedSpan(Protocol):
    """What the tree reads of a span; whatever else it carries stays with it."""

    @property
    def span_id(self) -> bytes:
        """8 bytes."""

    @property
    def parent_id(self) -> bytes:
        """8 bytes; empty for a root."""

    @property
    def start_ns(self) -> int:
        """Start in ns since the epoch."""

    @property
    def end_ns(self) -> int:
        """End in ns since the epoch; before the start where a clock is broken."""

    @property
    def kind(self) -> int:
        """The number of its SpanKind."""

    @property
    def name(self) -> str:
        """Its operation; the last to decide on the order of equal siblings."""


S = TypeVar("S", bound=PlacedSpan)


class Role(Enum):
    """How a span came to its place."""

    ROOT = "root"  # names no parent
    ORPHAN = "orphan"  # names a parent that is not here
    LOOP = "loop"  # its parents lead back to itself: the first of the loop stands on top
    CHILD = "child"  # stands under its parent


@dataclass(frozen=True, slots=True)
class Node(Generic[S]):
    """A span in its tree.

    Attributes:
        span: The span.
        role: How it came to its place; all but CHILD have depth 0.
        depth: Steps down from the top, 0 for the top itself.
        parent: Index of its parent's node; -1 for none.
        children: Indexes of its children's nodes, by start, then id.
    """

    span: S
    role: Role
    depth: int
    parent: int
    children: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SpanTree(Generic[S]):
    """The spans of one trace; more than one tree where parents are missing.

    Attributes:
        nodes: Every span once, each parent before its children, depth first. Tops in the order
            roots, orphans, loops; siblings by start, then id.
        start_ns: The smallest start, ns since the epoch; 0 without spans.
        duration_ns: From there to the largest end, ns; 0 at least.
    """

    nodes: tuple[Node[S], ...]
    start_ns: int
    duration_ns: int


def span_tree(spans: Iterable[S]) -> SpanTree[S]:
    """Build the tree of a trace's spans.

    Where two spans share an id, as the two sides of a call do in Zipkin, they are siblings and
    their children stand under the server's side, or under the first of the two.

    Args:
        spans: Of one trace, in any order. The tree is the same for every order.

    Returns:
        The tree.
    """
    ordered = sorted(spans, key=_sibling_order)
    if not ordered:
        return SpanTree((), 0, 0)
    parents, roles = _parents(ordered)
    _open_loops(parents, roles)
    start_ns = min(span.start_ns for span in ordered)
    duration_ns = max(0, max(span.end_ns for span in ordered) - start_ns)
    return SpanTree(_depth_first(ordered, parents, roles), start_ns, duration_ns)


def _sibling_order(span: PlacedSpan) -> tuple[int, bytes, int, int, bytes, str]:
    return (span.start_ns, span.span_id, span.kind, span.end_ns, span.parent_id, span.name)


def _parents(spans: Sequence[PlacedSpan]) -> tuple[list[int], list[Role]]:
    """Find each span's parent among the spans, as an index, and its role as far as known."""
    by_id: dict[bytes, int] = {}
    for at, span in enumerate(spans):
        known = by_id.setdefault(span.span_id, at)
        if span.kind == _SERVER and spans[known].kind != _SERVER:
            by_id[span.span_id] = at
    parents: list[int] = []
    roles: list[Role] = []
    for span in spans:
        parent = by_id.get(span.parent_id, _NO_NODE) if span.parent_id else _NO_NODE
        parents.append(parent)
        missing = Role.ORPHAN if span.parent_id else Role.ROOT
        roles.append(missing if parent == _NO_NODE else Role.CHILD)
    return parents, roles


def _open_loops(parents: list[int], roles: list[Role]) -> None:
    """Take the first span of each loop of parents out from under its parent."""
    unseen = _NO_NODE
    walk_of = [unseen] * len(parents)
    for walk in range(len(parents)):
        at = walk
        while at != _NO_NODE and walk_of[at] == unseen:
            walk_of[at] = walk
            at = parents[at]
        if at == _NO_NODE or walk_of[at] != walk:
            continue
        loop = [at]
        while parents[loop[-1]] != at:
            loop.append(parents[loop[-1]])
        first = min(loop)
        parents[first] = _NO_NODE
        roles[first] = Role.LOOP


_TOPS: Final = {Role.ROOT: 0, Role.ORPHAN: 1, Role.LOOP: 2}


def _depth_first(
    spans: Sequence[S],
    parents: Sequence[int],
    roles: Sequence[Role],
) -> tuple[Node[S], ...]:
    """Number the nodes and tie them; without recursion, as a trace may be one long chain."""
    children: list[list[int]] = [[] for _ in spans]
    for at, parent in enumerate(parents):
        if parent != _NO_NODE:
            children[parent].append(at)
    tops = [at for at, role in enumerate(roles) if role in _TOPS]
    waiting = sorted(tops, key=lambda at: _TOPS[roles[at]])[::-1]
    order: list[int] = []
    while waiting:
        at = waiting.pop()
        order.append(at)
        waiting.extend(reversed(children[at]))
    node_of = {at: node for node, at in enumerate(order)}
    depths: dict[int, int] = {_NO_NODE: -1}
    for at in order:
        depths[at] = depths[parents[at]] + 1
    return tuple(
        Node(
            span=spans[at],
            role=roles[at],
            depth=depths[at],
            parent=node_of.get(parents[at], _NO_NODE),
            children=tuple(node_of[child] for child in children[at]),
        )
        for at in order
    )
