"""Which of a few traces each span belongs to, where spans of other traces are among them.

Hot: one look-up a span of the traces that a policy asks about.
"""

import numpy as np

from streamsampler.spans.columns import Int64s, Rows, UInt32s
from streamsampler.spans.compiled import kernel
from streamsampler.traces.index import empty_slots, find, insert, slots_for


def places_of(spans: Rows, traces: Rows) -> Int64s:
    """Find the trace of each span.

    Args:
        spans: `SPAN` rows [n].
        traces: Rows with the fields `id_hi` and `id_lo`, no id twice.

    Returns:
        int64[n], the row of its trace; -1 where it is none of these.
    """
    places = np.empty(len(spans), np.int64)
    find_places(spans, traces, empty_slots(slots_for(len(traces))), places)
    return places


@kernel
def find_places(spans: Rows, traces: Rows, slots: UInt32s, places: Int64s) -> None:
    """Index traces and look each span's up.

    Args:
        spans: `SPAN` rows [n].
        traces: Rows with the fields `id_hi` and `id_lo`.
        slots: uint32, an empty index with room for them.
        places: int64[n], written.
    """
    for trace in range(len(traces)):
        insert(slots, traces, trace)
    for at in range(len(spans)):
        places[at] = find(slots, traces, spans[at]["trace_hi"], spans[at]["trace_lo"])
