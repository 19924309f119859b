"""Tokens for OAUTHBEARER: asked for as RFC 6749 has it, and used for most of their life."""

import asyncio
from collections.abc import Iterator

import pytest
from faust.auth import OAuthCredentials

from streamsampler.config import ConfigError
from tests.token_endpoint import BEGINNING, TokenEndpoint
from topologies.errors import TopologyError
from topologies.security import credentials
from topologies.tokens import ClientTokens


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint(lambda number: f"t{number}") as serving:
        yield serving


def test_a_token_is_used_for_most_of_its_life(endpoint: TokenEndpoint) -> None:
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
    endpoint: TokenEndpoint, status: int, body: bytes
) -> None:
    endpoint.status, endpoint.body = status, body
    with pytest.raises(TopologyError, match=rf"/token gives no token: it answers {status}") as told:
        asyncio.run(ClientTokens(endpoint.properties).token())
    assert "let me in" not in str(told.value)


def test_an_endpoint_that_is_not_there_is_named(endpoint: TokenEndpoint) -> None:
    away = {**endpoint.properties, f"{BEGINNING}token.endpoint.url": "http://127.0.0.1:1/token"}
    with pytest.raises(TopologyError, match=r"127\.0\.0\.1:1/token gives no token"):
        asyncio.run(ClientTokens(away).token())


def test_faust_asks_for_them(endpoint: TokenEndpoint) -> None:
    found = credentials(endpoint.properties)
    assert isinstance(found, OAuthCredentials)
    assert found.ssl_context is not None
    assert found.protocol.value == "SASL_SSL"
    assert asyncio.run(found.oauth_cb.token()) == "t1"


@pytest.mark.parametrize("name", ["client.id", "client.secret", "token.endpoint.url"])
def test_what_is_missing_is_named(endpoint: TokenEndpoint, name: str) -> None:
    properties = endpoint.properties
    del properties[BEGINNING + name]
    with pytest.raises(ConfigError, match=rf"kafka\.sasl\.oauthbearer\.{name} is missing"):
        credentials(properties)
