"""Workers as processes: started, killed, frozen, thawed and stopped by their process ids."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamsampler.config import Settings
from tests.kafka_cluster import free_ports

COMMAND = (str(Path(sys.executable).with_name("streamsampler")),)
INTERRUPTED = (sys.executable, str(Path(__file__).with_name("interrupted_worker.py")))
STOP_SECONDS = 45
ANSWER_SECONDS = 2.0
TAIL_CHARACTERS = 3_000


class WorkerProcess:
    """One member of the group, with a folder, a log and an address of its own.

    Args:
        name: What the folder is called.
        settings: Of the group; store, address and instance id are made its own.
        folder: Where its files go.
        instance_id: For static membership; None for dynamic.
        command: What runs it, before `run`.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        folder: Path,
        instance_id: str | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.name = name
        self.disk = folder / name / "disk"
        path = self.disk / "store"
        self.store = path / "worker-0"  # `run` gives each of its workers a folder of its own
        self.log = folder / name / "worker.jsonl"
        self.starts = 0
        self._expected_to_run = False
        self.command = command
        self._config = folder / name / "settings.yaml"
        self._config.parent.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self._address = f"127.0.0.1:{port}"
        own = settings.model_copy(
            update={
                "instance_id": instance_id,
                "store": settings.store.model_copy(update={"path": path}),
                "http": settings.http.model_copy(update={"address": self._address}),
                # Every partition's counts are looked for in the log.
                "log": settings.log.model_copy(update={"lines_per_minute": 0}),
            }
        )
        self._config.write_text(own.model_dump_json(exclude_none=True))
        self._process: subprocess.Popen[bytes] | None = None
        self._log_at_start = 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of the last start."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    @property
    def running(self) -> bool:
        """Whether its process is there, be it frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, ends_by_itself: bool = False) -> None:
        """Start it; it is ready some seconds later. Whether it may end by itself is said here."""
        assert not self.running
        # Where Linux offers it, a worker dies with the test run even if that is killed.
        leash = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        command = [*leash, *self.command, "run", "--config", str(self._config)]
        with self.log.open("ab") as log:
            self._log_at_start = log.tell()
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.starts += 1
        self._expected_to_run = not ends_by_itself

    def kill(self) -> None:
        """Kill it at once."""
        self._expected_to_run = False
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Stop its process where it stands."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop it as an operator does; it must leave in order and in time."""
        self._expected_to_run = False
        self.process.terminate()
        code = self.process.wait(STOP_SECONDS)
        assert code == 0, f"{self.name} ended with {code}: {self.tail()}"

    @property
    def frozen(self) -> bool:
        """Whether its process is stopped where it stands."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def clean_up(self) -> None:
        """Leave no process behind."""
        if self.running:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def check(self) -> None:
        """Fail where it has ended and nobody told it to."""
        if self._expected_to_run and not self.running:
            ended = f"{self.name} ended by itself with {self.process.poll()}"
            raise AssertionError(f"{ended}; {self.log}: {self.tail()}")

    def answer(self, path: str) -> tuple[int, str]:
        """Ask its HTTP server; status and body, status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(
                f"http://{self._address}{path}", timeout=ANSWER_SECONDS
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()
        except OSError:
            return 0, ""

    @property
    def ready(self) -> bool:
        """Whether it says so, and is a member that owns partitions."""
        return self.answer("/readyz")[0] == 200 and bool(self.events("partitions_assigned"))

    def events(self, name: str, *, ever: bool = False) -> list[dict[str, Any]]:
        """The log lines with this event, since the last start or ever."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(0 if ever else self._log_at_start)
            lines = [line for line in log if f'"{name}"'.encode() in line]
        events = [json.loads(line) for line in lines if line.endswith(b"}\n")]
        return [event for event in events if event["event"] == name]

    def troubles(self) -> list[str]:
        """The log lines that must never be: errors and tracebacks."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        wrong = ('"level": "error"', "Traceback", "Error: ")
        return [line[:500] for line in text.splitlines() if any(word in line for word in wrong)]

    def tail(self) -> str:
        """The last lines of its log."""
        return self.log.read_text(errors="replace")[-TAIL_CHARACTERS:]
