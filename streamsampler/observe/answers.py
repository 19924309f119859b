"""What the health server says: pages made from a worker's standing."""

import hmac
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Final

from streamsampler.observe.metrics import Metrics
from streamsampler.observe.standing import PartitionStanding, WorkerStanding, liveness

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
PATHS: Final = ("/livez", "/readyz", "/status", "/metrics")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: Its code.
        content_type: Of the body.
        body: What it says.
    """

    status: HTTPStatus
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Sources:
    """What answers are made of; asked for in the server's threads.

    Attributes:
        read: The worker's standing.
        metrics: Its metrics.
        monotonic_ms: The clock of the standing's `last_turn_ms`.
        limit_ms: How long a turn of the worker's loop may take.
        token: What a client must say to see more than health and metrics; empty: nothing.
    """

    read: Callable[[], WorkerStanding]
    metrics: Metrics
    monotonic_ms: Callable[[], int]
    limit_ms: int
    token: str = ""

    def knows(self, authorization: str) -> bool:
        """Tell whether a client may see more than health and metrics.

        Args:
            authorization: The request's `Authorization` header.

        Returns:
            Whether it has the token, or none is wanted.
        """
        wanted = f"Bearer {self.token}".encode()
        return not self.token or hmac.compare_digest(authorization.encode(), wanted)


def answer(path: str, accept: str, sources: Sources, authorization: str = "") -> Answer:
    """Answer a question.

    Args:
        path: Without a query.
        accept: The request's `Accept` header, for the metrics.
        sources: What to answer from.
        authorization: The request's `Authorization` header.

    Returns:
        200; 401 where a token is wanted that the client has not; 503 with the reasons where the
        worker does not live or is not ready; 404 elsewhere.
    """
    if path == "/metrics":
        content_type, body = sources.metrics.exposition(accept)
        return Answer(HTTPStatus.OK, content_type, body)
    if path not in PATHS:
        return sentence(HTTPStatus.NOT_FOUND, f"there is nothing here; ask for {_among(PATHS)}")
    if path == "/status" and not sources.knows(authorization):
        return sentence(
            HTTPStatus.UNAUTHORIZED,
            "this page wants the token of http.token, as `Authorization: Bearer ...`",
        )
    standing = sources.read()
    dead = liveness(standing.last_turn_ms, sources.monotonic_ms(), sources.limit_ms)
    if path == "/status":
        return Answer(HTTPStatus.OK, JSON, _document(standing, dead))
    reasons = standing.reasons if path == "/readyz" else ()
    if dead:
        reasons = (dead, *reasons)
    if reasons:
        return sentence(HTTPStatus.SERVICE_UNAVAILABLE, *reasons)
    return Answer(HTTPStatus.OK, TEXT, b"ready\n" if path == "/readyz" else b"alive\n")


def sentence(status: HTTPStatus, *sentences: str) -> Answer:
    """Answer with sentences, a line each.

    Args:
        status: The code.
        sentences: Without their periods.

    Returns:
        The answer.
    """
    return Answer(status, TEXT, "".join(f"{one}.\n" for one in sentences).encode())


def _among(paths: tuple[str, ...]) -> str:
    return f"{', '.join(paths[:-1])} or {paths[-1]}"


def _document(standing: WorkerStanding, dead: str) -> bytes:
    """The standing as JSON; nothing in it is secret, and there is no page that changes anything."""
    reasons = (dead, *standing.reasons) if dead else standing.reasons
    document = {
        "worker": standing.worker,
        "version": standing.version,
        "guarantee": standing.guarantee,
        "policy_version": standing.policy_version,
        "policy_versions": dict(standing.policy_versions),
        "alive": not dead,
        "ready": not reasons,
        "reasons": reasons,
        "partitions": [_partition(one) for one in standing.partitions],
        "totals": {**asdict(standing.totals), "counts": standing.totals.counts.told()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _partition(one: PartitionStanding) -> dict[str, object]:
    return {
        **asdict(one),
        "counts": one.counts.told(),
        "lag": one.lag,
        "unaccounted": one.unaccounted,
    }
