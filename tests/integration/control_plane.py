"""Apps of the control plane in processes of their own."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamsampler.config import Settings
from tests.kafka_cluster import REPOSITORY, free_ports

COMMAND = (sys.executable, "-c", "from streamsampler.cli import main; main()", "topology")
STOP_SECONDS = 30


class App:
    """An app of the control plane in a process of its own."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        folder: Path,
        instance: int,
        flags: Sequence[str],
    ) -> None:
        file = folder / "streamsampler.yaml"
        file.write_text(settings.model_dump_json())
        (self.port,) = free_ports(1)
        self.log = folder / f"{name}-{instance}.log"
        address = f"topology.web_address=127.0.0.1:{self.port}"
        path = f"topology.path={folder / f'instance-{instance}'}"
        command = [*COMMAND, name, "--config", str(file), "--set", address, "--set", path, *flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY)

    def page(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return json.load(answer)

    def shards(self) -> set[int]:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return set(self.page("/progress")["shards"])
        except OSError:
            return set()


@contextmanager
def running(
    name: str, settings: Settings, folder: Path, instance: int = 1, flags: Sequence[str] = ()
) -> Iterator[App]:
    app = App(name, settings, folder, instance, flags)
    try:
        yield app
    finally:
        app.process.kill()
        app.process.wait(STOP_SECONDS)
