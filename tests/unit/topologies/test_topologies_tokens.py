"""Tokens for OAUTHBEARER: asked for as RFC 6749 has it, and used for most of their life."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs

import pytest
from faust.auth import OAuthCredentials

from streamsampler.config import ConfigError
from topologies.errors import TopologyError
from topologies.security import credentials
from topologies.tokens import ClientTokens

BEGINNING = "sasl.oauthbearer."


class Endpoint(HTTPServer):
    """Gives tokens: t1, t2 and so on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.status, self.body = 200, b""

    @property
    def properties(self) -> dict[str, str]:
        port = self.socket.getsockname()[1]
        return {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "OAUTHBEARER",
            f"{BEGINNING}method": "oidc",
            f"{BEGINNING}client.id": "sam:pler",
            f"{BEGINNING}client.secret": "let me in",
            f"{BEGINNING}token.endpoint.url": f"http://127.0.0.1:{port}/token",
            f"{BEGINNING}scope": "kafka read",
            f"{BEGINNING}extensions": "logicalCluster=lkc-1,pool=p",
        }


class Handler(BaseHTTPRequestHandler):
    """One request for a token."""

    server: Endpoint

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        who = b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
        self.server.asked.append((who, parse_qs(form)))
        token = {"access_token": f"t{len(self.server.asked)}", "expires_in": 100}
        body = self.server.body or json.dumps(token).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as serving:
        thread = Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def test_a_token_is_used_for_most_of_its_life(endpoint: Endpoint) -> None:
    now = [1_000.0]
    tokens = ClientTokens(endpoint.properties, lambda: now[0])
    given = []
    for seconds in (0, 79, 2, 79, 1):
        now[0] += seconds
        given.append(asyncio.run(tokens.token()))
    assert given == ["t1", "t1", "t2", "t2", "t3"]
    assert endpoint.asked[0] == (
        "sam%3Apler:let+me+in",
        {"grant_type": ["client_credentials"], "scope": ["kafka read"]},
    )
    assert tokens.extensions() == {"logicalCluster": "lkc-1", "pool": "p"}


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, b'{"error": "invalid_client"}'), (500, b"oops"), (200, b"[]"), (302, b"null")],
)
def test_an_endpoint_that_gives_none_is_named_and_the_secret_is_not(
    endpoint: Endpoint, status: int, body: bytes
) -> None:
    endpoint.status, endpoint.body = status, body
    with pytest.raises(TopologyError, match=rf"/token gives no token: it answers {status}") as told:
        asyncio.run(ClientTokens(endpoint.properties).token())
    assert "let me in" not in str(told.value)


def test_an_endpoint_that_is_not_there_is_named(endpoint: Endpoint) -> None:
    away = {**endpoint.properties, f"{BEGINNING}token.endpoint.url": "http://127.0.0.1:1/token"}
    with pytest.raises(TopologyError, match=r"127\.0\.0\.1:1/token gives no token"):
        asyncio.run(ClientTokens(away).token())


def test_faust_asks_for_them(endpoint: Endpoint) -> None:
    found = credentials(endpoint.properties)
    assert isinstance(found, OAuthCredentials)
    assert found.ssl_context is not None
    assert found.protocol.value == "SASL_SSL"
    assert asyncio.run(found.oauth_cb.token()) == "t1"


@pytest.mark.parametrize("name", ["client.id", "client.secret", "token.endpoint.url"])
def test_what_is_missing_is_named(endpoint: Endpoint, name: str) -> None:
    properties = endpoint.properties
    del properties[BEGINNING + name]
    with pytest.raises(ConfigError, match=rf"kafka\.sasl\.oauthbearer\.{name} is missing"):
        credentials(properties)
