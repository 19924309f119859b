"""The audit of dependencies: a vulnerability fails, a service that does not answer is a line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kafka_cluster import REPOSITORY

FINE = {"name": "click", "version": "8.1.0", "vulns": []}
FLAWED = {
    "name": "urllib3",
    "version": "2.5.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.5.1", "3.0"]}, {"id": "PYSEC-2"}],
}
UNKNOWN = {"name": "faust", "skip_reason": "Dependency not found on PyPI: faust (1.0)"}


def report(*entries: dict[str, Any]) -> str:
    return f"echo '{json.dumps({'dependencies': entries})}'"


@pytest.mark.parametrize(
    ("does", "code", "says"),
    [
        (report(FINE), 0, "audit: 0 known vulnerabilities in 1 packages"),
        (
            f"{report(FINE, FLAWED)}; exit 1",
            1,
            """\
audit: urllib3 2.5.0: PYSEC-1, mended in 2.5.1, 3.0
audit: urllib3 2.5.0: PYSEC-2, mended in no version yet
audit: 2 known vulnerabilities in 2 packages""",
        ),
        (
            report(FINE, UNKNOWN),
            0,
            "audit: 0 known vulnerabilities in 2 packages, nothing is known of faust",
        ),
        (
            report(UNKNOWN),
            0,
            "audit: not done: Dependency not found on PyPI: faust (1.0), and so for all 1 packages",
        ),
        ("echo 'no such host' >&2; exit 1", 0, "audit: not done: no such host"),
        ("exec sleep 60", 0, "audit: not done: no answer within 1 s"),
    ],
)
def test_what_it_makes_of_an_answer(tmp_path: Path, does: str, code: int, says: str) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\n{does}\n")
    tool.chmod(0o755)
    seconds = "1" if "sleep" in does else "30"
    done = subprocess.run(
        [sys.executable, REPOSITORY / ".ci" / "audit.py", "--tool", tool, "--seconds", seconds],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, says + "\n", "")


def test_ci_looks_at_what_the_image_installs() -> None:
    assert "make audit" in (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert (
        'LOCK: Final = REPOSITORY / "requirements-image.lock"'
        in (REPOSITORY / ".ci" / "audit.py").read_text()
    )
