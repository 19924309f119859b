"""The engine alone against the loop that most would write, in one run.

The loop: parse each record with upb, read five fields of each span in Python, put each record
into RocksDB under a key of its own (trace id and offset, so that a trace can be read back) without
write-ahead log. The engine: `Sampler.submit` with four policies, blocks in RocksDB, decisions and
emissions made. Both see the same records; CPU time of the whole process, RocksDB's threads
included; the two take turns, and the spread over the rounds is printed.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from rich.console import Console
from rich.table import Table
from rocksdict import DBCompressionType, Options, Rdict, WriteOptions

from benchmarks.records import FOUR_SPANS, ONE_SPAN, Shape, batches, template
from streamsampler.policies import PolicySet, load_policy_set
from streamsampler.sampler import Sampler
from streamsampler.spans.records import RecordBatch
from streamsampler.store import BlockStore

MARKS = {ONE_SPAN: 0.15, FOUR_SPANS: 0.20}
POLICIES = """
decision_wait: 30s
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 5000}}
  - {name: chosen, type: string_attribute, string_attribute: {key: tenant.id, values: [globex]}}
  - {name: baseline, type: probabilistic, probabilistic: {sampling_percentage: 5}}
"""


def policies() -> PolicySet:
    """The policy set of all benchmarks: some 7 % of the traces are kept."""
    return load_policy_set(POLICIES, "benchmarks/engine.py")


def engine(made: Sequence[RecordBatch], folder: Path) -> None:
    """Sample everything, as a worker does between two polls."""
    with BlockStore(folder) as store:
        sampler = Sampler(policies(), store)
        sampler.assign(0)
        for batch in made:
            sampler.submit(batch)
            sampler.committed(0, sampler.checkpoint(0))
        assert sampler.counts(0).conserved()


def plain_loop(made: Sequence[RecordBatch], folder: Path) -> None:
    """Parse, read five fields, store under trace id and offset; no verdicts, no deletions."""
    options = Options(raw_mode=True)
    options.set_compression_type(DBCompressionType.lz4())
    database = Rdict(str(folder), options)
    write = cast("Any", WriteOptions())
    write.disable_wal = True
    for batch in made:
        for record in range(len(batch)):
            value = batch.value(record)
            fields = [
                (
                    span.trace_id,
                    span.parent_span_id,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                )
                for resource in TracesData.FromString(value).resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
            key = fields[0][0] + int(batch.offsets[record]).to_bytes(8, "big")
            database.put(key, value, write_opt=write)
    database.close()


def cpu_per_span(
    run: Callable[[Sequence[RecordBatch], Path], None], made: Sequence[RecordBatch], spans: int
) -> float:
    """CPU time of a run, us a span."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        run(made, Path(folder) / "blocks")
        return (time.process_time() - start) / spans * 1e6


def measure(shape: Shape, traces: int, rounds: int, console: Console) -> bool:
    """Print one shape's table; tell whether it is under its mark."""
    made = list(batches(shape, traces, 5000))
    spans = traces * shape.spans_per_trace
    cpu_per_span(engine, list(batches(shape, 2_000, 5000, rate=1_000)), spans)  # compiles
    columns, loops = [], []
    for _ in range(rounds):
        columns.append(cpu_per_span(engine, made, spans))
        loops.append(cpu_per_span(plain_loop, made, spans))
    ratios = [ours / theirs for ours, theirs in zip(columns, loops, strict=True)]
    title = f"{shape.spans_per_record} span(s) in {len(template(shape))} bytes, {spans:,} spans"
    table = Table("", "min", "median", "max", title=title)
    for name, values in (("engine, us a span", columns), ("loop, us a span", loops)):
        table.add_row(name, *(f"{one:.2f}" for one in _spread(values)))
    table.add_row("ratio", *(f"{one:.3f}" for one in _spread(ratios)))
    console.print(table)
    mark = MARKS[shape]
    console.print(f"mark: {mark} or less; median {statistics.median(ratios):.3f}\n")
    return statistics.median(ratios) <= mark


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def main() -> None:
    """Measure both shapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    console = Console()
    for shape in MARKS:
        measure(shape, options.traces, options.rounds, console)


if __name__ == "__main__":
    main()
