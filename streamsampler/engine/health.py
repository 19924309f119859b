"""How services do, and the pairs of them that call each other: from some of the decided traces.

Of one trace in so many, chosen by its id, the spans are read back when it is decided, kept or not,
and counted for all that were not read. Who calls whom is known by parent ids alone; time only says
how far the clocks of two services are apart.

Hot: for the chosen traces a reading and a scan, some passes over their spans, and one look-up a
span for its parent.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from streamsampler.engine.due_spans import DueSpans, SpansRead
from streamsampler.estimates.summaries import (
    INTERVAL_MS,
    MOST_UNTOLD,
    PairSummary,
    Services,
    ServiceSummary,
    Summary,
)
from streamsampler.policies.roots import MOST_BYTES, OVERFLOW_NAME, SERVICE_KEY
from streamsampler.spans.columns import (
    ABSENT,
    LINKED,
    OVERSIZED,
    STRING,
    Booleans,
    Int32s,
    Int64s,
    Rows,
    UInt64s,
)
from streamsampler.spans.scan import Scanner
from streamsampler.traces.words import value_words

MOST_SERVICES: Final = 500
"""With names of their own, in one interval of one partition; the same for pairs."""
NOBODY: Final = b""
"""The caller of a span whose parent never came, and a service without a name."""
_SERVER, _CLIENT, _CONSUMER = 2, 3, 5
_ERROR_STATUS: Final = 2
_NS_PER_MS: Final = 1e6
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class HealthQuestions:
    """What is asked of the spans that are read.

    Attributes:
        one_in: One trace in so many is read; at least 1.
        oversize: An attribute of more bytes, its key included, is too large.
        attributes: Keys that the spans by which a service is called should have, on the span or on
            its resource.
    """

    one_in: int = 64
    oversize: int = 4_096
    attributes: tuple[bytes, ...] = ()


class SpanColumns(NamedTuple):
    """The spans of some traces, n of them.

    Attributes:
        spans: `SPAN` rows [n].
        trace: int64[n], which trace each is of.
        service: int64[n], index into `names`.
        names: The services' names.
        lacking: bool[n, attributes], whether neither span nor resource has it.
    """

    spans: Rows
    trace: Int64s
    service: Int64s
    names: Sequence[bytes]
    lacking: Booleans


@dataclass(slots=True)
class _Counts:
    """What is counted of one interval.

    Attributes:
        services: By name: spans, errors, entry spans, lost context, oversized, then the missing
            attributes.
        pairs: By caller and callee: calls, errors, orphans, sum of skews in ms, skews.
    """

    services: dict[bytes, npt.NDArray[np.int64]] = field(default_factory=dict)
    pairs: dict[tuple[bytes, bytes], list[float]] = field(default_factory=dict)

    def add(self, columns: SpanColumns) -> None:
        """Count spans."""
        for name, row in zip(columns.names, service_counts(columns).tolist(), strict=True):
            full = len(self.services) >= MOST_SERVICES
            key = OVERFLOW_NAME if full and name not in self.services else name
            self.services[key] = self.services.get(key, np.zeros(len(row), np.int64)) + row
        for (caller, callee), more in pair_counts(columns).items():
            pair = columns.names[caller] if caller >= 0 else NOBODY, columns.names[callee]
            if pair not in self.pairs and len(self.pairs) >= MOST_SERVICES:
                pair = OVERFLOW_NAME, OVERFLOW_NAME
            have = self.pairs.get(pair, [0.0] * len(more))
            self.pairs[pair] = [one + other for one, other in zip(have, more, strict=True)]

    def told(self, attributes: Sequence[bytes], times: int) -> Services:
        """Write the counts, each standing for so many times as much."""
        services = []
        for name, row in sorted(self.services.items()):
            spans, errors, entries, lost, oversized, *missing = (row * times).tolist()
            lacking = {key: n for key, n in zip(attributes, missing, strict=True) if n}
            services.append(ServiceSummary(name, spans, errors, entries, lost, lacking, oversized))
        pairs = [
            PairSummary(
                caller, callee, int(calls) * times, int(errors) * times, int(orphans) * times,
                skew_ms * times, int(skews) * times,
            )
            for (caller, callee), (calls, errors, orphans, skew_ms, skews) in sorted(
                self.pairs.items()
            )
        ]  # fmt: skip
        return Services(tuple(services), tuple(pairs))


class Health:
    """What the partitions' decided traces say of services, not told yet."""

    def __init__(self, questions: HealthQuestions) -> None:
        """Prepare the scan.

        Args:
            questions: What is asked.
        """
        self._questions = questions
        keys = tuple(dict.fromkeys((SERVICE_KEY, *questions.attributes)))
        self._columns = [keys.index(key) for key in questions.attributes]
        self._scanner = Scanner(keys, oversize=questions.oversize)
        self._counts: dict[int, dict[int, _Counts]] = defaultdict(dict)

    def add(self, partition: int, traces: Rows, due: DueSpans, decided_ms: Int64s) -> None:
        """Read some of the traces that are decided, and count their spans.

        Args:
            partition: The input partition.
            traces: `TRACE` rows [n].
            due: Their spans.
            decided_ms: int64[n], stream time of the decisions; all of one interval.

        Raises:
            StoreError: A block cannot be read.
        """
        chosen = np.flatnonzero(one_in(self._questions.one_in, traces["id_lo"]))
        if not len(chosen):
            return
        interval = int(decided_ms[0]) // INTERVAL_MS
        by_interval = self._counts[partition]
        counts = by_interval.setdefault(interval, _Counts())
        if len(by_interval) > MOST_UNTOLD:  # nobody wants to know
            del by_interval[min(by_interval)]
        for part in due.parts(chosen):
            counts.add(self._columns_of(due.read(self._scanner, part)))

    def tell(self, partition: int, before: int | None, part: int) -> Iterator[Summary]:
        """Tell what was counted in intervals that are over, each once.

        Args:
            partition: The input partition.
            before: Number of the interval that is not over yet; None: all are.
            part: Tells the sums of two owners of the partition apart.

        Yields:
            One summary an interval, oldest first.
        """
        by_interval = self._counts[partition]
        for interval in sorted(by_interval):
            if before is None or interval < before:
                counts = by_interval.pop(interval)
                body = counts.told(self._questions.attributes, self._questions.one_in)
                yield Summary("services", partition, interval, part, body)

    def forget(self, partition: int) -> None:
        """Forget a partition that is gone.

        Args:
            partition: Its number.
        """
        self._counts.pop(partition, None)

    def _columns_of(self, read: SpansRead) -> SpanColumns:
        scan, mine = read.scan, read.spans
        spans = scan.spans[mine]
        named = scan.resources[:, 0]
        known = named["kind"] == STRING
        sizes = np.where(known, np.minimum(named["size"], MOST_BYTES), 0).astype(np.int32)
        positions = np.where(known, named["word"], 0)
        words = value_words(read.found.body, positions, sizes)[spans["resource"]]
        _, first, service = np.unique(words, return_index=True, return_inverse=True)
        body = read.found.body
        names = [
            body[positions[row] : positions[row] + sizes[row]].tobytes()
            for row in spans["resource"][first].tolist()
        ]
        of_span = scan.attributes[mine][:, self._columns]["kind"] == ABSENT
        of_resource = scan.resources[spans["resource"]][:, self._columns]["kind"] == ABSENT
        return SpanColumns(spans, read.trace[mine], service, names, of_span & of_resource)


def one_in(count: int, ids: UInt64s) -> Booleans:
    """Choose one trace in so many, by its id: whoever chooses, it is the same.

    Args:
        count: At least 1.
        ids: uint64[n], last halves of trace ids.

    Returns:
        bool[n].
    """
    chosen: Booleans = ((ids * _SPREAD) >> np.uint64(32)) % np.uint64(count) == 0
    return chosen


def service_counts(columns: SpanColumns) -> Int64s:
    """Count the spans of each service.

    Args:
        columns: The spans.

    Returns:
        int64[services, 5 + attributes]: spans, errors, entry spans, consumers with neither parent
        nor link, spans with an attribute that is too large; then entry spans that lack each
        attribute.
    """
    spans = columns.spans
    entry = (spans["kind"] == _SERVER) | (spans["kind"] == _CONSUMER)
    consumer = (spans["kind"] == _CONSUMER) & (spans["parent_id"] == 0)
    marks = (
        np.ones(len(spans), np.bool_),
        spans["status"] == _ERROR_STATUS,
        entry,
        consumer & ((spans["notes"] & LINKED) == 0),
        (spans["notes"] & OVERSIZED) != 0,
        *(lacking & entry for lacking in columns.lacking.T),
    )
    counted = [np.bincount(columns.service[mark], minlength=len(columns.names)) for mark in marks]
    return np.stack(counted, axis=1)


def pair_counts(columns: SpanColumns) -> dict[tuple[int, int], list[float]]:
    """Count the calls between services.

    A call is a span whose parent is of another service. Where a client's span encloses its server's
    in length, the middles of the two tell how far the clocks are apart, if the way there takes as
    long as the way back.

    Args:
        columns: The spans.

    Returns:
        By caller and callee, indexes of services, -1 for a parent that never came: calls, errors,
        orphans, sum of skews in ms, skews.
    """
    parents = _parents(columns)
    spans, service = columns.spans, columns.service
    caller = np.where(parents >= 0, service[parents], -1)
    calls = np.flatnonzero((spans["parent_id"] != 0) & (caller != service))
    skew, told = _skews(spans[calls], spans[parents[calls]], parents[calls] >= 0)
    errors = spans["status"][calls] == _ERROR_STATUS
    found: dict[tuple[int, int], list[float]] = {}
    rows = (caller[calls], service[calls], errors, parents[calls] < 0, skew, told)
    for who, whom, *more in zip(*(column.tolist() for column in rows), strict=True):
        have = found.setdefault((who, whom), [0.0] * 5)
        for place, one in enumerate((1, *more)):
            have[place] += one
    return found


def _parents(columns: SpanColumns) -> Int64s:
    """int64[n], the row of each span's parent; -1: none, or it never came."""
    spans, traces = columns.spans, columns.trace.tolist()
    rows: dict[tuple[int, int], int] = {}
    servers = (spans["kind"] == _SERVER).tolist()
    for row, key in enumerate(zip(traces, spans["span_id"].tolist(), strict=True)):
        if servers[row]:  # of two sides that share an id, others stand under the server's
            rows[key] = row
        else:
            rows.setdefault(key, row)
    sought = zip(traces, spans["parent_id"].tolist(), strict=True)
    return np.array([rows.get(key, -1) if key[1] else -1 for key in sought], np.int64)


def _skews(callee: Rows, caller: Rows, known: Booleans) -> tuple[npt.NDArray[np.float64], Int32s]:
    """How far the callee's clock is ahead, ms, and whether a call tells."""
    lengths = [one["end"].astype(np.float64) - one["start"] for one in (callee, caller)]
    sides = (callee["kind"] == _SERVER) & (caller["kind"] == _CLIENT)
    tells = known & sides & (lengths[0] >= 0) & (lengths[0] <= lengths[1])
    # Differences first: a double holds no time since the epoch to the microsecond.
    starts = callee["start"].astype(np.int64) - caller["start"].astype(np.int64)
    ends = callee["end"].astype(np.int64) - caller["end"].astype(np.int64)
    skew = np.where(tells, (starts + ends) / 2 / _NS_PER_MS, 0.0)
    return skew, tells.astype(np.int32)
