"""The health server over real HTTP: what it answers, and whom it does not let hold it up."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from email.message import Message

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamsampler.observe import (
    AddressError,
    HealthServer,
    PartitionStanding,
    Vitals,
    WorkerStanding,
)
from streamsampler.observe.server import MOST_CONNECTIONS
from streamsampler.outcome import Counts

LIMIT_MS = 60_000
PATIENCE_SECONDS = 0.6
LIVE = PartitionStanding(
    partition=3,
    state="live",
    low_watermark=100,
    position=160,
    end=200,
    stream_time_ms=5_000,
    wall_ms=0,
    replayed=0,
    replay_total=0,
    expected_seconds=None,
    stopped="",
    buffered_bytes=0,
    block_bytes=0,
    counts=Counts(records=9),
)


@dataclass
class Worker:
    """A worker's vitals, its clock and its server."""

    vitals: Vitals
    now_ms: int = 0
    fails: bool = False

    def read(self) -> WorkerStanding:
        if self.fails:
            raise ZeroDivisionError("a bug")
        return self.vitals.read()

    def serve(
        self, address: str = "127.0.0.1:0", patience_seconds: float = PATIENCE_SECONDS
    ) -> HealthServer:
        return HealthServer(
            address,
            self.read,
            self.vitals.metrics,
            lambda: self.now_ms,
            limit_ms=LIMIT_MS,
            patience_seconds=patience_seconds,
        )


@pytest.fixture
def worker() -> Worker:
    vitals = Vitals("pod-1", "0.1.0", "exactly_once", now_ms=0)
    vitals.show("v7", [LIVE], settled=True)
    return Worker(vitals)


@pytest.fixture
def server(worker: Worker) -> Iterator[HealthServer]:
    with worker.serve() as serving:
        yield serving


def ask(
    server: HealthServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, Message, str]:
    with closing(http.client.HTTPConnection(server.address, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


def connect(server: HealthServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_a_worker_that_turns_is_alive(server: HealthServer) -> None:
    status, headers, body = ask(server, "/livez")
    assert (status, body) == (200, "alive\n")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"


def test_a_worker_that_hangs_is_neither_alive_nor_ready(
    worker: Worker, server: HealthServer
) -> None:
    worker.now_ms = LIMIT_MS + 500
    reason = "the worker's loop has not turned for 60.5 s; it may take 60.0 s.\n"
    assert ask(server, "/livez")[::2] == (503, reason)
    assert ask(server, "/readyz")[::2] == (503, reason)
    worker.vitals.turned(worker.now_ms)
    assert ask(server, "/livez")[0] == 200


def test_a_worker_that_is_not_ready_is_alive_and_says_why(
    worker: Worker, server: HealthServer
) -> None:
    assert ask(server, "/readyz")[::2] == (200, "ready\n")
    replaying = replace(
        LIVE, state="recovering", replayed=12_000, replay_total=48_000, expected_seconds=4.0
    )
    full = replace(LIVE, partition=2, stopped="cannot write block 7: No space left on device")
    worker.vitals.show("v7", [replaying, full], settled=True)
    status, _, body = ask(server, "/readyz")
    assert status == 503
    assert body.splitlines() == [
        "partition 2 stands still: cannot write block 7: No space left on device.",
        "partition 3 is recovering: 12,000 of 48,000 records replayed, about 4 s left.",
    ]
    assert ask(server, "/livez")[0] == 200


def test_the_status_page_has_everything_as_json(worker: Worker, server: HealthServer) -> None:
    worker.vitals.committed({3: Counts(records=9)}, 0.01)
    worker.vitals.show(None, [LIVE], settled=True)
    status, headers, body = ask(server, "/status?pretty")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    document = json.loads(body)
    assert document["worker"] == "pod-1"
    assert document["guarantee"] == "exactly_once"
    assert document["policy_version"] is None
    assert document["alive"] is True
    assert document["ready"] is False
    assert document["reasons"] == ["no policy set is in force"]
    assert document["totals"]["counts"]["records"] == 9
    (partition,) = document["partitions"]
    assert partition["partition"] == 3
    assert partition["lag"] == 40
    assert partition["counts"]["records"] == 9


def test_the_status_page_answers_for_a_worker_that_hangs(
    worker: Worker, server: HealthServer
) -> None:
    worker.now_ms = LIMIT_MS + 1
    status, _, body = ask(server, "/status")
    document = json.loads(body)
    assert status == 200
    assert (document["alive"], document["ready"]) == (False, False)
    assert len(document["reasons"]) == 1


def test_metrics_can_be_scraped(server: HealthServer) -> None:
    status, headers, body = ask(server, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "streamsampler_ready" in {one.name for one in text_string_to_metric_families(body)}
    _, headers, _ = ask(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/status", "/metrics", "/nowhere"])
def test_head_answers_as_get_does_without_the_body(server: HealthServer, path: str) -> None:
    status, headers, _ = ask(server, path)
    head_status, head_headers, head_body = ask(server, path, method="HEAD")
    assert (head_status, head_body) == (status, "")
    assert head_headers["Content-Type"] == headers["Content-Type"]
    assert int(head_headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/", "/nowhere", "/livez/", "//[", "/%00"])
def test_elsewhere_a_sentence_tells_what_there_is(server: HealthServer, path: str) -> None:
    assert ask(server, path)[::2] == (
        404,
        "there is nothing here; ask for /livez, /readyz, /status or /metrics.\n",
    )


def test_other_methods_are_refused(server: HealthServer) -> None:
    status, headers, body = ask(server, "/livez", method="DELETE")
    assert (status, body) == (501, "not implemented; this server answers GET and HEAD.\n")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nHalf: ",
    ],
)
def test_a_broken_client_breaks_nothing(
    server: HealthServer, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with connect(server) as client, suppress(ConnectionError):
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
    assert ask(server, "/livez")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_client_that_hangs_up_before_the_answer_breaks_nothing(
    server: HealthServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        client = connect(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00" + bytes(4))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        client.close()  # with a reset
    assert ask(server, "/livez")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_slow_clients_hold_nobody_up_and_are_cut_off(server: HealthServer) -> None:
    slow = [connect(server) for _ in range(10)]
    for client in slow:
        client.sendall(b"GET /livez HT")
    began = time.monotonic()
    assert ask(server, "/livez")[0] == 200
    assert time.monotonic() - began < PATIENCE_SECONDS
    for client in slow:
        with client:
            assert client.recv(1) == b""  # cut off: recv would time out after 10 s


def test_a_client_that_drips_has_no_more_patience_than_others(server: HealthServer) -> None:
    began = time.monotonic()
    with connect(server) as client, suppress(ConnectionError):
        for _ in range(100):
            client.sendall(b"A")
            client.settimeout(0.1)
            with suppress(TimeoutError):
                if client.recv(1) == b"":
                    break
    assert time.monotonic() - began < 10 * PATIENCE_SECONDS


def test_however_many_wait_a_probe_gets_in_and_the_oldest_goes(worker: Worker) -> None:
    with worker.serve(patience_seconds=60) as server, ExitStack() as open_ones:
        first, second, *_ = [
            open_ones.enter_context(connect(server)) for _ in range(MOST_CONNECTIONS)
        ]
        assert ask(server, "/livez")[0] == 200
        assert first.recv(1) == b""
        second.sendall(b"HEAD /livez HTTP/1.0\r\n\r\n")
        assert second.recv(12) == b"HTTP/1.0 200"


def test_a_page_that_fails_says_so_and_the_server_goes_on(
    worker: Worker, server: HealthServer, capfd: pytest.CaptureFixture[str]
) -> None:
    worker.fails = True
    assert ask(server, "/readyz")[::2] == (500, "this page failed; the worker's log says why.\n")
    assert "health_answer_failed" in capfd.readouterr().out
    worker.fails = False
    assert ask(server, "/readyz")[0] == 200


def test_a_port_that_is_in_use_is_refused_with_the_mend(
    worker: Worker, server: HealthServer
) -> None:
    with pytest.raises(AddressError) as refused:
        worker.serve(server.address)
    assert str(refused.value) == (
        f"cannot listen on {server.address}: something listens there already; set http.address to "
        "another port, or to port 0 for any that is free."
    )


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("192.0.2.1:9478", "this machine has no such address"),
        ("no such host:9478", "the host is not known"),
        ("localhost", "expected host:port"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_refused(
    worker: Worker, address: str, problem: str
) -> None:
    with pytest.raises(AddressError, match=problem):
        worker.serve(address)


def test_without_a_host_it_listens_on_loopback(worker: Worker) -> None:
    with worker.serve(":0") as server:
        assert server.address.startswith("127.0.0.1:")
        assert ask(server, "/livez")[0] == 200


def test_after_it_is_closed_nobody_answers_and_the_port_is_free(worker: Worker) -> None:
    with worker.serve() as server:
        address = server.address
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/livez")
    with worker.serve(address) as again:
        assert ask(again, "/livez")[0] == 200
