"""One RocksDB database a worker: blocks under (partition, number), both big-endian.

There is no write-ahead log, as Kafka is the log. What outlives a kill is therefore all writes
up to some moment: as if those after it had never been.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from rocksdict import WriteOptions

from streamsampler.store.blocks import Block, decode_block
from streamsampler.store.figures import StoreFigures, written_bytes
from streamsampler.store.opening import (
    CORRUPT,
    StoreError,
    StoreSettings,
    destroy_database,
    open_database,
)

_KEY_BYTES: Final = 12
_LARGEST: Final = 2**64 - 1
_LAST_PARTITION: Final = 2**32 - 1
_IDENTITY: Final = b"\0"  # stands before the keys of all blocks


def _key(partition: int, number: int) -> bytes:
    return partition.to_bytes(4, "big") + number.to_bytes(8, "big")


def _partition_and_number(key: object) -> tuple[int, int]:
    """Read a key; that of the identity is nobody's."""
    assert isinstance(key, bytes)
    if len(key) != _KEY_BYTES:
        return -1, -1
    return int.from_bytes(key[:4], "big"), int.from_bytes(key[4:], "big")


class BlockStore:
    """Owns the database; whoever opens it closes it, or uses it in a ``with``."""

    def __init__(self, path: Path, settings: StoreSettings | None = None) -> None:
        """Open or create the database; one that is damaged is made anew, as Kafka is the log.

        Args:
            path: A folder for this worker alone.
            settings: How much memory it may use.

        Raises:
            StoreError: The folder cannot be used, or another process has it open.
        """
        self._path = path
        self._settings = settings or StoreSettings()
        self._identity = b""
        self._put_bytes = self._written_before = 0
        self._write = cast("Any", WriteOptions())  # its stubs take properties for methods
        self._write.disable_wal = True
        self.rebuilt = ""
        """RocksDB's words on what was wrong with a database that was made anew; else empty."""
        self._open()

    def _open(self) -> None:
        self._database, self._options, damage = open_database(self._path, self._settings)
        self.rebuilt = damage or self.rebuilt
        self._damage = ""
        self._cache: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._cached_bytes = 0
        self._sizes: dict[int, dict[int, int]] | None = None

    def reopen(self) -> None:
        """Close the database and open it again, after it has failed.

        One that turned out to be damaged is made anew. Nobody may hold blocks of it.

        Raises:
            StoreError: It still fails.
        """
        damage, identity = self._damage, self._identity
        with suppress(StoreError):
            self.close()
        if damage:
            with self._failures("cannot remove the damaged block store"):
                destroy_database(self._path, self._settings)
        self._open()
        if damage:
            self.rebuilt = damage
        if identity:
            self._put(_IDENTITY, identity)

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Say RocksDB's errors with what could not be done, and keep damage in mind."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # rocksdict raises bare Exceptions with RocksDB's words
            if str(error).startswith(CORRUPT):
                self._damage = str(error)
            raise StoreError(f"{what} at {self._path}: {error}") from error

    def _put(self, key: bytes, value: bytes) -> None:
        with self._failures("cannot write"):
            self._database.put(key, value, write_opt=self._write)

    def claim(self, identity: str, incarnation: str = "") -> bool:
        """Make the database one cluster's, topic's and group's; delete what is another's.

        Args:
            identity: Theirs, on one line.
            incarnation: Which topic of this name it is; empty where nobody tells, then any will do.

        Returns:
            False where blocks of another identity, or of none, were there, and are deleted.

        Raises:
            StoreError: The database cannot be read or written.
        """
        with self._failures("cannot read"):
            found = self._database.get(_IDENTITY)
        before, _, which = (found or b"").decode().partition("\n")
        known = before == identity and (not which or incarnation in {"", which})
        self._identity = f"{identity}\n{incarnation or (which if known else '')}".encode()
        if found == self._identity:
            return True
        if known:
            self._put(_IDENTITY, self._identity)
            return True
        try:
            held = self._first_partition(0) is not None
        except StoreError:
            held = True
        if held:
            self._delete_range(_key(0, 0), _key(_LAST_PARTITION, _LARGEST))
            self._cache.clear()
            self._cached_bytes = 0
            self._sizes = None
        self._put(_IDENTITY, self._identity)
        return not held and found is None

    def put(self, partition: int, number: int, value: bytes) -> None:
        """Write a block.

        Args:
            partition: The input partition.
            number: Of the block; never one that was used before.
            value: Its bytes.

        Raises:
            StoreError: It could not be written: the disk is full, or fails.
        """
        with self._failures(f"cannot write block {number}"):
            self._database.put(_key(partition, number), value, write_opt=self._write)
        self._put_bytes += len(value)
        if self._sizes is not None:
            self._sizes.setdefault(partition, {})[number] = len(value)

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
        with self._failures(f"cannot read block {number}"):
            value: bytes | None = self._database.get(_key(partition, number))
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
        with self._failures("cannot delete blocks"):
            for number in numbers:
                self._forget(partition, number)
                self._database.delete(_key(partition, number), write_opt=self._write)

    def _forget(self, partition: int, number: int) -> None:
        block = self._cache.pop((partition, number), None)
        self._cached_bytes -= len(block.body) if block else 0
        if self._sizes is not None:
            sizes = self._sizes.get(partition, {})
            sizes.pop(number, None)
            if not sizes:
                self._sizes.pop(partition, None)

    def blocks(self, partition: int) -> Iterator[tuple[int, bytes]]:
        """Read all blocks of a partition, one by one.

        Args:
            partition: The input partition.

        Yields:
            Number and bytes of each block, by rising number.

        Raises:
            StoreError: One cannot be read.
        """
        with self._failures(f"cannot read the blocks of partition {partition}"):
            # Not with bounds in read options: the iterator reads those after they are freed.
            rows = self._database.iter()
            rows.seek(_key(partition, 0))
            while rows.valid():
                key, value = rows.key(), rows.value()
                assert isinstance(value, bytes)
                whose, number = _partition_and_number(key)
                if whose != partition:
                    return
                yield number, value
                rows.next()
            rows.status()  # a damaged place looks like the end

    def last(self, partition: int) -> int | None:
        """Find a partition's newest block.

        Args:
            partition: The input partition.

        Returns:
            Its number; None where there is no block.

        Raises:
            StoreError: It cannot be read.
        """
        with self._failures(f"cannot read the blocks of partition {partition}"):
            rows = self._database.iter()
            rows.seek_for_prev(_key(partition, _LARGEST))
            if not rows.valid():
                rows.status()
                return None
            whose, number = _partition_and_number(rows.key())
            return number if whose == partition else None

    def clear(self, partition: int) -> int:
        """Delete all blocks of a partition, the newest first, also where they cannot be read.

        Args:
            partition: The input partition.

        Returns:
            The first number that no block has had, as far as they can be read.

        Raises:
            StoreError: The deletion could not be written.
        """
        numbers: list[int] = []
        try:
            numbers.extend(number for number, _ in self.blocks(partition))
        except StoreError:
            self._clear_unread(partition)
        # What outlives a kill in the midst of this still has no gap.
        self.delete(partition, numbers[::-1])
        return numbers[-1] + 1 if numbers else 0

    def _clear_unread(self, partition: int) -> None:
        self._delete_range(_key(partition, 0), _key(partition + 1, 0))
        for held, number in list(self._cache):
            if held == partition:
                self._forget(partition, number)
        if self._sizes is not None:
            self._sizes.pop(partition, None)

    def _delete_range(self, first: bytes, behind: bytes) -> None:
        with self._failures("cannot delete blocks"):
            self._database.delete_range(first, behind, write_opt=self._write)

    def partitions(self) -> dict[int, int]:
        """Tell whose blocks are here; the first time, all of them are read.

        Returns:
            Partition and bytes of its blocks, as far as they can be read.

        Raises:
            StoreError: The database cannot be read.
        """
        if self._sizes is None:
            self._sizes = self._measured()
        return {partition: sum(sizes.values()) for partition, sizes in self._sizes.items()}

    def _measured(self) -> dict[int, dict[int, int]]:
        measured: dict[int, dict[int, int]] = {}
        partition = 0
        while True:
            try:
                found = self._first_partition(partition)
            except StoreError:
                # A damaged place that hides whose it is; those that come after it are found.
                if partition > self._last_partition():
                    return measured
                partition += 1
                continue
            if found is None:
                return measured
            measured[found] = {}
            with suppress(StoreError):
                for number, value in self.blocks(found):
                    measured[found][number] = len(value)
            partition = found + 1

    def _first_partition(self, least: int) -> int | None:
        with self._failures("cannot read"):
            rows = self._database.iter()
            rows.seek(_key(least, 0))
            if not rows.valid():
                rows.status()
                return None
            return _partition_and_number(rows.key())[0]

    def _last_partition(self) -> int:
        ends = [file["end_key"] for file in self._database.live_files()]
        return max((int.from_bytes(end[:4], "big") for end in ends), default=0)

    def table_bytes(self) -> int:
        """How many bytes RocksDB holds on disk now, tables alone."""
        return int(self._database.property_int_value("rocksdb.total-sst-files-size") or 0)

    def figures(self) -> StoreFigures:
        """Tell what the store has written; half a millisecond.

        Returns:
            The figures.

        Raises:
            StoreError: The database is not open, as it failed.
        """
        with self._failures("cannot tell what was written"):
            return StoreFigures(self.table_bytes(), self._put_bytes, self._written())

    def _written(self) -> int:
        return self._written_before + written_bytes(self._options.get_statistics() or "")

    def memory_bytes(self) -> int:
        """How many bytes of memory RocksDB holds now: memtables, its cache, table readers."""
        names = ("size-all-mem-tables", "block-cache-usage", "estimate-table-readers-mem")
        return sum(int(self._database.property_int_value(f"rocksdb.{n}") or 0) for n in names)

    def close(self) -> None:
        """Flush what is in memory and let the folder go.

        Raises:
            StoreError: Not all could be written; the folder is let go all the same.
        """
        with self._failures("cannot flush"):
            try:
                self._database.flush(wait=True)
            finally:
                self._database.close()
                self._written_before = self._written()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
