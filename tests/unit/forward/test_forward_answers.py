"""What an endpoint's answer means, and how long to wait after it."""

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from streamsampler.forward.answers import Answer, Fate, of_grpc, of_http
from streamsampler.forward.backoff import delay_ms
from streamsampler.forward.grpc import target_of
from streamsampler.forward.http import url_of

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (200, Fate.ACCEPTED), (202, Fate.ACCEPTED),
        (429, Fate.AGAIN), (502, Fate.AGAIN), (503, Fate.AGAIN), (504, Fate.AGAIN),
        (400, Fate.REFUSED), (413, Fate.REFUSED), (422, Fate.REFUSED), (500, Fate.REFUSED),
        (301, Fate.REFUSED),
        (401, Fate.STOP), (403, Fate.STOP), (404, Fate.STOP), (405, Fate.STOP),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, fate: Fate) -> None:
    assert of_http(status, {}, b"", NOW_MS).fate is fate


@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        ("7", 7_000),
        (" 0 ", 0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10_000),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_an_endpoint_may_say_when(value: str, wait_ms: int | None) -> None:
    assert of_http(503, {"retry-after": value}, b"", NOW_MS).wait_ms == wait_ms


def test_a_partial_success_counts_what_was_rejected() -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 3
    response.partial_success.error_message = "too old"
    answer = of_http(200, {}, response.SerializeToString(), NOW_MS)
    assert answer == Answer(Fate.ACCEPTED, "too old", 3)


def test_an_answer_that_is_no_protobuf_is_accepted_all_the_same() -> None:
    assert of_http(200, {}, b"{}", NOW_MS) == Answer(Fate.ACCEPTED)


@pytest.mark.parametrize(
    ("code", "fate"),
    [
        (StatusCode.UNAVAILABLE, Fate.AGAIN), (StatusCode.DEADLINE_EXCEEDED, Fate.AGAIN),
        (StatusCode.CANCELLED, Fate.AGAIN), (StatusCode.ABORTED, Fate.AGAIN),
        (StatusCode.OUT_OF_RANGE, Fate.AGAIN), (StatusCode.DATA_LOSS, Fate.AGAIN),
        (StatusCode.RESOURCE_EXHAUSTED, Fate.REFUSED), (StatusCode.INVALID_ARGUMENT, Fate.REFUSED),
        (StatusCode.INTERNAL, Fate.REFUSED), (StatusCode.UNKNOWN, Fate.REFUSED),
        (StatusCode.UNAUTHENTICATED, Fate.STOP), (StatusCode.PERMISSION_DENIED, Fate.STOP),
        (StatusCode.UNIMPLEMENTED, Fate.STOP),
    ],
)  # fmt: skip
def test_what_a_code_means(code: StatusCode, fate: Fate) -> None:
    assert of_grpc(code, "words", b"").fate is fate


def test_who_is_exhausted_and_says_when_is_asked_again() -> None:
    info = Any()
    info.Pack(RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000)))
    details = Status(details=[info]).SerializeToString()
    answer = of_grpc(StatusCode.RESOURCE_EXHAUSTED, "full", details)
    assert (answer.fate, answer.wait_ms) == (Fate.AGAIN, 2_500)
    assert of_grpc(StatusCode.RESOURCE_EXHAUSTED, "full", b"\xff").fate is Fate.REFUSED


@given(
    st.integers(0, 1_000), st.floats(0, 1), st.integers(1, 10_000), st.integers(1, 100_000),
    st.none() | st.integers(0, 1_000_000),
)  # fmt: skip
def test_a_delay_is_within_its_bounds(
    attempt: int, chance: float, least: int, most: int, told: int | None
) -> None:
    delay = delay_ms(attempt, chance, least, most, told)
    assert (told or 0) <= delay <= max(most, told or 0)


@pytest.mark.parametrize(
    ("attempt", "delay"), [(0, 1_000), (1, 2_000), (4, 16_000), (5, 30_000), (999, 30_000)]
)
def test_a_delay_doubles_up_to_the_most(attempt: int, delay: int) -> None:
    assert delay_ms(attempt, 1.0, 1_000, 30_000, None) == delay
    assert delay_ms(attempt, 0.5, 1_000, 30_000, None) == delay // 2


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://here:4318", "http://here:4318/v1/traces"),
        ("http://here:4318/", "http://here:4318/v1/traces"),
        ("https://api.there/otlp", "https://api.there/otlp/v1/traces"),
        ("https://api.there/otlp/v1/traces", "https://api.there/otlp/v1/traces"),
    ],
)
def test_where_requests_go(endpoint: str, url: str) -> None:
    assert url_of(endpoint) == url


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("here:4317", ("here:4317", False)),
        ("http://here:4317", ("here:4317", True)),
        ("https://here:4317/", ("here:4317", False)),
    ],
)
def test_where_calls_go(endpoint: str, target: tuple[str, bool]) -> None:
    assert target_of(endpoint) == target
