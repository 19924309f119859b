"""What spans state of their sampling so far, in the ``ot`` member of their tracestate.

``rv`` is the explicit randomness of the trace, ``th`` the rejection threshold T that the span has
passed already. Hot: once a span; both are read in one pass (`spans.ot_member`).
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import Bytes, Rows, UInt64s
from streamsampler.spans.compiled import kernel
from streamsampler.spans.ot_member import UNSTATED, find_ot, read_stated

NO_RANDOMNESS: Final = UNSTATED


@kernel
def read_randomness(buffer: Bytes, spans: Rows, randomness: UInt64s, incoming: UInt64s) -> None:
    """Read R of every span that states it, and the threshold that each came with.

    Args:
        buffer: uint8, which the spans' positions speak of.
        spans: `SPAN` rows.
        randomness: uint64[n], written: R, 56 bits, or `NO_RANDOMNESS`.
        incoming: uint64[n], written: T of ``th``, 56 bits; 0 where the span has no sound one.
    """
    for row in range(len(spans)):
        randomness[row] = np.uint64(NO_RANDOMNESS)
        incoming[row] = np.uint64(0)
        size = np.int64(spans[row]["state_size"])
        if size > 0:
            at = spans[row]["state_at"]
            first, stop = find_ot(buffer, at, at + size)
            threshold, stated, _ = read_stated(buffer, first, stop)
            randomness[row] = stated
            if threshold != np.uint64(UNSTATED):
                incoming[row] = threshold
