"""The HTTP server: answers in threads of its own, so that nobody who asks can hold the loop up.

The standard library's server is enough for four pages without input. What it lacks against slow
and broken clients is here: a connection has one deadline for everything, and of too many the
oldest goes, so that a probe always gets in.
"""

import errno
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Final, Self, TypeAlias

import structlog

from streamsampler.observe.address import AddressError, join_address, split_address
from streamsampler.observe.answers import Answer, Sources, answer, sentence
from streamsampler.observe.metrics import Metrics
from streamsampler.observe.standing import WorkerStanding

PATIENCE_SECONDS: Final = 5.0
MOST_CONNECTIONS: Final = 64
LIVENESS_LIMIT_MS: Final = 300_000
"""As long as Kafka waits for a consumer, by default (`max.poll.interval.ms`)."""
_LOOK_SECONDS: Final = 0.2

_MENDS: Final = {
    errno.EADDRINUSE: "something listens there already; set http.address to another port, or to "
    "port 0 for any that is free",
    errno.EADDRNOTAVAIL: "this machine has no such address; set http.address to one that it has, "
    "or to 0.0.0.0 for all",
    errno.EACCES: "it is not allowed; set http.address to a port above 1023",
}

_Connection: TypeAlias = socket.socket | tuple[bytes, socket.socket]  # the library's name for one

_log = structlog.get_logger("streamsampler.health")


class HealthServer:
    """Listens from the moment it is made until it is closed; owns a socket and a thread.

    Args:
        address: Where, as `split_address` takes it; port 0: any that is free.
        read: The worker's standing.
        metrics: Its metrics.
        monotonic_ms: The clock that the worker's loop tells its turns by.
        limit_ms: How long a turn may take before the worker counts as dead.
        patience_seconds: How long a client may take to ask and to listen.
        token: What a client must say to see more than health and metrics; empty: nothing.

    Attributes:
        address: Where it listens; with the true port.

    Raises:
        AddressError: It cannot listen there.
    """

    def __init__(
        self,
        address: str,
        read: Callable[[], WorkerStanding],
        metrics: Metrics,
        monotonic_ms: Callable[[], int],
        *,
        limit_ms: int = LIVENESS_LIMIT_MS,
        patience_seconds: float = PATIENCE_SECONDS,
        token: str = "",
    ) -> None:
        sources = Sources(read, metrics, monotonic_ms, limit_ms, token)
        self._server = _listen(address, sources, patience_seconds)
        host, port = self._server.socket.getsockname()[:2]
        self.address = join_address(host, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_SECONDS,), name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; those who are being answered are cut off."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server.cut_off(patience_seconds=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _listen(address: str, sources: Sources, patience_seconds: float) -> "_Server":
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = found[0]
        return _Server(family, (str(where[0]), port), sources, patience_seconds)
    except socket.gaierror as error:
        problem = f"the host is not known ({error.strerror}); set http.address to one that is"
    except OSError as error:
        problem = _MENDS.get(error.errno or 0, f"{error.strerror}; set http.address to another")
    raise AddressError(f"cannot listen on {address}: {problem}.")


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and a bound on their number and age."""

    daemon_threads = True
    allow_reuse_port = False  # a second worker on the same port must be told so
    request_queue_size = 32

    def __init__(
        self, family: int, where: tuple[str, int], sources: Sources, patience_seconds: float
    ) -> None:
        self.address_family = family
        self.sources = sources
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._since: dict[_Connection, float] = {}  # the oldest first
        super().__init__(where, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the host's full name, which may take seconds.
        TCPServer.server_bind(self)

    def process_request(self, request: _Connection, client_address: object) -> None:
        with self._lock:
            if len(self._since) >= MOST_CONNECTIONS:
                self._cut_off(next(iter(self._since)))
            self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Connection) -> None:
        with self._lock:
            self._since.pop(request, None)
            super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called by the server's loop several times a second."""
        self.cut_off(self._patience_seconds)

    def cut_off(self, patience_seconds: float) -> None:
        """End the connections that are older than that."""
        with self._lock:
            latest = time.monotonic() - patience_seconds
            for request in [one for one, since in self._since.items() if since <= latest]:
                self._cut_off(request)

    def _cut_off(self, request: _Connection) -> None:
        """Wake the connection's thread out of whatever it waits for; it closes the socket."""
        del self._since[request]
        assert isinstance(request, socket.socket)  # a pair is what servers of datagrams get
        with suppress(OSError):  # the client was quicker
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        del request, client_address
        # A client that went away, or was cut off, is no news.
        if not isinstance(sys.exception(), OSError):
            _log.exception("health_request_failed")


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server: _Server
    server_version = "streamsampler"
    sys_version = ""

    def do_GET(self) -> None:
        path, accept = self.path.partition("?")[0], self.headers.get("Accept", "")
        try:
            given = answer(path, accept, self.server.sources, self.headers.get("Authorization", ""))
        except Exception:  # noqa: BLE001 - whatever it is, the client is to hear of it
            _log.exception("health_answer_failed", path=path)
            given = sentence(
                HTTPStatus.INTERNAL_SERVER_ERROR, "this page failed; the worker's log says why"
            )
        self._give(given)

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request that is none; the library's page would repeat it in HTML."""
        del message, explain
        status = HTTPStatus(code)
        self.close_connection = True
        self._give(sentence(status, f"{status.phrase.lower()}; this server answers GET and HEAD"))

    def _give(self, given: Answer) -> None:
        self.send_response(given.status)
        self.send_header("Content-Type", given.content_type)
        self.send_header("Content-Length", str(len(given.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(given.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
        """Say nothing: probes come every few seconds."""
