"""All that shapes the traffic, in one value, and the arithmetic that keeps the oracle right.

The oracle says which spans come before their trace's decision. That holds when everything on time
arrives inside the sampler's windows and everything late outside of them, with room for skewed
clocks and disorder; `TrafficSettings.misfits` checks it, `TrafficSettings.fitted` brings it about.
"""

from dataclasses import dataclass, fields, replace

MEAN_SPANS = 10.0
"""Spans a trace on average; measured over ten seeds, good enough to plan a duration."""

MIXED_WINDOW_MS = 50
"""The longest time over which a record without a key gathers spans, ms."""

LATE_END_MS = 100
"""A late span that ran on ends at most this long before its record's time, ms."""


_LATEST_START_MS = 9_000_000_000_000  # 2**63 ns come 223,372,036 s after it


@dataclass(frozen=True, slots=True)
class TrafficSettings:
    """Parameters of a run; the same ones give the same records, byte for byte.

    Attributes:
        traces: how many; 0 goes on for ever.
        seed: of all chance.
        start_ms: when the first trace starts, ms since the epoch. For a broker give a recent one:
            its retention goes by record times.
        spans_per_second: of the simulated clock.
        tenants: how many; shares follow Zipf's law.
        anonymous_share: traces without a tenant.
        canary_share: traces that are routed to canary instances.
        tracestate_share: traces that come in with a W3C tracestate.
        broken_share: traces that lose a parent for good, at their root or within.
        late_share: traces of which some spans come after the decision.
        late_after_ms: how long after the trace's last record on time a late one comes, ms.
        spread_ms: all spans on time arrive within this of their root's end, ms.
        long_trace_ms: the longest that a trace runs, ms of true time; what exceeds it is squeezed.
        max_spans: most spans a trace has.
        max_skew_ms: most that a host's clock is off, ms to either side.
        jitter_ms: how far record timestamps may run backwards in the stream, ms.
        out_of_order_ms: the same on top, for tests of disorder, ms.
        duplicate_share: records on time that are written twice.
        unkeyed_share: records with which a gathering of mixed spans without a key begins. The
            spans of a trace then come by several partitions, so that the oracle holds for files
            and topics of one partition alone, or behind a stage that sets keys.
        bad_records: how many hostile records stand between the others.
        tenant_header: name of a record header that holds the tenant; empty for none, as the
            Collector writes none.
    """

    traces: int = 1000
    seed: int = 0
    start_ms: int = 1_767_225_600_000
    spans_per_second: float = 1000.0
    tenants: int = 20
    anonymous_share: float = 0.05
    canary_share: float = 0.05
    tracestate_share: float = 0.08
    broken_share: float = 0.05
    late_share: float = 0.03
    late_after_ms: int = 40_000
    spread_ms: int = 4_000
    long_trace_ms: int = 20_000
    max_spans: int = 200
    max_skew_ms: int = 250
    jitter_ms: int = 5
    out_of_order_ms: int = 0
    duplicate_share: float = 0.0
    unkeyed_share: float = 0.0
    bad_records: int = 0
    tenant_header: str = ""

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if name.endswith("_share") and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}: a share lies between 0 and 1")
            if name in _AT_LEAST and value < _AT_LEAST[name]:
                raise ValueError(f"{name} is {value}: it must be {_AT_LEAST[name]} or more")
        if not self.spans_per_second > 0:
            raise ValueError(
                f"spans_per_second is {self.spans_per_second}: it must be greater than 0"
            )
        if not self.max_skew_ms < self.start_ms < _LATEST_START_MS:
            raise ValueError(
                f"start_ms is {self.start_ms}: it must be greater than max_skew_ms "
                f"{self.max_skew_ms} and less than {_LATEST_START_MS}, for times to be "
                "nanoseconds since the epoch"
            )
        if self.bad_records and not self.traces:
            raise ValueError(
                "bad_records are spread over the traces: give a number of traces, not 0 (endless)"
            )

    @property
    def duration_ms(self) -> int:
        """About how long the run takes on the simulated clock, ms, late spans included."""
        tail = self.long_trace_ms + self.spread_ms + (self.late_after_ms if self.late_share else 0)
        return int(self.traces * self.mean_spans / self.spans_per_second * 1000 * 1.2) + tail

    @property
    def mean_spans(self) -> float:
        """About how many spans a trace has on average."""
        return min(MEAN_SPANS, float(self.max_spans))

    @property
    def disorder_ms(self) -> int:
        """How far the order of the stream may be off, by all causes, ms."""
        mixed = MIXED_WINDOW_MS if self.unkeyed_share else 0
        # Skew counts twice: where a file has no record times, the clocks of two hosts are compared.
        return self.jitter_ms + self.out_of_order_ms + mixed + 2 * self.max_skew_ms

    def misfits(self, decision_wait_ms: int, completion_grace_ms: int) -> tuple[str, ...]:
        """Finds the parameters with which the oracle would be wrong for a sampler's windows.

        Args:
            decision_wait_ms: from a trace's first span to its decision, stream time.
            completion_grace_ms: quiet time after which a complete trace is decided, stream time.

        Returns:
            A sentence for each misfit; none when the oracle holds.
        """
        found = []
        if self.spread_ms + self.disorder_ms >= completion_grace_ms:
            found.append(
                f"spread_ms {self.spread_ms} plus disorder {self.disorder_ms} ms must be less "
                f"than completion_grace {completion_grace_ms} ms, or spans on time come too late"
            )
        if self.long_trace_ms + self.spread_ms + self.disorder_ms >= decision_wait_ms:
            found.append(
                f"long_trace_ms {self.long_trace_ms} plus spread_ms {self.spread_ms} plus disorder "
                f"{self.disorder_ms} ms must be less than decision_wait {decision_wait_ms} ms, "
                "or spans on time come too late"
            )
        if self.late_share and self.late_after_ms <= self.earliest_late_ms(decision_wait_ms):
            found.append(
                f"late_after_ms {self.late_after_ms} must be greater than "
                f"{self.earliest_late_ms(decision_wait_ms)} (decision_wait plus disorder), "
                "or late spans come on time"
            )
        return tuple(found)

    def fitted(self, decision_wait_ms: int, completion_grace_ms: int) -> "TrafficSettings":
        """Fits the arrival times to a sampler's windows.

        Args:
            decision_wait_ms: from a trace's first span to its decision, stream time.
            completion_grace_ms: quiet time after which a complete trace is decided, stream time.

        Returns:
            Settings with clocks, spread, long traces and late spans scaled to the windows. With
            much disorder, or windows of a few ms, `misfits` may still find something.
        """
        narrow = min(completion_grace_ms, decision_wait_ms)
        calm = replace(self, max_skew_ms=min(self.max_skew_ms, narrow // 20))
        spread = min(self.spread_ms, (narrow - calm.disorder_ms) * 2 // 3)
        room = decision_wait_ms - spread - calm.disorder_ms
        earliest = calm.earliest_late_ms(decision_wait_ms)
        return replace(
            calm,
            spread_ms=max(1, spread),
            long_trace_ms=max(1, min(self.long_trace_ms, room * 3 // 4)),
            late_after_ms=earliest + decision_wait_ms // 4 + 1000,
        )

    def earliest_late_ms(self, decision_wait_ms: int) -> int:
        """Finds from when on a record is late without doubt.

        Args:
            decision_wait_ms: from a trace's first span to its decision, stream time.

        Returns:
            ms after the trace's last record on time.
        """
        return decision_wait_ms + self.disorder_ms + LATE_END_MS


_AT_LEAST = {
    "traces": 0,
    "tenants": 1,
    "late_after_ms": 1,
    "spread_ms": 1,
    "long_trace_ms": 1,
    "max_spans": 1,
    "max_skew_ms": 0,
    "jitter_ms": 0,
    "out_of_order_ms": 0,
    "bad_records": 0,
}
