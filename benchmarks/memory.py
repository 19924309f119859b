"""Memory per buffered trace of eight spans, and what RocksDB writes per byte buffered.

A million traces are buffered at once, one span a record, none of them due. Counted are the
process's resident bytes beyond those before, less what RocksDB says it holds itself (memtables,
block cache, table readers), and beside it the bytes of the engine's own arrays.
"""

import argparse
import ctypes
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.engine import policies
from benchmarks.records import Shape, batches
from streamsampler.policies import load_policy_set
from streamsampler.sampler import Sampler
from streamsampler.store import BlockStore, StoreSettings

MARK_BYTES = 400
SMALL = Shape(1, 8, 0)
PAGE = 4096
HELD = """
decision_wait: 10m
completion_grace: 10m
policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
"""


def resident() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def written() -> int:
    """Bytes that this process has sent to the disk, or to the page cache for it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])


def per_trace(traces: int, console: Console) -> bool:
    """Print the memory of a buffered trace; tell whether it is under its mark."""
    with (
        tempfile.TemporaryDirectory() as folder,
        BlockStore(Path(folder) / "blocks", StoreSettings(8 << 20, 32 << 20)) as store,
    ):
        sampler = Sampler(load_policy_set(HELD, "benchmarks/memory.py"), store)
        sampler.assign(0)
        before = after = 0
        last = -(-traces * SMALL.spans_per_trace // 5000) - 1
        for number, batch in enumerate(batches(SMALL, traces, 5000, rate=1e6)):
            sampler.submit(batch)
            # Within the loop, as what the batches are made of goes when it ends.
            if number == 0:
                before = resident() - store.memory_bytes()
            if number == last:
                ctypes.CDLL(None).malloc_trim(0)  # what RocksDB's threads have freed
                after = resident() - store.memory_bytes()
        counts = sampler.counts(0)
        assert counts.traces_buffered == traces
        used = (after - before) / traces
        arrays = sampler.memory_bytes(0) / traces
    console.print(
        f"{traces:,} buffered traces of 8 spans: {used:.0f} bytes resident a trace"
        f" ({arrays:.0f} bytes of arrays, room to grow included); mark: {MARK_BYTES} or less"
    )
    return used <= MARK_BYTES


def write_amplification(traces: int, console: Console) -> float:
    """Print the bytes that RocksDB writes for each byte of records buffered."""
    with tempfile.TemporaryDirectory() as folder:
        buffered, highest = 0, 0
        start = written()
        with BlockStore(Path(folder) / "blocks") as store:
            sampler = Sampler(policies(), store)
            sampler.assign(0)
            for batch in batches(Shape(1, 8, 470), traces, 5000):
                sampler.submit(batch)
                sampler.committed(0, sampler.checkpoint(0))
                buffered += len(batch.buffer)
                highest = max(highest, store.table_bytes())
        share = (written() - start) / buffered
    console.print(
        f"{buffered / 1e6:,.0f} MB of records buffered: {share:.2f} bytes written a byte,"
        f" at most {highest / 1e6:,.0f} MB of tables on disk"
    )
    return share


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    options = parser.parse_args()
    console = Console()
    per_trace(options.traces, console)
    write_amplification(options.traces // 4, console)


if __name__ == "__main__":
    main()
