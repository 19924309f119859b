"""All benchmarks, one after the other, each in a process of its own: what ``make bench`` runs."""

import subprocess
import sys

MODULES = (
    "engine",
    "control_plane",
    "policies",
    "memory",
    "generate",
    "takeover",
    "end_to_end",
)

if __name__ == "__main__":
    for module in MODULES:
        subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=True)
