"""Who may see what: health and metrics are for all, the status page for who has the token."""

import json
from http import HTTPStatus

import pytest

from streamsampler.observe.answers import PATHS, Sources, answer
from streamsampler.observe.vitals import Vitals
from streamsampler.outcome import Counts
from tests.unit.observe.test_observe_metrics import COUNTS, FOURTH

TOKEN = "open sesame"


def sources(token: str) -> Sources:
    vitals = Vitals("pod-1", "0.1.0", "exactly_once", now_ms=0)
    vitals.show("v7", [], settled=True)
    return Sources(vitals.read, vitals.metrics, lambda: 0, 1_000, token)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_all_is_for_all(path: str) -> None:
    assert answer(path, "", sources("")).status is HTTPStatus.OK


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", HTTPStatus.OK),
        ("", HTTPStatus.UNAUTHORIZED),
        (TOKEN, HTTPStatus.UNAUTHORIZED),
        ("Bearer open sesam", HTTPStatus.UNAUTHORIZED),
        ("Bearer öpen sesame", HTTPStatus.UNAUTHORIZED),
    ],
)
def test_the_status_page_wants_the_token(authorization: str, status: HTTPStatus) -> None:
    given = answer("/status", "", sources(TOKEN), authorization)
    assert given.status is status
    assert (b"pod-1" in given.body) == (status is HTTPStatus.OK)
    assert TOKEN.encode() not in given.body


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/status"])
def test_health_and_metrics_want_no_token(path: str) -> None:
    assert answer(path, "", sources(TOKEN)).status is HTTPStatus.OK


def test_the_status_page_tells_counts_in_words() -> None:
    vitals = Vitals("pod-1", "0.1.0", "exactly_once", now_ms=0)
    vitals.committed({4: COUNTS}, None)
    vitals.show("v7", [FOURTH], settled=True)
    told = answer("/status", "", Sources(vitals.read, vitals.metrics, lambda: 0, 1_000))
    document = json.loads(told.body)
    assert document["totals"] == {
        "counts": COUNTS.told(), "handed_over": 0, "traces_handed_over": 0,
    }  # fmt: skip
    (partition,) = document["partitions"]
    assert partition["counts"] == COUNTS.told() != Counts().told()
    assert (partition["lag"], partition["block_bytes"]) == (40, 3_500)
