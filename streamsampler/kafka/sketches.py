"""Records of the sketches topic: what a worker sums up, to the shard that joins it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

import msgpack

from streamsampler.estimates.summaries import (
    Demand,
    GroupSummary,
    PairSummary,
    Services,
    ServiceSummary,
    Summary,
    pack,
)


class SketchRecord(NamedTuple):
    """A record to write.

    Attributes:
        shard: The partition of the sketches topic.
        key: Which summary it is, for whoever looks into the topic.
        value: The summary.
    """

    shard: int
    key: bytes
    value: bytes


def sketch_records(summaries: Iterable[Summary], shards: int) -> Iterator[SketchRecord]:
    """Cut summaries by shards: all that is said of one group, policy or service meets in one.

    Args:
        summaries: Any.
        shards: How many partitions the sketches topic has.

    Yields:
        A record for each summary and shard that has something of it.
    """
    for summary in summaries:
        key = b"%b/%d" % (summary.kind.encode(), summary.partition)
        for shard, body in sorted(_by_shard(summary, shards).items(), key=lambda item: item[0]):
            part = Summary(summary.kind, summary.partition, summary.interval, summary.part, body)
            yield SketchRecord(shard, key, pack(part))


def _by_shard(
    summary: Summary, shards: int
) -> dict[int, tuple[GroupSummary, ...] | tuple[Demand, ...] | Services]:
    body = summary.body
    if isinstance(body, Services):
        services: dict[int, list[ServiceSummary]] = defaultdict(list)
        pairs: dict[int, list[PairSummary]] = defaultdict(list)
        for service in body.services:
            services[crc32(service.service) % shards].append(service)
        for pair in body.pairs:
            pairs[crc32(pair.caller) % shards].append(pair)
        return {
            shard: Services(tuple(services[shard]), tuple(pairs[shard]))
            for shard in {*services, *pairs}
        }
    by_shard = defaultdict(list)
    for row in body:
        by_shard[crc32(_name(row)) % shards].append(row)
    return {shard: tuple(own) for shard, own in by_shard.items()}  # type: ignore[misc]


def _name(row: GroupSummary | Demand) -> bytes:
    if isinstance(row, Demand):
        return row.policy.encode()
    name: bytes = msgpack.packb(row.group)
    return name
