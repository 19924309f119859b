"""What the engine pays for what it tells the control plane: with it and without, in turns.

Off: root operations are not read, decided traces are not summed up, no trace is read for health.
On: all of it, and what is over is told after each batch, as a worker does. CPU time of the whole
process, RocksDB's threads included.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.engine import policies
from benchmarks.records import FOUR_SPANS, ONE_SPAN, batches
from streamsampler.engine.health import HealthQuestions
from streamsampler.engine.sums import Sums
from streamsampler.policies.roots import RootReader
from streamsampler.sampler import Sampler
from streamsampler.spans.records import RecordBatch
from streamsampler.store import BlockStore

MARK = 1.1


def cpu_seconds(made: Sequence[RecordBatch], *, told: bool) -> float:
    """CPU time of sampling everything, s."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as changed:
        if not told:
            changed.enter_context(patch.object(Sums, "add", lambda *_: None))
            changed.enter_context(patch.object(RootReader, "read", _no_roots))
        with BlockStore(Path(folder) / "blocks") as store:
            start = time.process_time()
            health = HealthQuestions() if told else None
            sampler = Sampler(policies(), store, health=health)
            sampler.assign(0)
            for batch in made:
                sampler.submit(batch)
                if told:
                    sampler.summaries(0)
                sampler.committed(0, sampler.checkpoint(0))
            return time.process_time() - start


def _no_roots(_reader: object, _buffer: object, scan: object) -> np.ndarray:
    return np.zeros(len(scan.spans), np.int32)  # type: ignore[attr-defined]


def main() -> None:
    """Measure both shapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    console = Console()
    table = Table("", "off, us a span", "on, us a span", "ratio", title="medians")
    for shape in (ONE_SPAN, FOUR_SPANS):
        made = list(batches(shape, given.traces, 5000))
        spans = given.traces * shape.spans_per_trace
        cpu_seconds(made, told=True)  # compiles
        off, on = [], []
        for _ in range(given.rounds):
            off.append(cpu_seconds(made, told=False) / spans * 1e6)
            on.append(cpu_seconds(made, told=True) / spans * 1e6)
        ratio = statistics.median(one / other for one, other in zip(on, off, strict=True))
        name = f"{shape.spans_per_record} span(s) a record"
        medians = (f"{statistics.median(figures):.2f}" for figures in (off, on))
        table.add_row(name, *medians, f"{ratio:.3f}")
    console.print(table)
    console.print(f"mark: {MARK} or less")


if __name__ == "__main__":
    main()
