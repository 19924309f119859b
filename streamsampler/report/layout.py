"""Where each span of a trace stands in its waterfall: the tree's rows and the bars' places."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamsampler.report.spans import ShownSpan
from streamsampler.traces.tree import Role, span_tree


@dataclass(frozen=True, slots=True)
class Row:
    """One span in a waterfall.

    Attributes:
        span: The span.
        depth: 0 for a root and for a span whose parent is not there.
        orphan: Whether it names a parent that it does not stand under.
        left: Where its bar begins, as a share of the trace's time line.
        width: How long its bar is, likewise; 0 for a span that ends before it starts.
    """

    span: ShownSpan
    depth: int
    orphan: bool
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A trace's waterfall without the drawing.

    Attributes:
        rows: Each span once, children after their parent.
        duration_ns: From the smallest start to the largest end, ns; 0 at least.
    """

    rows: tuple[Row, ...]
    duration_ns: int


def layout(spans: Sequence[ShownSpan]) -> Layout:
    """Arrange the spans of a trace.

    Args:
        spans: Of one trace, in any order.

    Returns:
        The tree in depth first order, siblings by their start.
    """
    tree = span_tree(spans)
    scale = tree.duration_ns or 1
    rows = []
    for node in tree.nodes:
        left = min(1.0, (node.span.start_ns - tree.start_ns) / scale)
        width = max(0.0, min(node.span.duration_ns / scale, 1.0 - left))
        orphan = node.role in {Role.ORPHAN, Role.LOOP}
        rows.append(Row(node.span, node.depth, orphan, left, width))
    return Layout(tuple(rows), tree.duration_ns)
