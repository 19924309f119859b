"""One RocksDB database a worker: blocks under (partition, number), both big-endian.

The database is told what its data is like: values of 64 to 256 kB that are written once, read a
few times within seconds and deleted within a minute or so, in the order of their keys. So:
memtables large enough that most blocks die in memory, LZ4 for what does not, no write-ahead log
(Kafka is the log), and a block cache of a set size.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteOptions,
)

from streamsampler.store.blocks import Block, decode_block

_KEY_BYTES: Final = 12
# Several memtables are flushed as one, so that a block and its deletion meet in memory and neither
# is written; the rest take what comes meanwhile.
_MEMTABLES: Final = 6
_MERGED: Final = 4
_ROCKSDB_CACHE_BYTES: Final = 4 << 20


class StoreError(Exception):
    """RocksDB could not do what was asked; the message says where and why."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """How much memory RocksDB may use.

    Attributes:
        block_cache_bytes: For blocks read back, whole and decoded: the traces due at one time
            share them. RocksDB's own cache, which would hold them once more, is kept small.
        write_buffer_bytes: For blocks not yet on disk, all memtables together.
    """

    block_cache_bytes: int = 64 << 20
    write_buffer_bytes: int = 256 << 20


def _options(settings: StoreSettings) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(settings.write_buffer_bytes // _MEMTABLES)
    options.set_max_write_buffer_number(_MEMTABLES)
    options.set_min_write_buffer_number_to_merge(_MERGED)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(_ROCKSDB_CACHE_BYTES))
    options.set_block_based_table_factory(table)
    return options


def _key(partition: int, number: int) -> bytes:
    return partition.to_bytes(4, "big") + number.to_bytes(8, "big")


class BlockStore:
    """Owns the database; whoever opens it closes it, or uses it in a ``with``."""

    def __init__(self, path: Path, settings: StoreSettings | None = None) -> None:
        """Open or create the database.

        Args:
            path: A folder for this worker alone.
            settings: How much memory it may use.

        Raises:
            StoreError: The folder cannot be used, or another process has it open.
        """
        self._path = path
        self._settings = settings or StoreSettings()
        self._cache: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._cached_bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = Rdict(
                str(path), _options(self._settings), access_type=AccessType.read_write()
            )
        except Exception as error:  # rocksdict raises bare Exceptions with RocksDB's words
            mend = " (another worker has it open: each needs a folder of its own)"
            held = mend if "lock" in str(error).lower() else ""
            raise StoreError(f"cannot open the block store at {path}: {error}{held}") from error
        self._write = cast("Any", WriteOptions())  # its stubs take properties for methods
        self._write.disable_wal = True

    def put(self, partition: int, number: int, value: bytes) -> None:
        """Write a block.

        Args:
            partition: The input partition.
            number: Of the block; never one that was used before.
            value: Its bytes.

        Raises:
            StoreError: It could not be written: the disk is full, or fails.
        """
        try:
            self._database.put(_key(partition, number), value, write_opt=self._write)
        except Exception as error:
            raise StoreError(f"cannot write block {number} to {self._path}: {error}") from error

    def get(self, partition: int, number: int) -> bytes:
        """Read a block.

        Args:
            partition: The input partition.
            number: Of the block.

        Returns:
            Its bytes.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        try:
            value: bytes | None = self._database.get(_key(partition, number))
        except Exception as error:
            raise StoreError(f"cannot read block {number} from {self._path}: {error}") from error
        if value is None:
            raise StoreError(f"block {number} of partition {partition} is not in {self._path}")
        return value

    def block(self, partition: int, number: int) -> Block:
        """Read a block, or give back one that was read a moment ago.

        Args:
            partition: The input partition.
            number: Of the block.

        Returns:
            The block.

        Raises:
            StoreError: It is not there, or cannot be read.
        """
        key = (partition, number)
        block = self._cache.get(key)
        if block is not None:
            self._cache.move_to_end(key)
            return block
        try:
            block = decode_block(self.get(partition, number))
        except ValueError as error:
            raise StoreError(f"block {number} in {self._path} is damaged: {error}") from error
        self._cache[key] = block
        self._cached_bytes += len(block.body)
        while self._cached_bytes > self._settings.block_cache_bytes and len(self._cache) > 1:
            self._cached_bytes -= len(self._cache.popitem(last=False)[1].body)
        return block

    def delete(self, partition: int, numbers: list[int]) -> None:
        """Delete blocks.

        Args:
            partition: The input partition.
            numbers: Of the blocks.

        Raises:
            StoreError: The deletion could not be written.
        """
        try:
            for number in numbers:
                block = self._cache.pop((partition, number), None)
                self._cached_bytes -= len(block.body) if block else 0
                self._database.delete(_key(partition, number), write_opt=self._write)
        except Exception as error:
            raise StoreError(f"blocks at {self._path} cannot be deleted: {error}") from error

    def blocks(self, partition: int) -> Iterator[tuple[int, bytes]]:
        """Read all blocks of a partition.

        Args:
            partition: The input partition.

        Yields:
            Number and bytes of each block, by rising number.
        """
        bounds = ReadOptions()
        bounds.set_iterate_upper_bound(_key(partition + 1, 0))
        for key, value in self._database.items(from_key=_key(partition, 0), read_opt=bounds):
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            yield int.from_bytes(key[4:_KEY_BYTES], "big"), value

    def clear(self, partition: int) -> int:
        """Delete all blocks of a partition.

        Args:
            partition: The input partition.

        Returns:
            The first number that no block has had.

        Raises:
            StoreError: The deletion could not be written.
        """
        numbers = [number for number, _ in self.blocks(partition)]
        self.delete(partition, numbers)
        return numbers[-1] + 1 if numbers else 0

    def written_bytes(self) -> int:
        """How many bytes RocksDB holds on disk now, tables alone."""
        return int(self._database.property_int_value("rocksdb.total-sst-files-size") or 0)

    def memory_bytes(self) -> int:
        """How many bytes of memory RocksDB holds now: memtables, its cache, table readers."""
        names = ("size-all-mem-tables", "block-cache-usage", "estimate-table-readers-mem")
        return sum(int(self._database.property_int_value(f"rocksdb.{n}") or 0) for n in names)

    def close(self) -> None:
        """Flush what is in memory and let the folder go."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
