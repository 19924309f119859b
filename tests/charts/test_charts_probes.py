"""The chart's probes, held against a worker whose recovery takes three minutes.

The worker is its real health page over HTTP and a clock that is moved; the kubelet is a model of
the real one, with the numbers that the chart renders.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest

from streamsampler.kafka.worker import MOST_TURN_MS
from streamsampler.observe import HealthServer, PartitionStanding, Vitals
from streamsampler.outcome import Counts
from tests.charts.helm import Render
from tests.charts.kubelet import Kubelet
from tests.charts.test_charts_templates import worker_containers

SECOND_MS = 1_000
LISTENS_MS = 12 * SECOND_MS
"""Before that the process imports, and nobody answers."""
GROUP_MS = 20 * SECOND_MS
"""When the group tells which partitions are its own."""
RECOVERY_MS = 180 * SECOND_MS
LIVE_MS = GROUP_MS + RECOVERY_MS
RECORDS = 9_000_000


@dataclass
class RecoveringWorker:
    """A worker that starts, replays for three minutes, and goes live.

    Attributes:
        turn_ms: How long its loop takes for a turn.
        stands_still_ms: When its loop stops turning.
        takes_over_ms: When the group gives it another partition to recover, as it does when
            another worker leaves.
    """

    opened: ExitStack
    turn_ms: int = SECOND_MS
    stands_still_ms: int = 1 << 60
    takes_over_ms: int = 1 << 60
    now_ms: int = 0
    turned_ms: int = 0
    address: str | None = None
    vitals: Vitals = field(init=False)

    def __post_init__(self) -> None:
        self.vitals = Vitals("pod-0", "0.1.0", "exactly_once", now_ms=0)

    def live_through(self, now_ms: int) -> str | None:
        """Work up to a moment."""
        self.now_ms = now_ms
        if self.address is None and now_ms >= LISTENS_MS:
            server = HealthServer(
                "127.0.0.1:0", self.vitals.read, self.vitals.metrics, lambda: self.now_ms,
                limit_ms=MOST_TURN_MS,
            )  # fmt: skip
            self.address = self.opened.enter_context(server).address
            self._turn()
        if min(now_ms, self.stands_still_ms) - self.turned_ms >= self.turn_ms:
            self._turn()
        return self.address

    def _turn(self) -> None:
        self.turned_ms = self.now_ms
        self.vitals.turned(self.now_ms)
        settled = self.now_ms >= GROUP_MS
        partitions = [self._partition(0, GROUP_MS)] if settled else []
        if self.now_ms >= self.takes_over_ms:
            partitions.append(self._partition(1, self.takes_over_ms))
        self.vitals.show("v1", partitions, settled=settled)

    def _partition(self, number: int, assigned_ms: int) -> PartitionStanding:
        """Assigned, then recovering with more and more records replayed, then live."""
        since_ms = self.now_ms - assigned_ms
        replayed = min(RECORDS * since_ms // RECOVERY_MS, RECORDS)
        state = "assigned" if since_ms < SECOND_MS else "recovering"
        recovering = PartitionStanding(
            partition=number, state=state, low_watermark=0, position=replayed, end=RECORDS,
            stream_time_ms=replayed, wall_ms=self.now_ms, replayed=replayed, replay_total=RECORDS,
            expected_seconds=None, stopped="", buffered_bytes=0, block_bytes=0,
            counts=Counts(),
        )  # fmt: skip
        if since_ms < RECOVERY_MS:
            return recovering
        return replace(recovering, state="live", replayed=0, replay_total=0)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["minimal", "production"])
def kubelet(render: Render, request: pytest.FixtureRequest) -> Kubelet:
    """Of the last container, which is the first one's like."""
    containers = worker_containers(render(request.param))
    kubelets = [Kubelet.of(container) for container in containers]
    assert all(one == kubelets[0] for one in kubelets)
    return kubelets[-1]


@pytest.mark.parametrize("turn_seconds", [1, 60, 170])
def test_a_recovery_of_three_minutes_is_neither_killed_nor_called_ready_early(
    kubelet: Kubelet, opened: ExitStack, turn_seconds: int
) -> None:
    recovering = RecoveringWorker(opened, turn_ms=turn_seconds * SECOND_MS)
    kubelet.look_after(recovering.live_through, LIVE_MS + 600 * SECOND_MS)
    assert kubelet.started
    assert kubelet.killed_ms is None
    ((ready_ms, ready),) = kubelet.ready
    assert ready
    shown_ms = LISTENS_MS  # the first turn after it is live
    while shown_ms < LIVE_MS:
        shown_ms += recovering.turn_ms
    assert shown_ms <= ready_ms <= shown_ms + kubelet.readiness.period_ms


def test_a_partition_that_comes_later_is_recovered_without_being_killed(
    kubelet: Kubelet, opened: ExitStack
) -> None:
    later_ms = LIVE_MS + 120 * SECOND_MS
    kubelet.look_after(
        RecoveringWorker(opened, takes_over_ms=later_ms).live_through, later_ms + 2 * RECOVERY_MS
    )
    assert kubelet.killed_ms is None
    first, away, again = kubelet.ready
    patience_ms = kubelet.readiness.failure_threshold * kubelet.readiness.period_ms
    assert [ready for _, ready in kubelet.ready] == [True, False, True]
    assert first[0] < later_ms < away[0] <= later_ms + patience_ms
    assert 0 <= again[0] - (later_ms + RECOVERY_MS) <= kubelet.readiness.period_ms


def test_a_loop_that_stands_still_in_its_recovery_is_killed(
    kubelet: Kubelet, opened: ExitStack
) -> None:
    still_ms = GROUP_MS + RECOVERY_MS // 2
    kubelet.look_after(
        RecoveringWorker(opened, stands_still_ms=still_ms).live_through, 4 * RECOVERY_MS
    )
    patience_ms = kubelet.liveness.failure_threshold * kubelet.liveness.period_ms
    assert kubelet.killed_ms is not None
    assert MOST_TURN_MS <= kubelet.killed_ms - still_ms <= MOST_TURN_MS + patience_ms
    assert not kubelet.ready


def test_a_process_that_never_listens_is_killed(kubelet: Kubelet) -> None:
    kubelet.look_after(lambda _: None, 4 * RECOVERY_MS)
    assert kubelet.killed_ms is not None
    patience_ms = kubelet.startup.failure_threshold * kubelet.startup.period_ms
    assert LISTENS_MS * 10 < kubelet.killed_ms <= patience_ms


@pytest.mark.parametrize("name", ["liveness", "startup"])
def test_a_probe_of_readiness_in_its_place_would_have_killed_it(
    kubelet: Kubelet, opened: ExitStack, name: str
) -> None:
    probe = getattr(kubelet, name)
    probe.path = "/readyz"
    # Else the first 300 s are for the start, with which this recovery gets by.
    probe.failure_threshold = min(probe.failure_threshold, 3)
    kubelet.look_after(RecoveringWorker(opened).live_through, LIVE_MS)
    assert kubelet.killed_ms is not None
