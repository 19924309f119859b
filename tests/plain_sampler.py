"""The plain, slow twin of the engine: one partition, one record at a time, objects and dicts.

Written from the rules: stream time is the largest record time; a trace whose deadline it has
reached is decided before the record that moved it is taken in; a duplicate is a span with the id,
kind and start of one that its trace has, or of one of a sampled trace that is out; late spans
follow their trace's verdict.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.oracle_otlp import Malformed, SpanFields, read_record

_DECIDED = 2**62
"""In place of a late span's offset: it came out with its trace."""


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """One record of the input."""

    offset: int
    time_ms: int
    value: bytes


@dataclass(slots=True)
class PlainTrace:
    """An undecided trace."""

    first_ms: int
    due_ms: int
    newest: int
    spans: list[SpanFields] = field(default_factory=list)
    limit: bool = False

    def complete(self) -> bool:
        here = {span.span_id for span in self.spans}
        parents = {span.parent_span_id for span in self.spans}
        return b"" in parents and parents - {b""} <= here

    def duration_ns(self) -> int:
        return max(0, max(span.end for span in self.spans) - min(span.start for span in self.spans))


@dataclass(frozen=True, slots=True)
class PlainDecision:
    """A verdict as the twin gives it."""

    trace_id: bytes
    sampled: bool
    trigger: str
    spans: int
    duration_ns: int


Judge = Callable[[bytes, PlainTrace], bool]


@dataclass(slots=True)
class PlainSampler:
    """Rules only."""

    wait_ms: int
    grace_ms: int
    most_spans: int
    judge: Judge
    now_ms: int = -1
    traces: dict[bytes, PlainTrace] = field(default_factory=dict)
    verdicts: dict[bytes, bool] = field(default_factory=dict)
    decisions: list[PlainDecision] = field(default_factory=list)
    kept: dict[bytes, list[tuple[bytes, int, int]]] = field(default_factory=dict)
    out: dict[bytes, dict[tuple[bytes, int, int], int]] = field(default_factory=dict)
    duplicates: int = 0
    dead: int = 0

    def run(self, records: Iterable[PlainRecord]) -> None:
        for record in records:
            self._take(record)
            self._decide_due()

    def finish(self) -> None:
        for trace_id, trace in self._in_order(self.traces):
            self._decide(trace_id, trace, "shutdown")

    def _take(self, record: PlainRecord) -> None:
        self.now_ms = max(self.now_ms, record.time_ms)
        self._decide_due()
        spans = read_record(record.value)
        if isinstance(spans, Malformed) or not record.value:
            self.dead += 1
            return
        late: set[tuple[bytes, tuple[bytes, int, int]]] = set()
        for span in spans:
            if span.trace_id in self.verdicts:
                identity = _identity(span)
                repeated = (span.trace_id, identity) in late
                repeated |= identity in self.out.get(span.trace_id, ())
                self.duplicates += repeated
                if not repeated:
                    self._keep(span, record.offset)
                late.add((span.trace_id, identity))
            else:
                self._buffer(span, record)

    def _buffer(self, span: SpanFields, record: PlainRecord) -> None:
        fresh = PlainTrace(self.now_ms, self.now_ms + self.wait_ms, record.offset)
        trace = self.traces.setdefault(span.trace_id, fresh)
        if any(_identity(span) == _identity(other) for other in trace.spans):
            self.duplicates += 1
            return
        trace.spans.append(span)
        trace.newest = record.offset
        trace.due_ms = trace.first_ms + self.wait_ms
        if trace.complete():
            trace.due_ms = min(trace.due_ms, self.now_ms + self.grace_ms)
        if len(trace.spans) >= self.most_spans:
            trace.limit = True
            trace.due_ms = min(trace.due_ms, self.now_ms)

    def _decide_due(self) -> None:
        due = {one: trace for one, trace in self.traces.items() if trace.due_ms <= self.now_ms}
        for trace_id, trace in self._in_order(due):
            timeout = trace.first_ms + self.wait_ms
            early = "complete" if trace.complete() and trace.due_ms < timeout else "timeout"
            self._decide(trace_id, trace, "limit" if trace.limit else early)

    @staticmethod
    def _in_order(traces: dict[bytes, PlainTrace]) -> list[tuple[bytes, PlainTrace]]:
        return sorted(traces.items(), key=lambda one: (one[1].due_ms, one[1].newest, one[0]))

    def _decide(self, trace_id: bytes, trace: PlainTrace, trigger: str) -> None:
        sampled = self.judge(trace_id, trace)
        self.verdicts[trace_id] = sampled
        self.decisions.append(
            PlainDecision(trace_id, sampled, trigger, len(trace.spans), trace.duration_ns())
        )
        del self.traces[trace_id]
        for span in trace.spans:
            self._keep(span, _DECIDED)

    def _keep(self, span: SpanFields, late_at: int) -> None:
        if self.verdicts[span.trace_id]:
            self.kept.setdefault(span.trace_id, []).append(_identity(span))
            self.out.setdefault(span.trace_id, {})[_identity(span)] = late_at

    def taken_over(self, low_watermark: int) -> None:
        """Forget which late spans are out, as whoever takes over reads none of them again.

        Unless a copy of one comes again behind the low watermark: then the engine knows better.
        """
        for spans in self.out.values():
            for identity in [one for one, late_at in spans.items() if late_at < low_watermark]:
                del spans[identity]


def _identity(span: SpanFields) -> tuple[bytes, int, int]:
    return span.span_id, span.kind, span.start
