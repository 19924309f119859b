"""Compiling before the first record: a pause of seconds belongs before joining the group.

Numba compiles a kernel on its first call with given types, or reads it from its cache. Here every
kernel is called once with the types of real traffic. Where nothing is in the cache, another process
compiles meanwhile what is called last and takes half of the time: this module is its program.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.policies import PolicySet, load_policy_set
from streamsampler.sampler import Limits, PastDecision, Sampler
from streamsampler.spans.columns import SPAN
from streamsampler.spans.compiled import is_cold
from streamsampler.spans.records import RecordBatch, join
from streamsampler.spans.stamping import stamp
from streamsampler.store import BlockStore, StoreSettings
from streamsampler.traces.shapes import shapes_of

_TRACES: Final = 1_500  # more than a new table has room for, so that growth is compiled too
_LONG: Final = 10_000  # more than a new dictionary has room for
_MORE: Final = """
decision_wait: {wait_ms}ms
tenant: {{key: "{tenant}", source: {source}}}
policies:
  - {{name: shapes, type: shape, shape: {{min_orphans: 3}}}}
  - {{name: limited, type: rate_limiting, rate_limiting: {{spans_per_second: 1}}}}
  - {{name: goal, type: adaptive, adaptive: {{traces_per_second: 1}}}}
  - name: shared
    type: composite
    composite:
      max_total_spans_per_second: 1
      policy_order: [all]
      composite_sub_policy: [{{name: all, type: always_sample}}]
  - {{name: state, type: trace_state, trace_state: {{key: warm, values: [up]}}}}
  - {{name: flagged, type: trace_flags}}
  - name: events
    type: ottl_condition
    ottl_condition: {{spanevent: ['attributes["warm"] == "up" and name == "warm"']}}
"""
"""What a set may come to ask later, and what it takes to answer."""
_SMALL: Final = StoreSettings(block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20)


def _record(first: int, traces: int, key: str, value: str) -> bytes:
    data = TracesData()
    resource = data.resource_spans.add()
    resource.resource.attributes.add(key=key).value.string_value = value
    scope = resource.scope_spans.add()
    for number in range(first, first + traces):
        scope.spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            parent_span_id=b"parent..",
            trace_state="ot=rv:00000000000001",
        )
    return data.SerializeToString()


def _batch(time_ms: int, first_offset: int, values: list[bytes]) -> RecordBatch:
    count = len(values)
    return join(
        [0] * count,
        range(first_offset, first_offset + count),
        [time_ms] * count,
        [b"0" * 32] * count,
        values,
        [None] * count,
    )


def _more(policies: PolicySet, wait_ms: int) -> PolicySet:
    tenant = policies.tenant
    text = _MORE.format(wait_ms=wait_ms, tenant=tenant.key, source=tenant.source)
    return load_policy_set(text, "the warm-up")


def compile_kernels(policies: PolicySet, folder: Path) -> None:
    """Call every kernel once.

    Args:
        policies: The set to begin with.
        folder: For a block store of its own; it must not be there yet.

    Raises:
        PolicyError: The set cannot be compiled.
        StoreError: The folder cannot be written.
    """
    wait_ms, ttl_ms = policies.decision_wait_ms, policies.decision_ttl_ms
    key = policies.tenant.key
    with _late_kernels_elsewhere() as wait, BlockStore(folder, _SMALL) as store:
        sampler = Sampler(policies, store, Limits(buffered_spans=_TRACES))
        sampler.assign(0)
        one = _record(1, 1, key, "a")
        long = _record(1, _TRACES, key, "b" * _LONG)
        # The second record holds duplicates alone and is left out between the two others.
        sampler.submit(_batch(0, 0, [one, one, long]))
        sampler.use(_more(policies, 2 * wait_ms))
        while sampler.replacing:
            sampler.go_on()
        wait()
        # One span too many is buffered, so that some are given up.
        sampler.submit(_batch(0, 3, [_record(_TRACES + 1, 1, key, "b")]))
        sampler.submit(_batch(3 * wait_ms, 4, [_record(_TRACES + 2, 1, key, "b"), one]))
        sampler.committed(0, sampler.checkpoint(0))
        resumed = sampler.checkpoint(0)
        sampler.revoke(0, keep=True)
        sampler.assign(0, resume=resumed)
        sampler.recall(0, [PastDecision(b"another trace...", "sampled", None, 0, b"its span")])
        sampler.advance(0, 6 * wait_ms)
        sampler.advance(0, 6 * wait_ms + 2 * ttl_ms)
        sampler.committed(0, sampler.checkpoint(0))
        sampler.finish()


def compile_late_kernels() -> None:
    """Call the kernels that no trace needs before its verdict: half of what there is to compile."""
    nothing, words = np.zeros(0, np.uint8), np.zeros(0, np.uint64)
    stamp(nothing, np.zeros(1, np.int64), words)
    shapes_of(np.zeros(0, SPAN), np.zeros(0, np.int64), words, words, 0)


@contextmanager
def _late_kernels_elsewhere() -> Iterator[Callable[[], object]]:
    """Let another process compile them, unless kernels are in the cache.

    Yields:
        Waits until they are in the cache. Where that process fails, they are compiled by whoever
        calls them.
    """
    if not is_cold():
        yield lambda: None
        return
    with subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as other:  # fmt: skip
        try:
            yield other.wait
        finally:
            other.kill()


if __name__ == "__main__":
    compile_late_kernels()
