"""Export requests over HTTP, as protobuf."""

import gzip
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from streamsampler.config import Forward
from streamsampler.forward.answers import Answer, Fate, of_http

TRACES_PATH: Final = "/v1/traces"

Send = Callable[[bytes], Answer]


def url_of(endpoint: str) -> str:
    """Tell where requests go: the endpoint, or /v1/traces below it where it names no such path.

    Args:
        endpoint: As it was set.

    Returns:
        The URL.
    """
    path = urlsplit(endpoint).path
    return endpoint if path.endswith(TRACES_PATH) else endpoint.rstrip("/") + TRACES_PATH


def http_sender(settings: Forward) -> Send:
    """Make what sends requests over HTTP.

    Args:
        settings: Where, and how.

    Returns:
        Takes a serialized request; tells what became of it.
    """
    url = url_of(settings.endpoint)
    headers = {"content-type": "application/x-protobuf", **settings.headers}
    compressed = settings.compression == "gzip"
    if compressed:
        headers["content-encoding"] = "gzip"
    tls: dict[str, Any] = {
        "ca_certs": settings.tls.ca_file and str(settings.tls.ca_file),
        "cert_file": settings.tls.cert_file and str(settings.tls.cert_file),
        "key_file": settings.tls.key_file and str(settings.tls.key_file),
    }
    pool = urllib3.PoolManager(**{name: value for name, value in tls.items() if value})

    def send(request: bytes) -> Answer:
        try:
            answer = pool.request(
                "POST",
                url,
                body=gzip.compress(request, compresslevel=1, mtime=0) if compressed else request,
                headers=headers,
                timeout=settings.timeout_ms / 1_000,
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:  # not reached, or no answer in time
            return Answer(Fate.AGAIN, str(error))
        told = {name.lower(): value for name, value in answer.headers.items()}
        return of_http(answer.status, told, answer.data, time.time_ns() // 1_000_000)

    return send
