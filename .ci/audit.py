"""Looks for known vulnerabilities in what the image installs: `make audit`.

pip-audit has a folder of its own under `.cache`, as nothing of it belongs into a lock of ours. A
vulnerability fails. Where advisories cannot be had, that is said in a line and is no failure: no
change is to wait for somebody else's server.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
LOCK: Final = REPOSITORY / "requirements-image.lock"
TOOLS: Final = REPOSITORY / ".cache" / "audit"
WANTED: Final = "pip-audit==2.10.1"
SECONDS: Final = 120
ANSWER_SECONDS: Final = 15


class NotDoneError(Exception):
    """Nobody could be asked; the message says why."""


def install(seconds: int) -> Path:
    """Bring pip-audit into its folder, unless it is there; tell where the program is."""
    program = TOOLS / "bin" / "pip-audit"
    stamp = TOOLS / "installed"
    if not (stamp.exists() and stamp.read_text() == WANTED):
        venv.create(TOOLS, with_pip=True, clear=True)
        pip = [str(TOOLS / "bin" / "python"), "-m", "pip", "install", "--quiet", WANTED]
        done = run(pip, seconds)
        if done.returncode:
            raise NotDoneError(f"{WANTED} cannot be installed: {last_line(done.stderr)}")
        stamp.write_text(WANTED)
    return program


def run(command: list[str], seconds: int) -> subprocess.CompletedProcess[str]:
    """Run a program that may not take longer than that."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotDoneError(f"no answer within {seconds} s") from error
    except OSError as error:
        raise NotDoneError(f"{command[0]} cannot be run: {error.strerror}") from error


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no word")


def ask(program: Path, lock: Path, seconds: int) -> list[dict[str, Any]]:
    """Ask for each package of a lock; gives pip-audit's entry for each."""
    asked = run(
        [
            str(program), "--disable-pip", "--require-hashes", "--progress-spinner", "off",
            "--timeout", str(ANSWER_SECONDS), "--format", "json", "--requirement", str(lock),
        ],
        seconds,
    )  # fmt: skip
    try:
        found: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotDoneError(last_line(asked.stderr)) from error
    # An index that knows nothing of advisories makes pip-audit find nothing, and content.
    if found and all("skip_reason" in one for one in found):
        raise NotDoneError(f"{found[0]['skip_reason']}, and so for all {len(found)} packages")
    return found


def told(found: list[dict[str, Any]]) -> list[str]:
    """A line for each vulnerability."""
    return [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw.get('fix_versions', ())) or 'no version yet'}"
        for one in found
        for flaw in one.get("vulns", ())
    ]


def main() -> int:
    """Look, and tell; 1 where there is a vulnerability."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", type=Path, help="a pip-audit that is there")
    parser.add_argument("--lock", type=Path, default=LOCK)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="the most that it may take")
    given = parser.parse_args()
    try:
        found = ask(given.tool or install(given.seconds), given.lock, given.seconds)
    except NotDoneError as reason:
        sys.stdout.write(f"audit: not done: {reason}{os.linesep}")
        return 0
    flaws = told(found)
    skipped = [one["name"] for one in found if "skip_reason" in one]
    for line in flaws:
        sys.stdout.write(f"audit: {line}{os.linesep}")
    unknown = f", nothing is known of {', '.join(skipped)}" if skipped else ""
    sys.stdout.write(
        f"audit: {len(flaws)} known vulnerabilities in {len(found)} packages{unknown}{os.linesep}"
    )
    return 1 if flaws else 0


if __name__ == "__main__":
    sys.exit(main())
