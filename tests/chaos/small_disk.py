"""A disk of 64 MB for one worker alone: a file system in memory that goes with its process."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.workers import COMMAND, WorkerProcess

SIZE = "64m"
CHUNK = bytes(65_536)


def on_small_disk(worker: WorkerProcess, command: Sequence[str] = COMMAND) -> tuple[str, ...]:
    """A command that mounts the disk where nobody else sees it, and then becomes the worker.

    Args:
        worker: On whose disk folder.
        command: What runs it.

    Returns:
        The command.
    """
    worker.disk.mkdir(parents=True, exist_ok=True)
    # Whoever is not root may mount in a user namespace, where he is.
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    mount = f'mount -t tmpfs -o size={SIZE} tmpfs "$0" && exec "$@"'
    return ("unshare", "--mount", *as_root, "sh", "-c", mount, str(worker.disk), *command)


def fill(worker: WorkerProcess) -> None:
    """Take all room that the worker's disk has left."""
    with _filler(worker).open("wb", buffering=0) as file:
        for chunk in (CHUNK, CHUNK[:512]):
            _write_until_full(file.fileno(), chunk)


def empty(worker: WorkerProcess) -> None:
    """Give the room back."""
    _filler(worker).unlink()


def _filler(worker: WorkerProcess) -> Path:
    return Path(f"/proc/{worker.process.pid}/root{worker.disk}/filler")


def _write_until_full(file: int, chunk: bytes) -> None:
    while True:
        try:
            os.write(file, chunk)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
