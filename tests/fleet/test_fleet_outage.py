"""The control plane is away for a minute: thresholds and a goal go on, nothing is lost, figures
catch up."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from streamsampler.config import Settings
from streamsampler.estimates import tables
from streamsampler.estimates.tables import RateTable
from tests.fleet.conftest import Start
from tests.fleet.decisions import decisions
from tests.fleet.traces import Durations, Sender, trace
from tests.integration.control_plane import App, running
from tests.integration.sampling import read_all, wait_until

PER_SECOND = 200
LEARNING_SECONDS = 50
AWAY_SECONDS = 60
MEDIAN_MS = 40.0
GOAL = 20
OPEN_SECONDS = 15
"""What is younger may not have been decided or published yet."""
POLICIES = f"""
decision_wait: 2s
completion_grace: 500ms
policies:
  - {{name: slow, type: latency, latency: {{percentile: 99, min_traces: 100}}}}
  - {{name: goal, type: adaptive, adaptive: {{traces_per_second: {GOAL}}}}}
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


@contextmanager
def control_plane(settings: Settings, folder: Path) -> Iterator[list[App]]:
    with (
        running("thresholds", settings, folder, 1) as thresholds,
        running("rates", settings, folder, 2) as rates,
    ):
        yield [thresholds, rates]


def newest(settings: Settings) -> tuple[int, int, int]:
    """The thresholds' version, of how many traces they are, and the rates' version."""
    version, count, rates = 0, 0, 0
    for message in read_all(settings, settings.topics.tables):
        table = tables.unpack(message.value() or b"")
        if isinstance(table, RateTable):
            rates = max(rates, table.version)
        elif table.groups and table.version >= version:
            version, count = table.version, sum(one.count for one in table.groups.values())
    return version, count, rates


def test_a_minute_without_the_control_plane_costs_freshness_and_no_verdict(
    settings: Settings, fleet: Start, tmp_path: Path
) -> None:
    fleet(POLICIES)
    traffic = Traffic(settings)
    with control_plane(settings, tmp_path) as apps:
        traffic.offer(LEARNING_SECONDS)
        for app in apps:
            app.process.kill()
            app.process.wait()
    left, began_ms = newest(settings), int(time.time() * 1_000)
    assert left[1] > 100
    assert left[2] > 0
    traffic.offer(AWAY_SECONDS)
    assert newest(settings) == left
    ended_ms = int(time.time() * 1_000)
    with control_plane(settings, tmp_path):
        traffic.offer(OPEN_SECONDS)
        sent = traffic.sender.sent
        wait_until(
            lambda: newest(settings)[1] > sent - OPEN_SECONDS * PER_SECOND, "figures that catch up"
        )
        wait_until(lambda: newest(settings)[2] > ended_ms, "rates that catch up")
    assert newest(settings)[0] > began_ms
    made = decisions(settings, sent)  # each trace once, and none too few
    away = [one for one in made if began_ms + 500 <= one.decided_at_ms <= ended_ms]
    slow = [one for one in away if one.policy == "slow"]
    share = len(slow) / len(away)
    kept = sum(one.policy == "goal" for one in away) / (ended_ms - began_ms) * 1_000
    print(f"{share:.2%} of {len(away)} slow, {kept:.1f} a second kept")  # noqa: T201 - the figures
    assert abs(kept - GOAL) < 0.2 * GOAL
    assert abs(share - 0.01) <= 0.004
    assert all(traffic.durations_ms[one.trace_id] > 0.85 * traffic.p99_ms for one in slow)
