"""Spans as columns: what the scan fills and every later stage reads.

Each table is one structured array: NumPy takes a field of it as a column (``spans["start"]``), a
kernel takes a row (``spans[row]["start"]``) and finds its fields in two cache lines. Positions
are bytes from the start of the batch's buffer; times are nanoseconds since the epoch.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]
UInt64s = npt.NDArray[np.uint64]
Booleans = npt.NDArray[np.bool_]
Rows = npt.NDArray[Any]  # a structured array
Word = Any  # an integer inside a kernel; Numba finds its width

# What an attribute's value is. ABSENT: the key is not there; EMPTY: the key is, without a value;
# OTHER: an array, a map, bytes, which no kernel compares.
ABSENT, EMPTY, STRING, BOOL, INT, DOUBLE, OTHER = range(7)

# A wanted attribute of a span or a resource. Of a repeated key the first counts.
ATTRIBUTE: Final = np.dtype(
    [
        ("word", np.int64),  # position of a string, or the 64 bits of a number or bool
        ("size", np.int32),  # bytes of a string
        ("kind", np.uint8),  # ABSENT to OTHER
    ],
    align=True,
)

# Notes on a span.
LINKED, OVERSIZED = 1, 2

SPAN: Final = np.dtype(
    [
        ("trace_hi", np.uint64),  # first eight bytes of the trace id, big-endian
        ("trace_lo", np.uint64),  # last eight
        ("span_id", np.uint64),  # big-endian, never 0
        ("parent_id", np.uint64),  # 0: a root
        ("start", np.uint64),  # ns
        ("end", np.uint64),  # ns
        ("name_at", np.int64),  # position of the name
        ("state_at", np.int64),  # position of the tracestate
        ("message_at", np.int64),  # position of the status message
        ("name_size", np.int32),  # bytes
        ("state_size", np.int32),  # bytes
        ("message_size", np.int32),  # bytes
        ("kind", np.int32),  # OTLP SpanKind, any number
        ("status", np.int32),  # OTLP StatusCode, any number
        ("flags", np.uint32),
        ("record", np.int32),  # which record of the batch; never falls
        ("resource", np.int32),  # row in the resources' attributes
        ("scope", np.int32),  # row of the scopes; -1 where they are passed over
        ("size", np.int32),  # bytes of the span with its share of the record around it
        ("notes", np.uint8),  # LINKED, OVERSIZED
    ],
    align=True,
)

SCOPE: Final = np.dtype(
    [
        ("name_at", np.int64),  # position of the name
        ("version_at", np.int64),  # position of the version
        ("name_size", np.int32),  # bytes
        ("version_size", np.int32),  # bytes
    ],
    align=True,
)

EVENT: Final = np.dtype(
    [
        ("name_at", np.int64),  # position of the name
        ("name_size", np.int32),  # bytes
        ("span", np.int32),  # row of its span; never falls
    ],
    align=True,
)

RECORD: Final = np.dtype(
    [
        ("first_span", np.int64),  # row of the record's first span
        ("fault_at", np.int64),  # bytes from the record's start to where a fault was seen
        ("spans", np.int32),  # how many; 0 where there is a fault
        ("fault", np.uint8),  # 0, or why the record is malformed (scan.FAULTS)
        ("mixed", np.bool_),  # spans of more than one trace
    ],
    align=True,
)
