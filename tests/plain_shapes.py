"""The shapes of traces, told slowly from their trees, and the columns for the compiled form."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from hypothesis import strategies as st

from streamsampler.spans.columns import SPAN
from streamsampler.traces.shapes import Shapes, shapes_of
from streamsampler.traces.tree import Node, Role, SpanTree, span_tree
from streamsampler.traces.words import word_of

ERROR = 2
SERVER, CLIENT = 2, 3


@dataclass(frozen=True, slots=True)
class Span:
    """A span; its ids are small numbers, and no parent is 0."""

    number: int
    parent: int = 0
    start_ns: int = 0
    end_ns: int = 0
    service: str = "shop"
    name: str = "get"
    kind: int = 1
    status: int = 0

    @property
    def span_id(self) -> bytes:
        return self.number.to_bytes(8, "big")

    @property
    def parent_id(self) -> bytes:
        return self.parent.to_bytes(8, "big") if self.parent else b""

    @property
    def identity(self) -> tuple[int, int, int]:
        return (self.number, self.kind, self.start_ns)


@dataclass(frozen=True, slots=True)
class PlainShape:
    roots: int
    orphans: int
    depth: int
    fan_out: int
    repeats: int
    path: tuple[tuple[str, int], ...]  # service and own time of each step, the last first
    critical_error: bool
    signature: object

    @property
    def path_ns(self) -> int:
        return sum(ns for _, ns in self.path)

    def share_of(self, service: str) -> float:
        spent = sum(ns for name, ns in self.path if name == service)
        return spent / self.path_ns if self.path_ns else 0.0


def without_duplicates(spans: Sequence[Span]) -> list[Span]:
    first = {span.identity: span for span in reversed(spans)}
    return [span for span in spans if first[span.identity] is span]


def plain_shape(spans: Sequence[Span]) -> PlainShape:
    """Tell the shape of a trace of one span at least."""
    tree = span_tree(without_duplicates(spans))
    roles = Counter(node.role for node in tree.nodes)
    families = [[tree.nodes[child].span for child in node.children] for node in tree.nodes]
    alike = [Counter((span.service, span.name) for span in family) for family in families]
    path = list(_path(tree))
    edges = frozenset(_edge(tree, node) for node in tree.nodes)
    return PlainShape(
        roots=roles[Role.ROOT],
        orphans=roles[Role.ORPHAN],
        depth=1 + max(node.depth for node in tree.nodes),
        fan_out=max(map(len, families)),
        repeats=max((count for counts in alike for count in counts.values()), default=0),
        path=tuple((span.service, ns) for span, ns in path),
        critical_error=any(span.status == ERROR for span, _ in path),
        signature=(edges, any(node.span.status == ERROR for node in tree.nodes)),
    )


def _edge(tree: SpanTree[Span], node: Node[Span]) -> object:
    above = tree.nodes[node.parent].span if node.role is Role.CHILD else None
    label = (above.service, above.name) if above else node.role
    return (label, node.span.service, node.span.name)


def _end(span: Span) -> int:
    return max(span.start_ns, span.end_ns)


def _path(tree: SpanTree[Span]) -> Iterator[tuple[Span, int]]:
    tops = [node for node in tree.nodes if node.role is not Role.CHILD]
    roots = [node for node in tops if node.role is Role.ROOT]
    begin = min(
        roots or tops, key=lambda node: (node.span.start_ns, node.span.number, node.span.kind)
    )
    yield from _path_below(tree, begin, begin.span.start_ns, _end(begin.span))


def _path_below(
    tree: SpanTree[Span], node: Node[Span], low: int, high: int
) -> Iterator[tuple[Span, int]]:
    def cut(moment: int) -> int:
        return min(max(moment, low), high)

    children = [tree.nodes[child] for child in node.children]
    by_end = sorted(
        enumerate(children),
        key=lambda one: (cut(_end(one[1].span)), _end(one[1].span), -one[0]),
    )
    cursor, own = high, 0
    for _, child in reversed(by_end):
        start, end = cut(child.span.start_ns), cut(_end(child.span))
        called = (node.span.kind, child.span.kind) == (CLIENT, SERVER)
        if end > cursor or (child.span.start_ns > _end(node.span) and not called):
            continue
        own += cursor - end
        yield from _path_below(tree, child, start, end)
        cursor = start
    yield node.span, own + cursor - low


def shapes(traces: Sequence[Sequence[Span]], order: Sequence[int] | None = None) -> Shapes:
    """Tell the shapes of traces by the compiled form, their spans in some order."""
    pairs = [(trace, span) for trace, spans in enumerate(traces) for span in spans]
    pairs = [pairs[at] for at in order] if order is not None else pairs
    spans = np.zeros(len(pairs), SPAN)
    spans["span_id"] = [span.number for _, span in pairs]
    spans["parent_id"] = [span.parent for _, span in pairs]
    spans["start"] = [span.start_ns for _, span in pairs]
    spans["end"] = [span.end_ns for _, span in pairs]
    spans["kind"] = [span.kind for _, span in pairs]
    spans["status"] = [span.status for _, span in pairs]
    words = {
        value: word_of(value.encode()) for _, span in pairs for value in (span.service, span.name)
    }
    return shapes_of(
        spans,
        np.array([trace for trace, _ in pairs], np.int64),
        np.array([words[span.service] for _, span in pairs], np.uint64),
        np.array([words[span.name] for _, span in pairs], np.uint64),
        len(traces),
    )


# Traces, drawn as texts of bytes: eight to a span.


def _span(choices: bytes) -> Span:
    number, parent, start, length, service, name, kind, status = choices
    begin = start % 24
    return Span(
        number=1 + number % 9,
        parent=parent % 11,
        start_ns=begin,
        end_ns=max(0, begin + length % 20 - 3),
        service="abc"[service % 3],
        name="xy"[name % 2],
        kind=(1, CLIENT, SERVER)[kind % 3],
        status=ERROR if status % 6 == 1 else 0,
    )


def _trace(choices: bytes) -> list[Span]:
    return [_span(choices[at : at + 8]) for at in range(0, len(choices), 8)]


def span_lists() -> st.SearchStrategy[list[Span]]:
    """Draw tangled traces of one to sixteen spans: shared ids, loops, skew, duplicates."""
    sizes = st.integers(1, 16)
    return sizes.flatmap(lambda size: st.binary(min_size=8 * size, max_size=8 * size)).map(_trace)


def mixed_word(hi: int, lo: int) -> int:
    word = hi * 0x9E3779B97F4A7C15 % 2**64
    word = (word ^ word >> 32) * 0x9E3779B97F4A7C15 % 2**64 ^ lo
    word = (word ^ word >> 32) * 0xBF58476D1CE4E5B9 % 2**64
    return word ^ word >> 29


def plain_word(value: bytes) -> int:
    """Reduce a value to a word, by the definition."""
    pieces = [int.from_bytes(value[at : at + 8], "little") for at in range(0, len(value), 8)]
    return reduce(mixed_word, pieces, len(value))
