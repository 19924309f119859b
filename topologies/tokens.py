"""Tokens for SASL/OAUTHBEARER, as librdkafka gets them with `sasl.oauthbearer.method: oidc`.

Source: RFC 6749, sections 2.3.1 (who asks) and 4.4 (the client-credentials grant).
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote_plus, urlencode

import urllib3
from aiokafka.abc import AbstractTokenProvider

from streamsampler.config import ConfigError
from topologies.errors import TopologyError

METHOD: Final = "oidc"
PREFIX: Final = "sasl.oauthbearer."
NEEDED: Final = ("client.id", "client.secret", "token.endpoint.url")
TOKEN_PROPERTIES: Final = frozenset(
    {
        f"{PREFIX}{name}"
        for name in ("method", "client.id", "client.secret", "token.endpoint.url", "scope",
                     "extensions")
    }
)  # fmt: skip
USED_SHARE: Final = 0.8
"""Of a token's life; then another is asked for, as librdkafka does."""
DEFAULT_LIFE_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0


class ClientTokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Asks an endpoint for tokens and uses each for most of its life; for any loop and thread.

    Args:
        properties: librdkafka's, as under `kafka` in the settings.
        seconds: A monotonic clock.

    Raises:
        ConfigError: A property is missing, or asks for another way to get tokens.
    """

    def __init__(
        self, properties: Mapping[str, str], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        method = properties.get(f"{PREFIX}method", "default")
        if method != METHOD:
            raise ConfigError(
                f"kafka.{PREFIX}method is {method}, which a topology cannot use: expected {METHOD}."
            )
        for name in NEEDED:
            if not properties.get(PREFIX + name):
                raise ConfigError(
                    f"kafka.{PREFIX}{name} is missing; kafka.{PREFIX}method asks for it."
                )
        given = {name: properties.get(PREFIX + name, "") for name in (*NEEDED, "scope")}
        self._url = given["token.endpoint.url"]
        who = ":".join(quote_plus(given[name]) for name in ("client.id", "client.secret"))
        self._headers = {
            **urllib3.make_headers(basic_auth=who),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        form = {"grant_type": "client_credentials"}
        self._body = urlencode({**form, "scope": given["scope"]} if given["scope"] else form)
        self._extensions = dict(
            pair.split("=", 1)
            for pair in properties.get(f"{PREFIX}extensions", "").split(",")
            if "=" in pair
        )
        self._http = urllib3.PoolManager(ca_certs=properties.get("https.ca.location"))
        self._seconds = seconds
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """Give a token that is good for a while; asks for one in another thread if need be.

        Raises:
            TopologyError: None was given.
        """
        return await asyncio.to_thread(self._current)

    def extensions(self) -> dict[str, str]:
        """Give what is told to brokers besides."""
        return self._extensions

    def _current(self) -> str:
        with self._lock:
            now = self._seconds()
            if now >= self._until:
                self._token, life = self._ask()
                self._until = now + USED_SHARE * life
            return self._token

    def _ask(self) -> tuple[str, float]:
        """A new token and how long it lives, in seconds."""
        try:
            answer = self._http.request(
                "POST", self._url, body=self._body, headers=self._headers, redirect=False,
                retries=False, timeout=ANSWER_SECONDS,
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as error:
            raise TopologyError(f"{self._url} gives no token: {error}.") from error
        try:
            said = answer.json()
            token, life = str(said["access_token"]), float(said.get("expires_in") or 0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TopologyError(
                f"{self._url} gives no token: it answers {answer.status} without an access_token; "
                f"check kafka.{PREFIX}client.id, client.secret and scope."
            ) from error
        return token, life or DEFAULT_LIFE_SECONDS
