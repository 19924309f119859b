"""A goal in traces a second, held by three workers whatever is offered."""

import time
from collections import Counter
from pathlib import Path

import numpy as np

from streamsampler.config import Settings
from tests.fleet.conftest import Start
from tests.fleet.decisions import decisions
from tests.fleet.traces import MOST_SPANS, Sender, skewed, trace
from tests.integration.control_plane import running

GROUPS = 200
GOAL = 100
WARM_UP = (1_000, 20)
PHASES = ((1_000, 60), (4_000, 60), (400, 60))
ALONE = (1_000, 60)
"""Traces a second and seconds, after the app was killed."""
GRACE_MS = 500
POLICIES = f"""
decision_wait: 2s
completion_grace: {GRACE_MS}ms
policies:
  - {{name: goal, type: adaptive, adaptive: {{traces_per_second: {GOAL}}}}}
"""


class Traffic:
    """Traces of one to five spans, at the time of the clock."""

    def __init__(self, settings: Settings) -> None:
        self._rng = np.random.default_rng(5)
        self.sender = Sender(settings)

    def offer(self, per_second: int, seconds: int) -> tuple[int, int]:
        """Send for so long; tells from when to when, ms."""
        began = time.time()
        for more, now_ms in self.sender.paced(per_second, seconds):
            groups = self._rng.choice(GROUPS, more, p=skewed(GROUPS)).tolist()
            sizes = self._rng.integers(1, MOST_SPANS + 1, more).tolist()
            for group, spans in zip(groups, sizes, strict=True):
                trace_id = self._rng.bytes(16)
                self.sender.send(trace_id, trace(trace_id, group, now_ms, 5.0, spans), now_ms)
        return int(1_000 * began), int(1_000 * time.time())


def test_a_goal_is_held_through_steps_and_without_the_control_plane(
    settings: Settings, fleet: Start, tmp_path: Path
) -> None:
    fleet(POLICIES)
    traffic = Traffic(settings)
    phases = []
    with running("rates", settings, tmp_path) as app:
        traffic.offer(*WARM_UP)
        phases = [traffic.offer(*phase) for phase in PHASES]
        app.process.kill()
        phases.append(traffic.offer(*ALONE))
    decided = [one for one in decisions(settings, traffic.sender.sent) if one.decision == "sampled"]
    kept = Counter((one.decided_at_ms - GRACE_MS) // 1_000 for one in decided)
    wrong = []
    for (offered, _), (began, ended) in zip((*PHASES, ALONE), phases, strict=True):
        seconds = np.array([kept[second] for second in range(began // 1_000, ended // 1_000)])
        tens = [seconds[at : at + 10].mean() for at in range(0, len(seconds) - 9, 10)]
        print(offered, f"{seconds.mean():.1f}", [f"{ten:.0f}" for ten in tens])  # noqa: T201
        if abs(seconds.mean() - GOAL) > 0.05 * GOAL:
            wrong.append(f"{offered} offered, {seconds.mean():.1f} kept a second")
        wrong += [
            f"{offered} offered, {ten:.1f} kept a second in ten of them"
            for ten in tens[1:]
            if abs(ten - GOAL) > 0.2 * GOAL
        ]
    assert not wrong
    assert all(one.threshold is not None for one in decided)
    counts = np.array([one.adjusted_count or 0.0 for one in decided])
    # What is kept of 700 traces a second weighs 1,400 each, so the sum scatters by some 2.5 %.
    standard_error = np.sqrt((counts * (counts - 1.0)).sum())
    assert abs(counts.sum() - traffic.sender.sent) < 4.0 * standard_error
    assert standard_error < 0.05 * traffic.sender.sent
