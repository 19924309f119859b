"""What is kept goes on to an OTLP endpoint: a real Collector, and ones that say no."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any
from zlib import crc32

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.config import ConfigError, Settings
from streamsampler.forward import run_forwarder
from streamsampler.kafka.errors import FailStopError
from tests.integration.otlp_receiver import Receiver, receiving
from tests.integration.sampling import (
    PATIENCE_SECONDS,
    Written,
    make_settings,
    make_topics,
    read_all,
    wait_until,
    write,
)

PARTITIONS = 3


def trace(number: int) -> Written:
    data = TracesData()
    span = data.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = number.to_bytes(16, "big"), number.to_bytes(8, "big")
    span.name = f"span {number}"
    return Written(data.SerializeToString(), number.to_bytes(16, "big"))


def ids(numbers: Sequence[int]) -> set[str]:
    return {number.to_bytes(16, "big").hex() for number in numbers}


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Endpoint:
    """Answers as it is told, and remembers what it was asked.

    Attributes:
        answer: To a request.
        url: Where it listens.
        requests: What came, with the time.
    """

    answer: Callable[[ExportTraceServiceRequest], Answer]
    url: str = ""
    requests: list[tuple[float, ExportTraceServiceRequest]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def accepted(self) -> set[str]:
        return {
            span.trace_id.hex()
            for _, request in self.requests
            if self.answer(request)[0] == 200
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@contextmanager
def listening(answer: Callable[[ExportTraceServiceRequest], Answer]) -> Iterator[Endpoint]:
    endpoint = Endpoint(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request = ExportTraceServiceRequest.FromString(body)
            status, headers, said = endpoint.answer(request)
            endpoint.requests.append((time.monotonic(), request))
            endpoint.headers.update({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(said))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Running:
    """A forwarder in a thread."""

    settings: Settings
    stop: Event = field(default_factory=Event)
    failure: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            run_forwarder(self.settings, self.stop.is_set)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to see it
            self.failure.append(error)

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


@contextmanager
def forwarding(settings: Settings, **forward: Any) -> Iterator[Running]:
    own = settings.forward.model_copy(update=forward)
    running = Running(settings.model_copy(update={"forward": own}))
    try:
        yield running
    finally:
        running.end()
    assert not running.failure


@pytest.fixture
def settings(kafka: str, prefix: str, tmp_path: Path) -> Settings:
    made = make_settings(
        kafka, prefix, tmp_path,
        forward={"retry_ms": 100, "most_retry_ms": 200, "compression": "none"},
    )  # fmt: skip
    make_topics(made, PARTITIONS)
    return made


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver | str]:
    given = os.environ.get("STREAMSAMPLER_TEST_OTLP")
    if given:
        yield given
        return
    with receiving(tmp_path_factory.mktemp("collector")) as receiver:
        yield receiver


def ok(_: ExportTraceServiceRequest) -> Answer:
    return 200, {}, b""


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_gets_what_is_kept(
    settings: Settings, collector: Receiver | str, protocol: str, compression: str
) -> None:
    first = 1 + crc32(f"{protocol} {compression}".encode())
    numbers = range(first, first + 200)
    write(settings, settings.topics.output, map(trace, numbers))
    if isinstance(collector, str):
        endpoint = collector
    else:
        endpoint = collector.grpc if protocol == "grpc" else collector.http
    with forwarding(settings, endpoint=endpoint, protocol=protocol, compression=compression):
        if isinstance(collector, Receiver):
            wait_until(lambda: ids(numbers) <= collector.got(), "what was sent")
        else:
            wait_until(lambda: committed(settings) == len(numbers), "commits")


def committed(settings: Settings) -> int:
    """How many records the group is through with."""
    group = f"{settings.group_id}-forward"
    consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": group})
    topic = settings.topics.output
    found = consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=10)
    consumer.close()
    return sum(max(0, one.offset) for one in found)


def test_what_was_aborted_is_not_sent(settings: Settings) -> None:
    producer = Producer(
        {"bootstrap.servers": settings.bootstrap, "transactional.id": settings.group_id}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(50):
        one = trace(10_000 + number)
        producer.produce(settings.topics.output, one.value, one.key)
    producer.flush(30)
    producer.abort_transaction(30)
    write(settings, settings.topics.output, map(trace, range(1, 21)))
    with listening(ok) as endpoint, forwarding(settings, endpoint=endpoint.url):
        wait_until(lambda: ids(range(1, 21)) <= endpoint.accepted(), "the others")
    assert endpoint.accepted() == ids(range(1, 21))


def test_an_endpoint_that_is_busy_is_left_alone_as_long_as_it_wants(settings: Settings) -> None:
    busy_until = time.monotonic() + 2.5

    def busy(_: ExportTraceServiceRequest) -> Answer:
        if time.monotonic() < busy_until:
            return 503, {"Retry-After": "1"}, b"busy"
        return 200, {}, b""

    write(settings, settings.topics.output, map(trace, range(1, 31)))
    with listening(busy) as endpoint, forwarding(settings, endpoint=endpoint.url):
        wait_until(lambda: committed(settings) == 30, "commits")
    assert endpoint.accepted() == ids(range(1, 31))
    times = [at for at, _ in endpoint.requests if at < busy_until + 1]
    assert len(times) >= 2
    assert all(after - before >= 0.95 for before, after in pairwise(times))


def has(request: ExportTraceServiceRequest, name: str) -> bool:
    return any(
        span.name == name
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


def test_one_record_that_is_refused_goes_to_the_dead_letters_alone(settings: Settings) -> None:
    def picky(request: ExportTraceServiceRequest) -> Answer:
        return (400, {}, b"no 13") if has(request, "span 13") else (200, {}, b"")

    write(settings, settings.topics.output, map(trace, range(1, 41)))
    with listening(picky) as endpoint, forwarding(settings, endpoint=endpoint.url):
        wait_until(lambda: committed(settings) == 40, "commits")
    assert endpoint.accepted() == ids([n for n in range(1, 41) if n != 13])
    (letter,) = read_all(settings, settings.topics.dead_letters)
    headers = dict(letter.headers() or [])
    assert letter.value() == trace(13).value
    assert headers["streamsampler.reason"] == b"refused_by_endpoint"
    assert headers["streamsampler.detail"] == b"HTTP 400: no 13"


def test_a_partial_success_is_not_sent_again(settings: Settings) -> None:
    def partly(_: ExportTraceServiceRequest) -> Answer:
        response = ExportTraceServiceResponse()
        response.partial_success.rejected_spans = 1
        return 200, {}, response.SerializeToString()

    write(settings, settings.topics.output, map(trace, range(1, 6)))
    with (
        listening(partly) as endpoint,
        forwarding(settings, endpoint=endpoint.url, headers={"x-api-key": "k"}),
    ):
        wait_until(lambda: committed(settings) == 5, "commits")
    spans = [len(request.resource_spans) for _, request in endpoint.requests]
    assert sum(spans) == 5
    assert endpoint.headers["x-api-key"] == "k"
    assert endpoint.headers["content-type"] == "application/x-protobuf"


def test_an_endpoint_that_knows_us_not_ends_it_and_nothing_is_committed(settings: Settings) -> None:
    write(settings, settings.topics.output, map(trace, range(1, 6)))
    with listening(lambda _: (401, {}, b"who are you?")) as endpoint:
        own = settings.forward.model_copy(update={"endpoint": endpoint.url})
        with pytest.raises(FailStopError, match="401: who are you"):
            run_forwarder(settings.model_copy(update={"forward": own}), lambda: False)
    assert committed(settings) == 0


def test_what_was_not_answered_is_sent_again_by_the_next(settings: Settings) -> None:
    write(settings, settings.topics.output, map(trace, range(1, 11)))
    with listening(lambda _: (503, {}, b"")) as endpoint:
        with forwarding(settings, endpoint=endpoint.url):
            wait_until(lambda: len(endpoint.requests) > 1, "requests")
        assert committed(settings) == 0
    with listening(ok) as endpoint, forwarding(settings, endpoint=endpoint.url):
        wait_until(lambda: committed(settings) == 10, "commits")
    assert endpoint.accepted() == ids(range(1, 11))


def test_settings_that_cannot_be_used(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"forward\.endpoint is not set"):
        run_forwarder(settings, lambda: True)
    tls = settings.forward.tls.model_copy(update={"ca_file": tmp_path / "none.pem"})
    own = settings.forward.model_copy(update={"endpoint": "https://here", "tls": tls})
    with pytest.raises(ConfigError, match=r"forward\.tls\.ca_file is .*: there is no such file"):
        run_forwarder(settings.model_copy(update={"forward": own}), lambda: True)
