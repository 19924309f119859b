"""How a kept record looks when it leaves: each span states the chance with which it was kept.

Hot: every byte of every kept record passes here once, in `spans.stamping_walk`, and is copied.
What is not touched leaves as it came, byte for byte and in its order: a record in which nothing
changes is one piece. Around what changes the lengths are written anew.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from streamsampler.spans.columns import Bytes, Int64s, UInt64s
from streamsampler.spans.payload import MalformedPayloadError
from streamsampler.spans.pieces import PEN, PIECE, PIECES, WRITTEN, copy_pieces
from streamsampler.spans.stamping_walk import FRAME, LEVELS, SPOT, stamp_records
from streamsampler.spans.wire import MAX_DEPTH, OK

POLICY_KEY: Final = b"sampling.policy"
ADJUSTED_COUNT_KEY: Final = b"sampling.adjusted_count"
"""The span attributes that say by what and with which weight a span was kept."""

_KEYS: Final = np.frombuffer(POLICY_KEY + ADJUSTED_COUNT_KEY, np.uint8)
_ROOM: Final = 1024  # bytes or rows to begin with, beside what the input's size calls for


def span_attributes(policy: str | None, adjusted_count: float | None) -> bytes:
    """Write the attributes that say how a span was kept, for `stamp`.

    Args:
        policy: By which policy; None: not known, and no attribute says it.
        adjusted_count: How many spans it stands for; None: not known, and no attribute says it.

    Returns:
        The fields as they stand in an OTLP protobuf `Span`.
    """
    pairs = []
    if policy is not None:
        by = AnyValue(string_value=policy)
        pairs.append(KeyValue(key=POLICY_KEY.decode(), value=by))
    if adjusted_count is not None:
        count = AnyValue(double_value=adjusted_count)
        pairs.append(KeyValue(key=ADJUSTED_COUNT_KEY.decode(), value=count))
    return Span(attributes=pairs).SerializeToString(deterministic=True)


def stamp(
    body: Bytes, bounds: Int64s, thresholds: UInt64s, attributes: Sequence[bytes] | None = None
) -> tuple[Bytes, Int64s]:
    """Write kept records with the thresholds that their spans were kept with.

    Args:
        body: uint8, OTLP protobuf `TracesData` that the scan took, one after the other.
        bounds: int64[n + 1]; record k is ``body[bounds[k]:bounds[k + 1]]``.
        thresholds: uint64[n], T of the verdict on all spans of a record, under 2**56. Each span
            goes out with the greater of it and its own. Any greater number: no probability is
            known, and what a span states is erased (`estimates.threshold.NO_THRESHOLD`).
        attributes: For each record the attributes to add to its spans, as fields of a `Span`
            (`span_attributes`); those that the spans have of the same keys go. None: attributes
            are not touched.

    Returns:
        The records and their bounds, as they came in. The tracestate of a span is what
        `trace_context.with_threshold` makes of it; where it stood twice, the last counts and is
        the one that is written. A span in which nothing changes is copied.

    Raises:
        MalformedPayloadError: A record is no such message.
    """
    body, bounds, thresholds = _sealed(body), _sealed(bounds), _sealed(thresholds)
    count = len(bounds) - 1
    extra = np.frombuffer(b"".join(attributes or ()), np.uint8)
    sizes = np.fromiter(map(len, attributes), np.int64, count) if attributes is not None else 0
    extra_bounds = np.zeros(count + 1, np.int64)
    np.cumsum(np.broadcast_to(sizes, count), out=extra_bounds[1:])
    pen, spot = np.zeros(PEN, np.int64), np.zeros(SPOT, np.int64)
    frames = np.zeros((LEVELS, FRAME), np.int64)
    groups = np.zeros(MAX_DEPTH, np.int64)
    out_bounds = np.zeros(count + 1, np.int64)
    made = np.empty(_ROOM + len(body) // 4, np.uint8)
    pieces = np.empty((_ROOM + len(body) // 64, PIECE), np.int64)
    cuts = np.empty((_ROOM, 2), np.int64)
    done = 0
    while True:
        done, fault = stamp_records(
            body, bounds, done, thresholds, _KEYS, len(POLICY_KEY), attributes is not None,
            extra_bounds, made, pieces, cuts, pen, frames, spot, groups, out_bounds,
        )  # fmt: skip
        if fault != OK:
            raise MalformedPayloadError(
                f"Record {done} of {count} is no OTLP protobuf TracesData; "
                "only what the scan has taken may be stamped.",
            )
        if done == count:
            break
        made, pieces, cuts = _doubled(made), _doubled(pieces), _doubled(cuts)
    out = np.empty(pen[WRITTEN], np.uint8)
    copy_pieces(body, made, extra, pieces[: pen[PIECES]], out)
    return out, out_bounds


def _sealed(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written through: the kernels are compiled for these alone."""
    view = column.view()
    view.flags.writeable = False
    return view


def _doubled(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    larger = np.empty((2 * len(table), *table.shape[1:]), table.dtype)
    larger[: len(table)] = table
    return larger
