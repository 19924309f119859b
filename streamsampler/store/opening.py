"""Opening the RocksDB database, told what its data is like; one that is damaged is made anew.

Values of 64 to 256 kB are written once, read a few times within seconds and deleted within a
minute or so, in the order of their keys. So: memtables large enough that most blocks die in
memory, LZ4 for what does not, and a block cache of a set size.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
)

# Several memtables are flushed as one, so that a block and its deletion meet in memory and neither
# is written; the rest take what comes meanwhile.
_MEMTABLES: Final = 6
_MERGED: Final = 4
_ROCKSDB_CACHE_BYTES: Final = 4 << 20
CORRUPT: Final = "Corruption"  # how RocksDB's words begin
# And how they end where another process, or this one, has the database open.
_HELD: Final = ("/LOCK: Resource temporarily unavailable", "/LOCK: No locks available")


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


class Opened(NamedTuple):
    """A database that is open.

    Attributes:
        database: RocksDB's.
        options: What it was opened with; they have its statistics.
        damage: RocksDB's words on what was wrong with the one that was there and is made anew;
            empty where nothing was.
    """

    database: Rdict
    options: Options
    damage: str


def open_database(path: Path, settings: StoreSettings) -> Opened:
    """Open or create a database; one that is damaged is destroyed and made anew.

    Args:
        path: Its folder.
        settings: How much memory it may use.

    Returns:
        The database.

    Raises:
        StoreError: The folder cannot be used, or another process has it open.
    """
    damage = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _opened(path, settings, damage)
        except Exception as error:  # rocksdict raises bare Exceptions with RocksDB's words
            damage = str(error)
            if not _is_damage(damage, path):
                raise
        destroy_database(path, settings)
        return _opened(path, settings, damage)
    except Exception as error:
        mend = " (another worker has it open: each needs a folder of its own)"
        held = mend if str(error).endswith(_HELD) else ""
        raise StoreError(f"cannot open the block store at {path}: {error}{held}") from error


def destroy_database(path: Path, settings: StoreSettings) -> None:
    """Delete a database that is not open.

    Args:
        path: Its folder.
        settings: As it was opened.
    """
    Rdict.destroy(str(path), _options(settings))


def _opened(path: Path, settings: StoreSettings, damage: str) -> Opened:
    options = _options(settings)
    # Counted and timed by RocksDB per write, and one of ours is a block of hundreds of records.
    options.enable_statistics()
    database = Rdict(str(path), options, access_type=AccessType.read_write())
    return Opened(database, options, damage)


def _is_damage(words: str, path: Path) -> bool:
    """Tell a database that lost a file or a byte from one that is locked or out of reach."""
    lost = "No such file" in words and (path / "CURRENT").exists()
    return words.startswith(CORRUPT) or lost
