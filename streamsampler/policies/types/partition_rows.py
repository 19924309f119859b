"""The rows of due traces by partition: what is limited is spent by each partition on its own."""

from collections.abc import Iterator

import numpy as np

from streamsampler.policies.votes import Bools, DueTraces, Ints64


def rows_by_partition(traces: DueTraces, asked: Bools) -> Iterator[tuple[int, Ints64]]:
    """Give the rows that are asked about, partition by partition.

    Args:
        traces: The due traces.
        asked: bool[n].

    Yields:
        A partition, and int64[m], its rows in their order.
    """
    rows = np.flatnonzero(asked)
    partitions = traces.partition[rows]
    for partition in np.unique(partitions).tolist():
        yield partition, rows[partitions == partition]
