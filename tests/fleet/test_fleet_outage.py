"""The control plane is away for a minute: thresholds go on, nothing is lost, figures catch up."""

import time
from pathlib import Path

import numpy as np

from streamsampler.config import Settings
from streamsampler.estimates import tables
from streamsampler.estimates.tables import ThresholdTable
from tests.fleet.conftest import Start
from tests.fleet.decisions import decisions
from tests.fleet.traces import Durations, Sender, trace
from tests.integration.control_plane import running
from tests.integration.sampling import read_all, wait_until

PER_SECOND = 200
LEARNING_SECONDS = 50
AWAY_SECONDS = 60
MEDIAN_MS = 40.0
OPEN_SECONDS = 15
"""What is younger may not have been decided or published yet."""
POLICIES = """
decision_wait: 2s
completion_grace: 500ms
policies:
  - {name: slow, type: latency, latency: {percentile: 99, min_traces: 100}}
"""


class Traffic:
    """Traces of one group at the time of the clock."""

    def __init__(self, settings: Settings) -> None:
        self._rng = np.random.default_rng(17)
        self._durations = Durations(MEDIAN_MS, self._rng)
        self.sender = Sender(settings)
        self.durations_ms: dict[bytes, float] = {}

    def offer(self, seconds: float) -> None:
        for more, now_ms in self.sender.paced(PER_SECOND, seconds):
            for _ in range(more):
                trace_id, duration_ms = self._rng.bytes(16), self._durations.next()
                self.sender.send(trace_id, trace(trace_id, 1, now_ms, duration_ms, 1), now_ms)
                self.durations_ms[trace_id] = duration_ms

    @property
    def p99_ms(self) -> float:
        return self._durations.p99_ms


def newest(settings: Settings) -> tuple[int, int]:
    """The table's version, and of how many traces it is."""
    version, count = 0, 0
    for message in read_all(settings, settings.topics.tables):
        table = tables.unpack(message.value() or b"")
        assert isinstance(table, ThresholdTable)
        if table.groups and table.version >= version:
            version, count = table.version, sum(one.count for one in table.groups.values())
    return version, count


def test_a_minute_without_the_control_plane_costs_freshness_and_no_verdict(
    settings: Settings, fleet: Start, tmp_path: Path
) -> None:
    fleet(POLICIES)
    traffic = Traffic(settings)
    with running("thresholds", settings, tmp_path) as app:
        traffic.offer(LEARNING_SECONDS)
        app.process.kill()
        app.process.wait()
    left, began_ms = newest(settings), int(time.time() * 1_000)
    assert left[1] > 100
    traffic.offer(AWAY_SECONDS)
    assert newest(settings) == left
    ended_ms = int(time.time() * 1_000)
    with running("thresholds", settings, tmp_path):
        traffic.offer(OPEN_SECONDS)
        sent = traffic.sender.sent
        wait_until(
            lambda: newest(settings)[1] > sent - OPEN_SECONDS * PER_SECOND, "figures that catch up"
        )
    assert newest(settings)[0] > began_ms
    made = decisions(settings, sent)  # each trace once, and none too few
    away = [one for one in made if began_ms + 500 <= one.decided_at_ms <= ended_ms]
    slow = [one for one in away if one.decision == "sampled"]
    share = len(slow) / len(away)
    print(f"{share:.2%} of {len(away)} slow while it was away")  # noqa: T201 - the figure
    assert abs(share - 0.01) <= 0.004
    assert all(traffic.durations_ms[one.trace_id] > 0.85 * traffic.p99_ms for one in slow)
