"""A real OTLP receiver: an OpenTelemetry Collector that says what it got."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kafka_cluster import REPOSITORY, free_ports

SOURCE = REPOSITORY / "tests" / "otlp_receiver"
BUILT = REPOSITORY / ".cache" / "otlp_receiver" / "receiver"
BUILD_SECONDS = 280
UP_SECONDS = 30
CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  debug: {{verbosity: detailed, sampling_initial: 1000000}}
service:
  telemetry:
    metrics: {{level: none}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [debug]}}
    metrics: {{receivers: [otlp], exporters: [debug]}}
"""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A Collector that runs.

    Attributes:
        http: Its endpoint for OTLP over HTTP.
        grpc: Its endpoint for OTLP over gRPC.
        log: Where it says what it got.
    """

    http: str
    grpc: str
    log: Path

    def got(self) -> set[str]:
        """The trace ids that it got, in hex."""
        return self._said("Trace ID")

    def names(self) -> set[str]:
        """Those of spans and metrics that it got."""
        return self._said("Name")

    def _said(self, what: str) -> set[str]:
        halves = (line.partition(":") for line in self.log.read_text().splitlines())
        return {said.strip() for named, _, said in halves if named.strip(" ->") == what}


def build() -> Path:
    """Build it once; fails, or skips, where there is no Go."""
    if BUILT.is_file():
        return BUILT
    if shutil.which("go") is None:
        reason = "there is no go to build a Collector with"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    BUILT.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-mod=readonly", "-o", str(BUILT), "."]
    subprocess.run(command, cwd=SOURCE, timeout=BUILD_SECONDS, check=True)
    return BUILT


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    """Run a Collector on free ports."""
    grpc, http = free_ports(2)
    config, log = folder / "collector.yaml", folder / "collector.log"
    config.write_text(CONFIG.format(grpc=grpc, http=http))
    with log.open("wb") as file:
        process = subprocess.Popen([build(), "--config", config], stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + UP_SECONDS
        while "Everything is ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield Receiver(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}", log)
    finally:
        process.terminate()
        process.wait(UP_SECONDS)
