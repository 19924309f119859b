"""The comparison of the scan with its twin once more, in a process that checks every index.

Compiled as it runs in a worker, a kernel that reads or writes beside an array says nothing.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamsampler.store.filling import copy_records
from tests.unit.spans import test_spans_scan

REPOSITORY = Path(__file__).resolve().parents[3]


def run_checked(*arguments: str) -> None:
    """Run Python with bounds checks; fail with what it says."""
    # A cache of its own, as what is cached does not know whether its bounds are checked.
    cache = Path(os.environ["NUMBA_CACHE_DIR"]) / "bounds"
    checked = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **checked},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_with_bounds_checks_scan_and_twin_are_alike_too() -> None:
    run_checked("-m", "tests.unit.spans.test_spans_scan_bounds")
    run_checked("-m", "pytest", "-q", "-p", "no:cacheprovider", test_spans_scan.__file__)


if __name__ == "__main__":
    # That bounds are checked at all.
    one, far = np.zeros(1, np.int64), np.array([0, 9], np.int64)
    with pytest.raises(IndexError):
        copy_records(np.zeros(1, np.uint8), far, one, np.zeros(9, np.uint8), one)
