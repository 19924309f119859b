"""How long the engine needs to take a partition over, with its local store and without.

A million spans are buffered, none of them due, and committed. Then the partition is given up in
order and taken over again: from the blocks in the store, and from the records themselves, as they
would come from Kafka. Reading them from Kafka, and the past decisions, comes on top of either.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.memory import HELD
from benchmarks.records import ONE_SPAN, batches
from streamsampler.policies import load_policy_set
from streamsampler.sampler import Sampler
from streamsampler.spans.records import RecordBatch
from streamsampler.store import BlockStore


def timed(do: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time of doing something, s."""
    wall, cpu = time.perf_counter(), time.process_time()
    do()
    return time.perf_counter() - wall, time.process_time() - cpu


def submit(sampler: Sampler, records: list[RecordBatch]) -> None:
    """Give the engine all records."""
    for batch in records:
        sampler.submit(batch)


def main() -> None:
    """Measure both ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=125_000)
    options = parser.parse_args()
    console = Console()
    records = list(batches(ONE_SPAN, options.traces, 5000, rate=1e6))
    with tempfile.TemporaryDirectory() as folder, BlockStore(Path(folder) / "blocks") as store:
        sampler = Sampler(load_policy_set(HELD, "benchmarks/takeover.py"), store)
        sampler.assign(0)
        submit(sampler, records)
        checkpoint = sampler.checkpoint(0)
        sampler.committed(0, checkpoint)
        spans, size = sampler.buffered()
        kept = timed(lambda: sampler.revoke(0, keep=True))
        again: list[int] = []
        opened = timed(lambda: again.append(sampler.assign(0, checkpoint)))
        assert again == [checkpoint.position]
        assert sampler.buffered() == (spans, size)
        sampler.revoke(0)
        sampler.discard(0)
        assert sampler.assign(0, checkpoint) == checkpoint.low_watermark
        replayed = timed(lambda: submit(sampler, records))
        assert sampler.buffered() == (spans, size)
    console.print(
        f"{spans:,} spans buffered, {size / 1e6:,.0f} MB: given up in {kept[0]:.2f} s; taken over"
        f" from the store in {opened[0]:.2f} s ({opened[1]:.2f} s CPU), from records in"
        f" {replayed[0]:.2f} s ({replayed[1]:.2f} s CPU)"
    )


if __name__ == "__main__":
    main()
