"""One trace in a hundred is slower than its group's 99th percentile, over all workers."""

import time
from collections import Counter
from pathlib import Path

import numpy as np

from streamsampler.config import Settings
from streamsampler.estimates import tables
from streamsampler.estimates.tables import ThresholdTable
from tests.fleet.conftest import Start
from tests.fleet.decisions import decisions
from tests.fleet.traces import Durations, Sender, skewed, trace
from tests.integration.control_plane import running
from tests.integration.sampling import read_all, wait_until

GROUPS = 200
LEARNED = 100_000
MEASURED = 250_000
PER_SECOND = 2_000
"""Of stream time; the traces come as fast as they can."""
LARGE = 5_000
POLICIES = """
decision_wait: 2s
completion_grace: 500ms
policies:
  - {name: slow, type: latency, latency: {percentile: 99, min_traces: 100}}
"""


class Traffic:
    """Traces of many groups, each with durations of its own."""

    def __init__(self, settings: Settings) -> None:
        rng = self._rng = np.random.default_rng(11)
        self._sender = Sender(settings)
        medians = rng.uniform(5, 500, GROUPS).tolist()
        self._durations = [Durations(median, rng) for median in medians]
        # Its last trace is of now: what is older than a topic keeps is deleted.
        self._began_ms = int(time.time() * 1_000) - 1_000 * (LEARNED + MEASURED) // PER_SECOND
        self.group_of: dict[bytes, int] = {}

    def send(self, traces: int) -> None:
        groups = self._rng.choice(GROUPS, traces, p=skewed(GROUPS)).tolist()
        for group, word in zip(groups, self._rng.bytes(16 * traces)[::16], strict=True):
            sent = self._sender.sent
            trace_id = sent.to_bytes(8, "big") + bytes([word]) + self._rng.bytes(7)
            now_ms = self._began_ms + sent * 1_000 // PER_SECOND
            value = trace(trace_id, group, now_ms, self._durations[group].next(), 1)
            self._sender.send(trace_id, value, now_ms)
            self.group_of[trace_id] = group
        self._sender.flush()


def known(settings: Settings) -> int:
    """Of how many traces the thresholds are."""
    newest = {}
    for message in read_all(settings, settings.topics.tables):
        table = tables.unpack(message.value() or b"")
        assert isinstance(table, ThresholdTable)
        newest[message.key()] = sum(group.count for group in table.groups.values())
    return sum(newest.values())


def test_one_trace_in_a_hundred_is_slow(settings: Settings, fleet: Start, tmp_path: Path) -> None:
    fleet(POLICIES)
    traffic = Traffic(settings)
    with running("thresholds", settings, tmp_path):
        traffic.send(LEARNED)
        learned = set(traffic.group_of)
        wait_until(lambda: known(settings) > 0.85 * LEARNED, "thresholds")
        traffic.send(MEASURED)
        made = decisions(settings, LEARNED + MEASURED)
    decided = [one for one in made if one.trace_id not in learned]
    all_of = Counter(traffic.group_of[one.trace_id] for one in decided)
    slow = Counter(traffic.group_of[one.trace_id] for one in decided if one.decision == "sampled")
    shares = {group: slow[group] / count for group, count in all_of.items() if count > LARGE}
    assert len(shares) >= 8
    print({group: f"{share:.2%}" for group, share in sorted(shares.items())})  # noqa: T201 - the figures
    assert all(abs(share - 0.01) <= 0.002 for share in shares.values()), shares
