"""Traces being put together: the table, the fold, deadlines in stream time, the span tree.

Columns of spans come in, rows of traces that are due go out. Nothing here knows a policy, reads a
record's bytes or looks at a clock; time is the stream time that the records carry.
"""

from streamsampler.traces.decided import DecidedTraces, PastDecision
from streamsampler.traces.table import TraceTable, trace_table

__all__ = ["DecidedTraces", "PastDecision", "TraceTable", "trace_table"]
