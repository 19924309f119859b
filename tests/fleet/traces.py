"""Traces made fast: a template for each number of spans, with ids, times and name put in."""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

MOST_SPANS = 5
NS_PER_MS = 1_000_000
_TRACE_ID = bytes(range(0xA0, 0xB0))
_NAME = b"operation-####"
_START, _END = 0x1122334455667788, 0x1122334455667799


def _template(spans: int) -> bytes:
    data = TracesData()
    resource = data.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    scope = resource.scope_spans.add()
    for number in range(spans):
        scope.spans.add(
            trace_id=_TRACE_ID,
            span_id=(number + 1).to_bytes(8, "big"),
            parent_span_id=b"" if number == 0 else (1).to_bytes(8, "big"),
            name=_NAME.decode() if number == 0 else "child",
            start_time_unix_nano=_START,
            end_time_unix_nano=_END if number == 0 else _START,
        )
    return data.SerializeToString()


_TEMPLATES = {spans: _template(spans) for spans in range(1, MOST_SPANS + 1)}


def trace(trace_id: bytes, group: int, start_ms: int, duration_ms: float, spans: int) -> bytes:
    """One record: a root of the group's operation, and its children."""
    start = start_ms * NS_PER_MS
    end = start + int(duration_ms * NS_PER_MS)
    return (
        _TEMPLATES[spans]
        .replace(_TRACE_ID, trace_id)
        .replace(_NAME, b"operation-%04d" % group)
        .replace(_START.to_bytes(8, "little"), start.to_bytes(8, "little"))
        .replace(_END.to_bytes(8, "little"), end.to_bytes(8, "little"))
    )


def skewed(groups: int) -> np.ndarray:
    """The share of each group: the second has half as many as the first, and so on."""
    weights = 1 / np.arange(1, groups + 1)
    shares: np.ndarray = weights / weights.sum()
    return shares


class Durations:
    """Log-normal durations in which every thousand have the quantiles of a thousand.

    So what is measured is the sampler, and not the luck of the draw.
    """

    def __init__(self, median_ms: float, rng: np.random.Generator) -> None:
        self._median = median_ms
        self._rng = rng
        self._drawn = self._draw()

    def _draw(self) -> Iterator[float]:
        normal = NormalDist(0, 0.8)
        while True:
            ranks = (self._rng.permutation(1000) + self._rng.random(1000)) / 1000
            for rank in np.clip(ranks, 1e-6, 1 - 1e-6).tolist():
                yield self._median * math.exp(normal.inv_cdf(rank))

    def next(self) -> float:
        """A duration in ms."""
        return next(self._drawn)

    @property
    def p99_ms(self) -> float:
        """The true 99th percentile."""
        return self._median * math.exp(NormalDist(0, 0.8).inv_cdf(0.99))
