"""A slowdown is told of within 30 s of the clock, and what is slow is kept while it lasts."""

import math
import time
from pathlib import Path

import numpy as np

from streamsampler.config import Settings
from streamsampler.estimates import tables
from streamsampler.estimates.tables import GroupThresholds, ThresholdTable
from tests.fleet.conftest import Start
from tests.fleet.decisions import decisions
from tests.fleet.traces import Sender, trace
from tests.integration.control_plane import running
from tests.integration.sampling import read_all

PER_SECOND = 200
CALM_SECONDS = 50
MEDIAN_MS = 40.0
SPREAD = 0.4
SLOWER = 5
TOLD_WITHIN_SECONDS = 30.0
P99_MS = MEDIAN_MS * math.exp(2.326 * SPREAD)
POLICIES = """
decision_wait: 2s
completion_grace: 500ms
policies:
  - {name: slow, type: latency, latency: {percentile: 99, min_traces: 100}}
"""


class Traffic:
    """Traces of one group, at the time of the clock."""

    def __init__(self, settings: Settings) -> None:
        self._rng = np.random.default_rng(3)
        self.sender = Sender(settings)

    def offer(self, seconds: float, times: float) -> None:
        """Send for so long traces that take so many times as long as usual."""
        for more, now_ms in self.sender.paced(PER_SECOND, seconds):
            for normal in self._rng.normal(0, SPREAD, more).tolist():
                trace_id = self._rng.bytes(16)
                value = trace(trace_id, 1, now_ms, times * MEDIAN_MS * math.exp(normal), 1)
                self.sender.send(trace_id, value, now_ms)


def newest(settings: Settings) -> GroupThresholds | None:
    """What is told of the one group."""
    found = None
    for message in read_all(settings, settings.topics.tables):
        table = tables.unpack(message.value() or b"")
        assert isinstance(table, ThresholdTable)
        found = next(iter(table.groups.values()), found)
    return found


def test_a_slowdown_is_told_of_and_masked_by_nothing(
    settings: Settings, fleet: Start, tmp_path: Path
) -> None:
    fleet(POLICIES)
    traffic = Traffic(settings)
    with running("thresholds", settings, tmp_path):
        traffic.offer(CALM_SECONDS, 1)
        calm = newest(settings)
        assert calm is not None
        assert not calm.regressed
        began = time.time()
        known = calm
        while not known.regressed and time.time() - began < TOLD_WITHIN_SECONDS:
            traffic.offer(1.0, SLOWER)
            known = newest(settings) or known
        took = time.time() - began
        assert known.regressed
        assert took <= TOLD_WITHIN_SECONDS
        traffic.offer(10.0, SLOWER)
        held = newest(settings)
    assert held is not None
    assert abs(held.quantiles[3] - P99_MS) < 0.15 * P99_MS
    slow = [
        one
        for one in decisions(settings, traffic.sender.sent)
        if one.decided_at_ms > began * 1_000 + 500
    ]
    # Of those five times as slow, as many as are beyond the usual 99th percentile.
    beyond = 0.5 * math.erfc((math.log(P99_MS / MEDIAN_MS / SLOWER) / SPREAD) / math.sqrt(2))
    share = sum(one.decision == "sampled" for one in slow) / len(slow)
    print(f"told after {took:.1f} s; {share:.1%} kept of {beyond:.1%} beyond")  # noqa: T201
    assert abs(share - beyond) < 0.03
