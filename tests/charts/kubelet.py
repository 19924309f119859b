"""What a kubelet does with a container's probes, as plainly as it can be written.

Source: Kubernetes documentation, "Configure Liveness, Readiness and Startup Probes".
"""

import http.client
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

DEFAULTS = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3}
STEP_MS = 1_000


@dataclass(slots=True)
class Probe:
    """A probe and how it went so far: `path` is asked every `period_ms`."""

    path: str
    period_ms: int
    timeout_seconds: int
    failure_threshold: int
    failures: int = 0
    next_ms: int = 0

    @classmethod
    def of(cls, container: dict[str, Any], name: str) -> "Probe":
        """As a rendered container has it."""
        written = {**DEFAULTS, **container[name]}
        # The model knows no others, and must not pass over one.
        assert written.keys() == {*DEFAULTS, "httpGet"}, written
        return cls(
            written["httpGet"]["path"],
            1_000 * written["periodSeconds"],
            written["timeoutSeconds"],
            written["failureThreshold"],
        )

    def is_due(self, now_ms: int) -> bool:
        if now_ms < self.next_ms:
            return False
        self.next_ms = now_ms + self.period_ms
        return True

    def ask(self, address: str | None) -> bool:
        """Ask over HTTP; tell whether it went well. None: nobody listens yet."""
        well = address is not None and self._answers(address)
        self.failures = 0 if well else self.failures + 1
        return well

    def _answers(self, address: str) -> bool:
        with closing(http.client.HTTPConnection(address, timeout=self.timeout_seconds)) as asking:
            asking.request("GET", self.path)
            return 200 <= asking.getresponse().status < 400

    @property
    def failed(self) -> bool:
        """Whether it failed too often in a row."""
        return self.failures >= self.failure_threshold


@dataclass(slots=True)
class Kubelet:
    """Looks after one container.

    Attributes:
        killed_ms: When it killed the container; None: it did not.
        ready: The moments at which the container became ready, or was not any more.
    """

    startup: Probe
    liveness: Probe
    readiness: Probe
    started: bool = False
    killed_ms: int | None = None
    ready: list[tuple[int, bool]] = field(default_factory=list)

    @classmethod
    def of(cls, container: dict[str, Any]) -> "Kubelet":
        """For a rendered container."""
        return cls(
            Probe.of(container, "startupProbe"),
            Probe.of(container, "livenessProbe"),
            Probe.of(container, "readinessProbe"),
        )

    def look_after(self, live_through: Callable[[int], str | None], until_ms: int) -> None:
        """Go through time in steps, until the container is killed or the time is over.

        Args:
            live_through: Given each moment; lets the container do its work up to then, and tells
                where it listens.
            until_ms: The end.
        """
        for now_ms in range(0, until_ms + 1, STEP_MS):
            self._probe(now_ms, live_through(now_ms))
            if self.killed_ms is not None:
                return

    def _probe(self, now_ms: int, address: str | None) -> None:
        if not self.started:
            # Neither of the others is asked before the first has gone well.
            if self.startup.is_due(now_ms):
                self.started = self.startup.ask(address)
            self._kill_if(self.startup, now_ms)
            return
        if self.liveness.is_due(now_ms):
            self.liveness.ask(address)
            self._kill_if(self.liveness, now_ms)
        if self.readiness.is_due(now_ms):
            well = self.readiness.ask(address)
            if well or self.readiness.failed:
                self._set_ready(now_ms, ready=well)

    def _kill_if(self, probe: Probe, now_ms: int) -> None:
        if probe.failed:
            self.killed_ms = now_ms

    def _set_ready(self, now_ms: int, *, ready: bool) -> None:
        before = bool(self.ready) and self.ready[-1][1]
        if ready != before:
            self.ready.append((now_ms, ready))
