"""An OAuth endpoint that gives tokens to clients, as RFC 6749, section 4.4 has it."""

import json
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

BEGINNING = "sasl.oauthbearer."
LIFE_SECONDS = 100


class TokenEndpoint:
    """Listens on loopback as long as its context lasts.

    Args:
        token: Makes the first, the second and so on.

    Attributes:
        asked: Who asked, and what for.
        status: Of each answer.
        body: Of each answer; empty: a token.
    """

    def __init__(self, token: Callable[[int], str]) -> None:
        self.token = token
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.status, self.body = 200, b""
        self._server = _Server(self)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def properties(self) -> dict[str, str]:
        """librdkafka's, for a client that gets its tokens here."""
        return {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "OAUTHBEARER",
            f"{BEGINNING}method": "oidc",
            f"{BEGINNING}client.id": "sam:pler",
            f"{BEGINNING}client.secret": "let me in",
            f"{BEGINNING}token.endpoint.url": f"http://127.0.0.1:{self._server.port}/token",
            f"{BEGINNING}scope": "kafka read",
            f"{BEGINNING}extensions": "logicalCluster=lkc-1,pool=p",
        }


class _Server(HTTPServer):
    def __init__(self, endpoint: TokenEndpoint) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = endpoint
        self.port = self.socket.getsockname()[1]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        who = b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        endpoint.asked.append((who, parse_qs(form)))
        token = endpoint.token(len(endpoint.asked))
        given = {"access_token": token, "expires_in": LIFE_SECONDS, "token_type": "Bearer"}
        body = endpoint.body or json.dumps(given).encode()
        self.send_response(endpoint.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


def unsecured_token(subject: str) -> str:
    """A token that nobody has signed, as a broker takes it that is told of no issuer."""
    now = int(time.time())
    claims = {"sub": subject, "iat": now, "exp": now + LIFE_SECONDS}
    parts = (json.dumps(one).encode() for one in ({"alg": "none"}, claims))
    return ".".join([*(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])
