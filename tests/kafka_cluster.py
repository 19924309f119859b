"""Real Apache Kafka brokers for the tests: no Docker, one Java process each, up in seconds.

The jars come by their Maven coordinates (tests/kafka_server/pom.xml) into `.cache/kafka/lib` of
the checkout, once. A cluster lives in a temporary directory and goes with its context manager.
"""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

REPOSITORY = Path(__file__).resolve().parent.parent
POM = Path(__file__).resolve().parent / "kafka_server" / "pom.xml"
JARS = REPOSITORY / ".cache" / "kafka" / "lib"
CLUSTER_ID = "c3RyZWFtc2FtcGxlcjAwMQ"  # 16 bytes in URL-safe base64, as Kafka's own ids
DOWNLOAD_SECONDS = 240
UP_SECONDS = 60
STOP_SECONDS = 30


class KafkaMissingError(RuntimeError):
    """No broker can be started here; the message says what is missing."""


def fetch_jars() -> Path:
    """Bring the broker's jars into the checkout's cache, unless this pom's are there.

    Returns:
        The folder with the jars.

    Raises:
        KafkaMissingError: Java or Maven is not installed, or Maven could not fetch the jars.
    """
    if shutil.which("java") is None:
        raise KafkaMissingError("no `java` on the PATH (Apache Kafka 4 needs Java 17 or later)")
    stamp = JARS / "pom.sha256"
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return JARS
    if shutil.which("mvn") is None:
        raise KafkaMissingError("no `mvn` on the PATH to fetch the jars of Apache Kafka with")
    JARS.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="lib-", dir=JARS.parent))
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    try:
        subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), *goal],
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:
        shutil.rmtree(partial)
        said = error.stdout if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise KafkaMissingError(f"Maven could not fetch Apache Kafka: {said[-500:]}") from error
    (partial / "pom.sha256").write_text(wanted)
    shutil.rmtree(JARS, ignore_errors=True)
    partial.rename(JARS)
    return JARS


class KafkaCluster:
    """N brokers, each also a controller, on free loopback ports; a context manager.

    Args:
        brokers: 1 or 3; with 3, topics may have three replicas and two must be in sync.
        properties: Broker properties over the ones chosen here.
    """

    def __init__(self, brokers: int = 1, properties: Mapping[str, str] | None = None) -> None:
        self._size = brokers
        self._extra = dict(properties or {})
        self._ports = free_ports(2 * brokers)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._directory = Path()

    @property
    def bootstrap(self) -> str:
        """What `bootstrap.servers` must be set to."""
        return ",".join(f"127.0.0.1:{self._ports[2 * broker]}" for broker in range(self._size))

    def __enter__(self) -> Self:
        self._jars = fetch_jars()
        self._directory = Path(tempfile.mkdtemp(prefix="streamsampler-kafka-"))
        try:
            self._format()
            for broker in range(self._size):
                self._launch(broker)
            self.wait_until_up()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clean_up()

    def start_broker(self, broker: int) -> None:
        """Start a stopped broker on its old port and data; returns when all brokers answer."""
        self._launch(broker)
        self.wait_until_up()

    def start_missing_brokers(self) -> None:
        """Start whatever was stopped or killed and not started again."""
        for broker in set(range(self._size)) - set(self._processes):
            self._launch(broker)
        self.wait_until_up()

    def stop_broker(self, broker: int) -> None:
        """Stop a broker as an operator would: it hands its partitions over first."""
        process = self._processes.pop(broker)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # without a quorum it waits for ever to hand over
            process.kill()
            process.wait(STOP_SECONDS)

    def kill_broker(self, broker: int) -> None:
        """Kill a broker's process at once."""
        process = self._processes.pop(broker)
        process.kill()
        process.wait(STOP_SECONDS)

    def wait_until_up(self) -> None:
        """Wait until every broker that was started is in the cluster's metadata.

        Raises:
            RuntimeError: One of them ended, or they were not up in time; with its last log lines.
        """
        deadline = time.monotonic() + UP_SECONDS
        waiting = set(self._processes)
        while waiting:
            broker = min(waiting)
            if self._processes[broker].poll() is not None:
                raise RuntimeError(f"broker {broker} ended: {self._log_tail(broker)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"broker {broker} not up in time: {self._log_tail(broker)}")
            if self._knows_all(broker):
                waiting.remove(broker)

    def _knows_all(self, broker: int) -> bool:
        address = f"127.0.0.1:{self._ports[2 * broker]}"
        admin = AdminClient(dict(self._probe(address)))
        try:
            known = admin.list_topics(timeout=0.5).brokers
        except KafkaException:
            return False
        return {running + 1 for running in self._processes} <= set(known)

    def _probe(self, address: str) -> Mapping[str, Any]:
        """The properties of a client that asks a broker whether it is up."""
        return {"bootstrap.servers": address, "log_level": 0}

    def _format_options(self) -> list[str]:
        """What formatting is told besides."""
        return []

    def _folder(self, broker: int) -> Path:
        return self._directory / str(broker)

    def _log_tail(self, broker: int) -> str:
        log = self._folder(broker) / "broker.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else "no log"

    def _java(self, *arguments: str) -> list[str]:
        # Where Linux offers it, a broker dies with the test run even if that is killed.
        leash = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        options = ["-Xmx1g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        return [*leash, "java", *options, "-cp", f"{self._jars}/*", *arguments]

    def _format(self) -> None:
        formatting = []
        for broker in range(self._size):
            folder = self._folder(broker)
            folder.mkdir()
            properties = folder / "server.properties"
            lines = [f"{name}={value}\n" for name, value in self._properties(broker).items()]
            properties.write_text("".join(lines))
            tool = self._java(
                "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties),
                *self._format_options(),
            )  # fmt: skip
            with (folder / "broker.log").open("ab") as log:
                formatting.append(subprocess.Popen(tool, stdout=log, stderr=log))
        for broker, process in enumerate(formatting):
            if process.wait(UP_SECONDS) != 0:
                raise RuntimeError(f"formatting broker {broker} failed: {self._log_tail(broker)}")

    def _properties(self, broker: int) -> dict[str, str]:
        listener, controller = self._ports[2 * broker], self._ports[2 * broker + 1]
        voters = (f"{b + 1}@127.0.0.1:{self._ports[2 * b + 1]}" for b in range(self._size))
        replicas, in_sync = str(min(self._size, 3)), str(1 if self._size == 1 else 2)
        return {
            "node.id": str(broker + 1),
            "process.roles": "broker,controller",
            "listeners": f"PLAINTEXT://127.0.0.1:{listener},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{listener}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": ",".join(voters),
            "log.dirs": str(self._folder(broker) / "data"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": "0",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",
            "log.cleaner.dedupe.buffer.size": "8388608",
            **self._extra,
        }

    def _launch(self, broker: int) -> None:
        properties = self._folder(broker) / "server.properties"
        with (self._folder(broker) / "broker.log").open("ab") as log:
            self._processes[broker] = subprocess.Popen(
                self._java("kafka.Kafka", str(properties)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _clean_up(self) -> None:
        # The data goes too, so nobody need be handed over to.
        for broker in list(self._processes):
            self.kill_broker(broker)
        shutil.rmtree(self._directory, ignore_errors=True)


def bootstrap_from_environment() -> str | None:
    """The address of a broker that runs already, from `STREAMSAMPLER_TEST_BOOTSTRAP`."""
    return os.environ.get("STREAMSAMPLER_TEST_BOOTSTRAP") or None


def free_ports(count: int) -> list[int]:
    """Find ports on the loopback interface that nobody listens on."""
    # Below the range that outgoing connections take theirs from, so that a port is still free
    # when its broker is started again.
    candidates = random.sample(range(15_000, 32_000), 50 * count)
    return [port for port in candidates if _is_free(port)][:count]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
