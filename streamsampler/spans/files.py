"""Records from files: lines of JSON, or protobuf messages with their lengths before them.

Plain or gzip, told by the first bytes and not by the name, as the Collector's file exporter writes
them.
"""

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_STDIN: Final = "-"
_GZIP_MAGIC: Final = b"\x1f\x8b"
_LENGTH_BYTES: Final = 4
_LONGEST_MESSAGE: Final = 2**31 - 1  # bytes, the most that protobuf allows
_PIECE: Final = 2**20  # bytes

Split = Callable[[BinaryIO, str], Iterator[tuple[bytes, str]]]


class InputFileError(Exception):
    """A file that cannot be read to its end; says in a sentence which, where and why."""


def read_records(
    path: Path | str,
    format: str,  # noqa: A002 - the name of the command's flag
    stdin: BinaryIO | None = None,
) -> Iterator[tuple[bytes, str]]:
    """Read a file's records, one after the other.

    Args:
        path: The file; ``-`` for standard input.
        format: What is in it: ``otlp_json``, a request a line, or a single one over many lines;
            ``otlp_proto``, each message behind its length in 4 bytes, the highest first.
        stdin: What to read instead of the process' standard input.

    Yields:
        A record's value, and its place for messages: ``traces.jsonl:12`` for a line,
        ``traces.bin:message 3`` for a message.

    Raises:
        InputFileError: The file cannot be opened, is cut off or broken, or no file is written in
            this format. What came before the break has been yielded.
    """
    if format not in _SPLITS:
        raise InputFileError(
            f"No file can be read as {format!a}; the formats are {', '.join(_SPLITS)}.",
        )
    name = "standard input" if str(path) == _STDIN else str(path)
    with _failures_in_words(name), _opened(path, stdin) as stream:
        yield from _SPLITS[format](stream, name)


@contextmanager
def _failures_in_words(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise InputFileError(f"{name}: the gzip data is cut off; copy it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputFileError(f"{name}: the gzip data is broken ({error}).") from error
    except OSError as error:
        raise InputFileError(f"{name}: {error.strerror or error}.") from error


@contextmanager
def _opened(path: Path | str, stdin: BinaryIO | None) -> Iterator[BinaryIO]:
    if str(path) == _STDIN:
        yield _unzipped(stdin or sys.stdin.buffer)
        return
    with Path(path).open("rb") as stream:
        yield _unzipped(stream)


def _unzipped(stream: BinaryIO) -> BinaryIO:
    start = stream.read(len(_GZIP_MAGIC))
    whole = io.BufferedReader(_PutBack(start, stream))
    return io.BufferedReader(gzip.GzipFile(fileobj=whole)) if start == _GZIP_MAGIC else whole


class _PutBack(io.RawIOBase):
    """A stream whose start was read already; not every stream can be wound back."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._start = start
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, target: "WriteableBuffer") -> int:
        room = memoryview(target).cast("B")
        data = self._start or self._stream.read(len(room))
        self._start = data[len(room) :]
        room[: len(data)] = data[: len(room)]
        return min(len(data), len(room))


def _json_lines(stream: BinaryIO, name: str) -> Iterator[tuple[bytes, str]]:
    """A request a line; a file whose first line is a lone bracket holds one over many lines."""
    first = True
    for number, line in enumerate(stream, 1):
        value = line.strip()
        if not value:
            continue
        if first and value.removeprefix(codecs.BOM_UTF8) == b"{":
            yield line + stream.read(), f"{name}:{number}"
            return
        first = False
        yield value, f"{name}:{number}"


def _messages(stream: BinaryIO, name: str) -> Iterator[tuple[bytes, str]]:
    """Messages with their lengths, until the file ends at the end of one."""
    number = 0
    while length := _read(stream, _LENGTH_BYTES):
        number += 1
        place = f"{name}:message {number}"
        hint = "; it looks like JSON" if number == 1 and length[:1] in {b"{", b"["} else ""
        size = int.from_bytes(length, "big")
        if len(length) < _LENGTH_BYTES:
            raise InputFileError(f"{place}: the file ends within the message's length{hint}.")
        if size > _LONGEST_MESSAGE:
            raise InputFileError(f"{place}: {size} bytes are more than any message has{hint}.")
        value = _read(stream, size)
        if len(value) < size:
            raise InputFileError(
                f"{place}: the file ends after {len(value)} of the message's {size} bytes{hint}.",
            )
        yield value, place


def _read(stream: BinaryIO, size: int) -> bytes:
    """Read up to so many bytes, without room made beforehand for what a broken length claims."""
    value = bytearray()
    while piece := stream.read(min(_PIECE, size - len(value))):
        value += piece
    return bytes(value)


_SPLITS: Final[Mapping[str, Split]] = MappingProxyType(
    {"otlp_json": _json_lines, "otlp_proto": _messages},
)
