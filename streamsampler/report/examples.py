"""Which kept traces a report draws: the slowest with an error, and the slowest without."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from streamsampler.outcome import Decision
from streamsampler.report.spans import ShownSpan, spans_shown


@dataclass(frozen=True, slots=True)
class Example:
    """A kept trace and its verdict.

    Attributes:
        decision: Why it was kept.
        spans: All of them, at least one.
    """

    decision: Decision
    spans: Sequence[ShownSpan]


@dataclass(slots=True)
class Examples:
    """Picks a few kept traces while a run goes on, and holds no more than those.

    Attributes:
        most: How many with an error, and how many without.
        max_bytes: A trace with more bytes of spans is not picked.
    """

    most: int = 4
    max_bytes: int = 1_000_000
    _with_error: list[tuple[int, bytes, Decision, list[bytes]]] = field(default_factory=list)
    _without: list[tuple[int, bytes, Decision, list[bytes]]] = field(default_factory=list)

    def offer(self, decision: Decision, values: Iterable[bytes]) -> None:
        """Consider a trace.

        Args:
            decision: Its verdict, ``sampled``; each trace is offered once.
            values: The values of its output records.
        """
        kept = list(values)
        if not kept or sum(map(len, kept)) > self.max_bytes:
            return
        heap = self._with_error if decision.error else self._without
        # The trace id settles equal durations, whatever the order in which they come.
        entry = (decision.duration_ns, decision.trace_id, decision, kept)
        if len(heap) < self.most:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)

    def picked(self) -> list[Example]:
        """Read the spans of the picked ones.

        Returns:
            Errors first, the slowest first among them, then the others likewise.
        """
        ranked = [*sorted(self._with_error, reverse=True), *sorted(self._without, reverse=True)]
        return [Example(decision, spans_shown(values)) for _, _, decision, values in ranked]
