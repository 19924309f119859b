"""Records to measure with: many traces from one template, so that making them costs little.

The template is what the Collector's kafka exporter writes: one resource, one scope, a few spans
of one trace. Every record gets its own ids and times by writing them over the template's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from streamsampler.spans.columns import Bytes, Int64s, UInt64s
from streamsampler.spans.records import RecordBatch

_BASE_NS = 1_790_000_000_000_000_000
_RESOURCE = {
    "service.name": "checkout",
    "service.version": "2.31.4",
    "deployment.environment.name": "production",
    "k8s.pod.name": "checkout-7c9fdd6b4-x2x9q",
    "telemetry.sdk.language": "python",
}
_SPAN = {"http.request.method": "POST", "http.route": "/cart/{id}/checkout", "tenant.id": "acme"}
_PADDING = 120  # bytes of a last attribute, which brings a one-span record to some 470 bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """What the records look like.

    Attributes:
        spans_per_record: Spans in one record, all of one trace.
        spans_per_trace: Spans in one trace.
        bytes_per_record: About how large a record is.
    """

    spans_per_record: int
    spans_per_trace: int
    bytes_per_record: int


ONE_SPAN = Shape(1, 8, 470)
FOUR_SPANS = Shape(4, 8, 1500)


def _template(shape: Shape, padding: int) -> bytes:
    data = TracesData()
    resource = data.resource_spans.add()
    for key, value in _RESOURCE.items():
        resource.resource.attributes.add(key=key).value.string_value = value
    scope = resource.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.flask"
    for number in range(shape.spans_per_record):
        span = scope.spans.add(name=f"POST /cart/{number}", kind=Span.SPAN_KIND_SERVER)
        span.trace_id = b"\xf1" * 16
        span.span_id = bytes([0xA0 + number]) * 8
        span.parent_span_id = bytes([0xB0 + number]) * 8
        span.start_time_unix_nano = 0xC0C0C0C0C0C0C000 + number
        span.end_time_unix_nano = 0xD0D0D0D0D0D0D000 + number
        span.status.code = Status.STATUS_CODE_OK
        for key, value in _SPAN.items():
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="note").value.string_value = "x" * padding
    return data.SerializeToString()


def template(shape: Shape) -> bytes:
    """Make one record of a shape.

    Args:
        shape: What it is to look like.

    Returns:
        OTLP protobuf, of about the shape's size.
    """
    bare = len(_template(shape, 0))
    padding = max(0, (shape.bytes_per_record - bare) // shape.spans_per_record - 2)
    return _template(shape, padding)


def batches(
    shape: Shape, traces: int, batch_records: int, rate: float = 50_000.0, seed: int = 1
) -> Iterator[RecordBatch]:
    """Make traces whose records come interleaved, as from many producers.

    Args:
        shape: Of the records.
        traces: How many traces.
        batch_records: Records in a batch.
        rate: Spans a second of record time.
        seed: Of the ids and the order.

    Yields:
        Batches of partition 0. A trace's records come within some 2 s; the root comes last; one
        trace in fifty has an error.
    """
    mould = np.frombuffer(template(shape), np.uint8)
    per_trace = shape.spans_per_trace // shape.spans_per_record
    records = traces * per_trace
    chance = np.random.default_rng(seed)
    ids = chance.integers(1, 2**63, (traces, 2), np.uint64)
    span_ids = chance.integers(1, 2**63, (traces, shape.spans_per_trace), np.uint64)
    due = np.arange(traces) * (shape.spans_per_trace / rate)
    arrival = due[:, None] + np.sort(chance.uniform(0, 2, (traces, per_trace)), axis=1)
    order = np.argsort(arrival, axis=None, kind="stable")
    times = (_BASE_NS // 1_000_000 + np.sort(arrival, axis=None) * 1000).astype(np.int64)
    for start in range(0, records, batch_records):
        chosen = order[start : start + batch_records]
        yield _batch(
            shape, mould, (ids, span_ids), chosen, times[start : start + batch_records], start
        )


def _batch(
    shape: Shape,
    mould: Bytes,
    known: tuple[UInt64s, UInt64s],
    chosen: Int64s,
    times: Int64s,
    first: int,
) -> RecordBatch:
    ids, span_ids = known
    per_trace = shape.spans_per_trace // shape.spans_per_record
    values = np.tile(mould, (len(chosen), 1))
    trace, part = chosen // per_trace, chosen % per_trace
    raw = mould.tobytes()
    at = -1
    for number in range(shape.spans_per_record):
        at = raw.index(b"\xf1" * 16, at + 1)
        values[:, at : at + 16] = _bytes(ids[trace])
        own = part * shape.spans_per_record + number
        place = raw.index(bytes([0xA0 + number]) * 8)
        values[:, place : place + 8] = _bytes(span_ids[trace, own])
        # Spans come children first: each names the next as its parent, and the last is the root.
        root = own == shape.spans_per_trace - 1
        above = span_ids[trace, np.minimum(own + 1, shape.spans_per_trace - 1)]
        place = raw.index(bytes([0xB0 + number]) * 8)
        values[:, place : place + 8] = _bytes(np.where(root, np.uint64(0), above))
        begin = np.uint64(_BASE_NS) + (times - times[0]).astype(np.uint64) * np.uint64(1_000_000)
        for mark, word in (
            (0xC0C0C0C0C0C0C000 + number, begin),
            (0xD0D0D0D0D0D0D000 + number, begin + np.uint64(3_000_000)),
        ):
            place = raw.index(mark.to_bytes(8, "little"))
            values[:, place : place + 8] = word.astype("<u8").view(np.uint8).reshape(-1, 8)
        code = raw.index(b"\x7a\x02\x18\x01", at) + 3
        values[:, code] = np.where(trace % 50 == 0, 2, 1)
    keys = np.frombuffer(
        b"".join(f"{hi:016x}{lo:016x}".encode() for hi, lo in ids[trace].tolist()), np.uint8
    )
    count = len(chosen)
    return RecordBatch(
        partitions=np.zeros(count, np.int32),
        offsets=np.arange(first, first + count),
        times_ms=times,
        buffer=values.reshape(-1),
        bounds=np.arange(count + 1) * len(mould),
        keys=keys,
        key_bounds=np.arange(count + 1) * 32,
        headers=[None] * count,
    )


def _bytes(words: UInt64s) -> Bytes:
    return words.astype(">u8").view(np.uint8).reshape(len(words), -1)
