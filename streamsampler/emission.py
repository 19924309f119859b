"""Stage 6, emit: the records of kept traces, as they came wherever that is possible.

Protobuf messages concatenate, so the records of a trace joined are one `TracesData`. Only a
record that holds spans of other traces, or duplicates, is taken apart and written anew.

Hot: a copy of each kept byte; the rest is per kept trace.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from streamsampler.outcome import Emission
from streamsampler.spans.columns import Booleans, Int64s, Rows
from streamsampler.spans.payload import select_spans
from streamsampler.spans.records import Headers, RecordBatch
from streamsampler.store.shelf import Found, Shelf


def kept_traces(
    shelf: Shelf, partition: int, traces: Rows, records: Int64s, most_bytes: int
) -> Iterator[Emission]:
    """Make the emissions of traces that are kept.

    Args:
        shelf: Holds their records.
        partition: The input partition.
        traces: `TRACE` rows [n], the kept ones.
        records: int64[spans of these], record numbers, trace by trace.
        most_bytes: The largest value; a trace beyond it comes in several, cut between records.

    Yields:
        One emission a trace, or several.

    Raises:
        StoreError: A block cannot be read.
    """
    if not len(traces):
        return
    numbers, ends = _distinct(records, traces["spans"].astype(np.int64))
    found = shelf.find(numbers)
    start = 0
    words = np.stack([traces["id_hi"], traces["id_lo"]], axis=1).astype(">u8").tobytes()
    for place, end in enumerate(ends.tolist()):
        trace_id = words[16 * place : 16 * place + 16]
        headers = _headers(found.headers, start, end)
        parts = _whole(found, start, end, most_bytes)
        if not found.whole[start:end].all():
            parts = _selected(found, start, end, trace_id)
        for value, spans in parts:
            yield Emission(partition, trace_id, value, headers, spans, late=False)
        start = end


def _distinct(records: Int64s, spans: Int64s) -> tuple[Int64s, Int64s]:
    """Sort each trace's records and name each once; where each trace's end."""
    traces = np.repeat(np.arange(len(spans)), spans)
    order = np.lexsort((records, traces))
    records, traces = records[order], traces[order]
    first = np.ones(len(records), np.bool_)
    first[1:] = (records[1:] != records[:-1]) | (traces[1:] != traces[:-1])
    return records[first], np.searchsorted(traces[first], np.arange(len(spans)), "right")


def _whole(found: Found, start: int, end: int, most_bytes: int) -> list[tuple[bytes, int]]:
    bounds, spans = found.bounds, found.spans
    if bounds[end] - bounds[start] <= most_bytes:
        value = found.body[bounds[start] : bounds[end]].tobytes()
        return [(value, int(spans[start:end].sum()))]
    parts: list[tuple[bytes, int]] = []
    while start < end:
        cut = int(np.searchsorted(bounds, bounds[start] + most_bytes, "right")) - 1
        cut = min(max(cut, start + 1), end)
        value = found.body[bounds[start] : bounds[cut]].tobytes()
        parts.append((value, int(spans[start:cut].sum())))
        start = cut
    return parts


def _selected(found: Found, start: int, end: int, trace_id: bytes) -> list[tuple[bytes, int]]:
    bounds = found.bounds
    values = [
        found.body[bounds[record] : bounds[record + 1]].tobytes() for record in range(start, end)
    ]
    return [select_spans(values, trace_id)]


def _headers(headers: Mapping[int, Headers], start: int, end: int) -> Headers:
    if not headers:
        return ()
    pairs = [pair for record in range(start, end) for pair in headers.get(record, ())]
    return tuple(dict.fromkeys(pairs))


def repeated_in_record(spans: Rows) -> Booleans:
    """Find spans that their own record has already.

    Args:
        spans: `SPAN` rows [n] of one batch, in order.

    Returns:
        bool[n]. What another record has is not looked for: of decided traces only the verdict
        is remembered.
    """
    fields = ("record", "trace_hi", "trace_lo", "span_id", "start", "kind")
    keys = np.stack([spans[name].astype(np.uint64) for name in fields])
    _, first = np.unique(keys, axis=1, return_index=True)
    repeated = np.ones(len(spans), np.bool_)
    repeated[first] = False
    return repeated


def late_spans(batch: RecordBatch, records: Rows, late: Rows) -> Iterator[Emission]:
    """Make the emissions of spans that came after their trace was sampled.

    Args:
        batch: The batch they came in.
        records: `RECORD` rows of the batch.
        late: `SPAN` rows [n], without repeated ones.

    Yields:
        One emission for each record and trace.
    """
    keys = np.stack([late["record"].astype(np.uint64), late["trace_hi"], late["trace_lo"]])
    groups, counts = np.unique(keys, axis=1, return_counts=True)
    for (record, hi, lo), count in zip(groups.T.tolist(), counts.tolist(), strict=True):
        trace_id = hi.to_bytes(8, "big") + lo.to_bytes(8, "big")
        value = batch.value(record)
        if count != records[record]["spans"]:
            value, _ = select_spans([value], trace_id)
        yield Emission(
            int(batch.partitions[record]), trace_id, value, tuple(batch.headers[record] or ()),
            count, late=True,
        )  # fmt: skip
