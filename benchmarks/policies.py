"""What policies cost: twenty of all kinds against one, and another set while a million wait.

Both sets see the same records and keep the same traces, or nearly; CPU time of the whole process;
the two take turns, and the spread over the rounds is printed. Then a million spans are buffered,
none of them due, and a set that asks something new is put into force, in the slices in which a
worker does it between two batches.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.memory import HELD
from benchmarks.records import FOUR_SPANS, ONE_SPAN, Shape, batches
from streamsampler.kafka.loop import SLICE_MS
from streamsampler.policies import load_policy_set
from streamsampler.sampler import Sampler
from streamsampler.spans.records import RecordBatch
from streamsampler.store import BlockStore
from streamsampler.warmup import compile_kernels

MARK = 1.5
ONE = """
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
"""
TWENTY = r"""
policies:
  - {name: no health, type: drop, drop: {drop_sub_policy: [
      {name: health, type: string_attribute, string_attribute:
        {key: http.route, values: ["^/health", "^/ready"], enabled_regex_matching: true}}]}}
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 5000}}
  - {name: tenants, type: string_attribute, string_attribute:
      {key: tenant.id, values: [globex, initech, umbrella]}}
  - {name: not production, type: string_attribute, string_attribute:
      {key: deployment.environment.name, values: [production], invert_match: true}}
  - {name: canary, type: canary, canary: {key: service.version, cohorts: [
      {values: ["-rc"], enabled_regex_matching: true, sampling_percentage: 50}]}}
  - {name: languages, type: string_attribute, string_attribute:
      {key: telemetry.sdk.language, values: [rust, erlang]}}
  - {name: server errors, type: numeric_attribute, numeric_attribute:
      {key: http.response.status_code, min_value: 500, max_value: 599}}
  - {name: retried, type: numeric_attribute, numeric_attribute:
      {key: http.request.resend_count, min_value: 1}}
  - {name: debug, type: boolean_attribute, boolean_attribute: {key: debug, value: true}}
  - {name: vendor, type: trace_state, trace_state: {key: vendor, values: [keep]}}
  - {name: large, type: span_count, span_count: {min_spans: 500}}
  - {name: deletes, type: ottl_condition, ottl_condition:
      {error_mode: ignore, span: ['attributes["http.request.method"] == "DELETE"']}}
  - {name: orders, type: ottl_condition, ottl_condition:
      {error_mode: ignore, span: ['IsMatch(name, "^GET /orders") and kind == SPAN_KIND_SERVER']}}
  - {name: slow posts, type: and, and: {and_sub_policy: [
      {name: posts, type: string_attribute, string_attribute:
        {key: http.request.method, values: [POST]}},
      {name: slow, type: latency, latency: {threshold_ms: 4000}}]}}
  - {name: root errors, type: status_code, status_code: {status_codes: [ERROR], scope: root}}
  - {name: not small, type: not, not: {not_sub_policy:
      {name: small, type: span_count, span_count: {min_spans: 1, max_spans: 200}}}}
  - {name: pods, type: string_attribute, string_attribute:
      {key: k8s.pod.name, values: ["-debug-"], enabled_regex_matching: true}}
  - {name: by tenant, type: tenant, tenant: {tenants: {globex: always, initech: 25}}}
  - {name: a trickle, type: and, and: {and_sub_policy: [
      {name: few, type: probabilistic, probabilistic: {sampling_percentage: 0.1}},
      {name: limited, type: rate_limiting, rate_limiting: {spans_per_second: 20}}]}}
"""
NEW = HELD.replace("status_code: {status_codes: [ERROR]}", "status_code: {status_codes: [OK]}")


def cpu_per_span(policies: str, made: Sequence[RecordBatch], spans: int) -> float:
    """CPU time of sampling everything, us a span."""
    with tempfile.TemporaryDirectory() as folder, BlockStore(Path(folder) / "blocks") as store:
        sampler = Sampler(load_policy_set(policies, "benchmarks/policies.py"), store)
        sampler.assign(0)
        start = time.process_time()
        for batch in made:
            sampler.submit(batch)
            sampler.committed(0, sampler.checkpoint(0))
        took = time.process_time() - start
        assert sampler.counts(0).conserved()
    return took / spans * 1e6


def compare(shape: Shape, traces: int, rounds: int, console: Console) -> None:
    """Print what twenty policies cost against one."""
    made = list(batches(shape, traces, 5000))
    spans = traces * shape.spans_per_trace
    for policies in (ONE, TWENTY):
        cpu_per_span(policies, made[:4], spans)  # compiles
    ones, twenties = [], []
    for _ in range(rounds):
        ones.append(cpu_per_span(ONE, made, spans))
        twenties.append(cpu_per_span(TWENTY, made, spans))
    ratios = [many / one for one, many in zip(ones, twenties, strict=True)]
    console.print(
        f"{shape.spans_per_record} span(s) a record, {spans:,} spans, us a span, medians: one"
        f" policy {statistics.median(ones):.2f}, twenty {statistics.median(twenties):.2f}; ratio"
        f" {min(ratios):.2f} to {max(ratios):.2f}, median {statistics.median(ratios):.2f}"
        f" (mark: {MARK} or less)"
    )


def read_on(sampler: Sampler) -> float:
    """Read buffered spans for one slice; tell how long it was, s."""
    start = time.perf_counter()
    while (took := time.perf_counter() - start) < SLICE_MS / 1000 and sampler.replacing:
        sampler.go_on()
    return took


def replace(traces: int, console: Console) -> None:
    """Print how long another set takes while a million spans are buffered."""
    with tempfile.TemporaryDirectory() as folder, BlockStore(Path(folder) / "blocks") as store:
        sampler = Sampler(load_policy_set(HELD, "benchmarks/policies.py"), store)
        sampler.assign(0)
        for batch in batches(ONE_SPAN, traces, 5000, rate=1e6):
            sampler.submit(batch)
        spans, size = sampler.buffered()
        slices, began = [], time.perf_counter()
        sampler.use(load_policy_set(NEW, "benchmarks/policies.py"))
        while sampler.replacing:
            slices.append(read_on(sampler))
        took = time.perf_counter() - began
    console.print(
        f"{spans:,} spans buffered, {size / 1e6:,.0f} MB: another set in force after {took:.2f} s"
        f" of reading, in {len(slices)} slices of {max(slices) * 1000:.0f} ms at most"
    )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=40_000)
    parser.add_argument("--held", type=int, default=125_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        compile_kernels(load_policy_set(HELD, "benchmarks/policies.py"), Path(folder) / "blocks")
    for shape in (ONE_SPAN, FOUR_SPANS):
        compare(shape, options.traces, options.rounds, console)
    replace(options.held, console)


if __name__ == "__main__":
    main()
