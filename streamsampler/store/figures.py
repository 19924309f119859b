"""What a store has written, and what RocksDB made of it."""

import re
from typing import Final, NamedTuple

_TICKER: Final = re.compile(r"^(?P<name>\S+) COUNT : (?P<count>[0-9]+)$", re.MULTILINE)
_WRITING: Final = frozenset({"rocksdb.flush.write.bytes", "rocksdb.compact.write.bytes"})


class StoreFigures(NamedTuple):
    """How much a store has to do with the disk.

    Attributes:
        table_bytes: Of RocksDB's tables on disk, now.
        put_bytes: Of blocks put since the store was made.
        written_bytes: Of tables that RocksDB wrote since then, when it flushed and when it
            compacted: by the bytes put, the write amplification.
    """

    table_bytes: int
    put_bytes: int
    written_bytes: int


def written_bytes(statistics: str) -> int:
    """Read from RocksDB's statistics how many bytes of tables it wrote.

    Args:
        statistics: As its options tell them.

    Returns:
        Bytes, since the database was opened.

    Raises:
        ValueError: They do not say.
    """
    counts = {found["name"]: int(found["count"]) for found in _TICKER.finditer(statistics)}
    missing = _WRITING - counts.keys()
    if missing:
        raise ValueError(f"RocksDB's statistics have no {' and no '.join(sorted(missing))}")
    return sum(counts[name] for name in _WRITING)
