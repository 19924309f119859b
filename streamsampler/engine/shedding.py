"""Giving up the oldest traces early where more is buffered than there may be."""

from collections.abc import Collection, Iterator

from streamsampler.engine.partition import Partition
from streamsampler.spans.columns import Int64s
from streamsampler.traces.due import oldest_rows
from streamsampler.traces.table import SIZE, SPANS

_ROOM_SHARE = 20  # a twentieth of the limit is free afterwards, so that it is not done every time


def buffered(partitions: Collection[Partition]) -> tuple[int, int]:
    """Tell how much partitions hold together.

    Args:
        partitions: These.

    Returns:
        Buffered spans, and their bytes.
    """
    spans = size = 0
    for partition in partitions:
        registers = partition.table.registers
        spans += int(registers[SPANS])
        size += int(registers[SIZE])
    return spans, size


def surplus(
    partitions: Collection[Partition], most_spans: int, most_bytes: int
) -> Iterator[tuple[Partition, Int64s]]:
    """Find what is to be decided early, until all is within the limits.

    Args:
        partitions: All of the engine. Those in replay give up nothing.
        most_spans: How many spans may be buffered.
        most_bytes: How many bytes.

    Yields:
        The partition that holds most, and its oldest traces, int64[n] rows of its table. They must
        be gone before the next is asked for.
    """
    while True:
        spans, size = buffered(partitions)
        if spans <= most_spans and size <= most_bytes:
            return
        able = [one for one in partitions if one.table.live and not one.replaying]
        if not able:
            return
        held = SPANS if spans > most_spans else SIZE
        largest = max(able, key=lambda one: int(one.table.registers[held]))
        yield (
            largest,
            oldest_rows(largest.table, _too_many(spans, most_spans), _too_many(size, most_bytes)),
        )


def _too_many(held: int, most: int) -> int:
    return held - (most - most // _ROOM_SHARE) if held > most else 0
