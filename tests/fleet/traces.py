"""Traces made fast: a template for each number of spans, with ids, times and name put in."""

import math
import time
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.config import Settings

MOST_SPANS = 5
NS_PER_MS = 1_000_000
SLICE_SECONDS = 0.02
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


class Sender:
    """Sends traces to the input topic, and counts them."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer({"bootstrap.servers": settings.bootstrap, "linger.ms": 20})
        self._topic = settings.topics.input
        self.sent = 0

    def send(self, trace_id: bytes, value: bytes, at_ms: int) -> None:
        """Send a record, as soon as there is room for it."""
        while True:
            try:
                self._producer.produce(self._topic, value, trace_id.hex().encode(), timestamp=at_ms)
                break
            except BufferError:
                self._producer.poll(0.1)
        self.sent += 1

    def flush(self) -> None:
        """Wait until all is there."""
        assert self._producer.flush(60) == 0

    def paced(self, per_second: int, seconds: float) -> Iterator[tuple[int, int]]:
        """Tell by the clock how many traces are due, and at which ms; at the end all are there."""
        began, due = time.time(), 0
        while (passed := time.time() - began) < seconds:
            more = int(passed * per_second) - due
            due += more
            yield more, int(1_000 * (began + passed))
            self._producer.poll(0)
            time.sleep(SLICE_SECONDS)  # it is the pace of the traffic
        self.flush()


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
