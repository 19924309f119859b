"""Programs that are on the machine, or are built once from their Go module."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.kafka_cluster import REPOSITORY

BUILD_SECONDS = 600


def build(module: str, name: str) -> Path | None:
    """Build a program into a folder of the checkout's cache, once.

    Args:
        module: Its package and version.
        name: Of the folder.

    Returns:
        Where the program is, under the last part of its package's path; None where Go is not here.
    """
    folder = REPOSITORY / ".cache" / "go" / name
    program = folder / module.partition("@")[0].rpartition("/")[2]
    if program.exists():
        return program
    if shutil.which("go") is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["go", "install", module],
        env={**os.environ, "GOBIN": str(folder)},
        timeout=BUILD_SECONDS,
        check=True,
    )
    return program
