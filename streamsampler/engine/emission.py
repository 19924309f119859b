"""Stage 6, emit: the records of kept traces, as they came but for what they state of sampling.

Protobuf messages concatenate, so the records of a trace joined are one `TracesData`. Only a
record that holds spans of other traces, or duplicates, is taken apart and written anew. Each span
then states the threshold with which it was kept (`spans.stamping`).

Hot: two copies of each kept byte; the rest is per kept trace.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streamsampler.estimates import NO_THRESHOLD
from streamsampler.outcome import Emission
from streamsampler.spans.columns import Booleans, Int64s, Rows, UInt64s
from streamsampler.spans.payload import Identity, RecordParts, put_together, split, take_apart
from streamsampler.spans.records import Headers, RecordBatch
from streamsampler.spans.stamping import span_attributes, stamp
from streamsampler.store import Shelf
from streamsampler.store.found import Found

_STATE_ROOM: Final = 32
"""Bytes by which a span grows at most that states a threshold, with the lengths around it."""


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the spans of n traces are to state.

    Attributes:
        thresholds: uint64[n], T of their verdicts, `NO_THRESHOLD` where there is none.
        most_bytes: The largest value of an emission, but for a single span.
        attributes: Of each, what is added to its spans (`stamping.span_attributes`); None:
            attributes stay as they are.
    """

    thresholds: UInt64s
    most_bytes: int
    attributes: Sequence[bytes] | None = None

    def room(self) -> Int64s:
        """Tell by how many bytes a span of each trace may grow, int64[n]."""
        growth = np.where(self.thresholds == np.uint64(NO_THRESHOLD), 0, _STATE_ROOM)
        if self.attributes is not None:
            growth += np.array([len(one) for one in self.attributes], np.int64)
        return growth.astype(np.int64)

    def put_on(self, emissions: Sequence[Emission], places: Sequence[int]) -> list[Emission]:
        """Let the spans of emissions state it.

        Args:
            emissions: m of them.
            places: For each the place of its trace.

        Returns:
            The same emissions; one that is too large comes in several, cut between its spans.
        """
        if not emissions:
            return []
        values = [one.value for one in emissions]
        bounds = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(value) for value in values], out=bounds[1:])
        attributes = None
        if self.attributes is not None:
            attributes = [self.attributes[place] for place in places]
        body, ends = stamp(
            np.frombuffer(b"".join(values), np.uint8), bounds, self.thresholds[list(places)],
            attributes,
        )  # fmt: skip
        stamped = body.tobytes()
        cuts = ends.tolist()
        return [
            part
            for one, first, last in zip(emissions, cuts, cuts[1:], strict=False)
            for part in self._within(replace(one, value=stamped[first:last]))
        ]

    def _within(self, emission: Emission) -> Iterator[Emission]:
        """Cut what is still too large: a single record, or one that grew more than was foreseen."""
        if len(emission.value) <= self.most_bytes or emission.spans == 1:
            yield emission
            return
        for value, spans in split(emission.value, emission.trace_id, self.most_bytes):
            yield replace(emission, value=value, spans=spans)


def kept_traces(
    shelf: Shelf, partition: int, traces: Rows, records: Int64s, stamps: Stamps
) -> list[Emission]:
    """Make the emissions of traces that are kept.

    Args:
        shelf: Holds their records.
        partition: The input partition.
        traces: `TRACE` rows [n], the kept ones.
        records: int64[spans of these], record numbers, trace by trace.
        stamps: What their spans are to state.

    Returns:
        One emission a trace; several, where it is larger than one may be: cut between records
        where that is enough, else between spans.

    Raises:
        StoreError: A block cannot be read.
    """
    if not len(traces):
        return []
    emissions: list[Emission] = []
    places: list[int] = []
    numbers, ends = _distinct(records, traces["spans"].astype(np.int64))
    found = shelf.find(numbers)
    apart: dict[int, RecordParts] = {}
    start = 0
    words = np.stack([traces["id_hi"], traces["id_lo"]], axis=1).astype(">u8").tobytes()
    room = found.spans * np.repeat(stamps.room(), np.diff(ends, prepend=0))
    grown = found.bounds + np.concatenate(([0], np.cumsum(room)))
    for place, end in enumerate(ends.tolist()):
        trace_id = words[16 * place : 16 * place + 16]
        headers = _headers(found.headers, start, end)
        parts = _cuts(grown, start, end, stamps.most_bytes)
        whole = found.whole[start:end].all()
        made = _whole(found, parts) if whole else _selected(found, parts, numbers, trace_id, apart)
        for value, spans in made:
            emissions.append(Emission(partition, trace_id, value, headers, spans, late=False))
            places.append(place)
        start = end
    return stamps.put_on(emissions, places)


def _distinct(records: Int64s, spans: Int64s) -> tuple[Int64s, Int64s]:
    """Sort each trace's records and name each once; where each trace's end."""
    traces = np.repeat(np.arange(len(spans)), spans)
    order = np.lexsort((records, traces))
    records, traces = records[order], traces[order]
    first = np.ones(len(records), np.bool_)
    first[1:] = (records[1:] != records[:-1]) | (traces[1:] != traces[:-1])
    return records[first], np.searchsorted(traces[first], np.arange(len(spans)), "right")


def _cuts(bounds: Int64s, start: int, end: int, most_bytes: int) -> list[slice]:
    """Cut a trace's records into parts of no more bytes than one value may have."""
    parts = []
    while start < end:
        stop = int(np.searchsorted(bounds, bounds[start] + most_bytes, "right")) - 1
        stop = min(max(stop, start + 1), end)
        parts.append(slice(start, stop))
        start = stop
    return parts


def _whole(found: Found, parts: list[slice]) -> Iterator[tuple[bytes, int]]:
    """Records that are the trace's alone, joined as they are."""
    for part in parts:
        value = found.body[found.bounds[part.start] : found.bounds[part.stop]].tobytes()
        yield value, int(found.spans[part].sum())


def _selected(
    found: Found, parts: list[slice], numbers: Int64s, trace_id: bytes,
    apart: dict[int, RecordParts],
) -> Iterator[tuple[bytes, int]]:  # fmt: skip
    """The trace's spans out of records that hold others too, or duplicates.

    A record of many traces is taken apart once, for the first of them, and kept in `apart`.
    """
    seen: set[Identity] = set()
    for part in parts:
        for record in range(part.start, part.stop):
            if int(numbers[record]) not in apart:
                first, last = found.bounds[record : record + 2].tolist()
                apart[int(numbers[record])] = take_apart(found.body[first:last].tobytes())
        records = [apart[number] for number in numbers[part].tolist()]
        value, spans = put_together(records, trace_id, seen)
        if spans:
            yield value, spans


def _headers(headers: Mapping[int, Headers], start: int, end: int) -> Headers:
    if not headers:
        return ()
    pairs = [pair for record in range(start, end) for pair in headers.get(record, ())]
    return tuple(dict.fromkeys(pairs))


def attributes_of(policy: str | None, adjusted: float) -> bytes:
    """Say by what a span was kept, and how many it stands for.

    Args:
        policy: The policy; None where it is not known any more.
        adjusted: How many traces it stands for; NaN where that is not known.

    Returns:
        Fields of a `Span`: the attributes that are known.
    """
    return span_attributes(policy, None if math.isnan(adjusted) else adjusted)


def repeated_in_record(spans: Rows) -> Booleans:
    """Find spans that their own record has already.

    Args:
        spans: `SPAN` rows [n] of one batch, in order.

    Returns:
        bool[n]. What another record has is not looked for.
    """
    fields = ("record", "trace_hi", "trace_lo", "span_id", "start", "kind")
    keys = np.stack([spans[name].astype(np.uint64) for name in fields])
    _, first = np.unique(keys, axis=1, return_index=True)
    repeated = np.ones(len(spans), np.bool_)
    repeated[first] = False
    return repeated


def late_spans(
    batch: RecordBatch, records: Rows, late: Rows, out: Rows, stamps: Stamps
) -> list[Emission]:
    """Make the emissions of spans that came after their trace was sampled.

    Args:
        batch: The batch they came in.
        records: `RECORD` rows of the batch.
        late: `SPAN` rows [n], without repeated ones.
        out: `SPAN` rows of the same traces that are out already, and stay in.
        stamps: What the late spans are to state, n of them.

    Returns:
        One emission for each record and trace, or several.
    """
    keys = np.stack([late["record"].astype(np.uint64), late["trace_hi"], late["trace_lo"]])
    groups, places, counts = np.unique(keys, axis=1, return_index=True, return_counts=True)
    emissions = []
    seen = _identities(out)
    apart: tuple[int, RecordParts] | None = None
    for (record, hi, lo), count in zip(groups.T.tolist(), counts.tolist(), strict=True):
        trace_id = hi.to_bytes(8, "big") + lo.to_bytes(8, "big")
        value = batch.value(record)
        if count != records[record]["spans"]:
            if apart is None or apart[0] != record:
                apart = record, take_apart(value)
            value, _ = put_together([apart[1]], trace_id, seen.get((record, hi, lo)))
        emissions.append(
            Emission(
                int(batch.partitions[record]), trace_id, value,
                tuple(dict.fromkeys(batch.headers[record] or ())), count, late=True,
            )
        )  # fmt: skip
    return stamps.put_on(emissions, places.tolist())


def _identities(spans: Rows) -> dict[tuple[int, int, int], set[Identity]]:
    """Spans by record and trace, as `put_together` knows them."""
    fields = ("record", "trace_hi", "trace_lo", "span_id", "kind", "start")
    found: dict[tuple[int, int, int], set[Identity]] = {}
    for record, hi, lo, span_id, kind, start in spans[list(fields)].tolist():
        found.setdefault((record, hi, lo), set()).add((span_id.to_bytes(8, "big"), kind, start))
    return found
