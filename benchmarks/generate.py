"""Generated traffic on one core: how many spans a CPU second `streamsampler generate` makes.

In memory, and to a file in each format by the command itself. A run of many traces less one of few
is held against the spans between, so that the start of the process and of the shop is not counted.
"""

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from streamsampler.traffic import FORMATS, Traffic, TrafficSettings

MARK = 30_000
FEW = 100
_COMMAND = Path(sys.executable).with_name("streamsampler")


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _written(file_format: str, traces: int, seed: int) -> tuple[int, float]:
    """Spans that the command wrote to a file, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        before = _children_seconds()
        done = subprocess.run(
            [
                _COMMAND, "generate", "--output", f"{folder}/traffic", "--format", file_format,
                "--traces", str(traces), "--seed", str(seed),
            ],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        seconds = _children_seconds() - before
    found = re.search(r"Wrote ([\d,]+) spans", done.stderr)
    assert found is not None, done.stderr
    return int(found[1].replace(",", "")), seconds


def to_file(file_format: str, traces: int, seed: int) -> float:
    """Measure the command.

    Args:
        file_format: Of its file.
        traces: How many.
        seed: Of all chance.

    Returns:
        Spans a CPU second.
    """
    (few, start), (many, all_in_all) = (_written(file_format, n, seed) for n in (FEW, traces))
    return (many - few) / (all_in_all - start)


def in_memory(traces: int, seed: int) -> float:
    """Measure the making of records alone.

    Args:
        traces: How many.
        seed: Of all chance.

    Returns:
        Spans a CPU second.
    """
    traffic = Traffic(TrafficSettings(traces=traces, seed=seed), lambda _trace: None)
    began = time.process_time()
    spans = sum(len(batch.spans) for record in traffic.records() for batch in record.batches)
    return spans / (time.process_time() - began)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    console = Console()
    rates: dict[str, list[float]] = {name: [] for name in ("in memory", *sorted(FORMATS))}
    for seed in range(options.rounds):
        for name, found in rates.items():
            measured = in_memory(options.traces, seed) if name == "in memory" else None
            found.append(measured or to_file(name, options.traces, seed))
    for name, found in rates.items():
        console.print(
            f"generate, {name}: {min(found):,.0f}, {statistics.median(found):,.0f}, "
            f"{max(found):,.0f} spans a CPU second (min, median, max); mark: {MARK:,} or more"
        )


if __name__ == "__main__":
    main()
