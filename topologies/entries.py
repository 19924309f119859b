r"""Keys of a table's entries: what a worker published, by its identity.

Layout, big endian: kind (1 byte: its first letter), shard (4), partition (4), interval (8, signed),
part (8, signed). The shard is in it because one identity comes in a record for each shard, and
because a store in memory does not tell shards apart.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

LAYOUT: Final = struct.Struct(">cIIqq")


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """The identity of what a worker published, within an app.

    Attributes:
        kind: The first letter of the record's kind.
        shard: The partition of the sketches topic.
        partition: The input partition that was summed up.
        interval: Which interval of stream time.
        part: Tells apart what two owners of a partition published of one interval.
    """

    kind: bytes
    shard: int
    partition: int
    interval: int
    part: int

    def pack(self) -> bytes:
        """Make the key; `struct.error` where a number has no place in it."""
        return LAYOUT.pack(self.kind, self.shard, self.partition, self.interval, self.part)

    @classmethod
    def unpack(cls, key: bytes) -> Self:
        """Read a key; `struct.error` where it is none."""
        return cls(*LAYOUT.unpack(key))
