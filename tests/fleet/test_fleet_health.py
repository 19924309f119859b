"""How services do, told by three workers from some of their traces, kept or not."""

import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.config import Settings
from tests.fleet.conftest import Start
from tests.fleet.traces import Sender
from tests.integration.control_plane import App, running
from tests.integration.sampling import wait_until

TRACES = 16_000
ONE_IN = 4
OFF = 4 * ((ONE_IN - 1) / TRACES) ** 0.5
"""Four standard errors of a number that is told from one trace in so many: 5.5 %."""
SECONDS = 60
"""Of stream time; the traces come as fast as they can."""
MS = 1_000_000
AHEAD_MS = 30
SERVER, CLIENT, CONSUMER = 2, 3, 5
POLICIES = """
decision_wait: 2s
completion_grace: 500ms
policies:
  - {name: nothing, type: string_attribute, string_attribute: {key: nobody, values: [has it]}}
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    asked = settings.health.model_copy(update={"one_in": ONE_IN})
    return settings.model_copy(update={"health": asked})


def call(trace_id: bytes, now_ms: int, number: int) -> bytes:
    """The shop asks the cart, whose clock is ahead; every fourth time mail has lost the context."""
    data = TracesData()
    cart = now_ms + 20 + AHEAD_MS
    spans = [
        ("shop", b"shop....", b"", SERVER, now_ms, now_ms + 200),
        ("shop", b"ask.....", b"shop....", CLIENT, now_ms + 10, now_ms + 110),
        ("cart", b"cart....", b"ask.....", SERVER, cart, cart + 80),
    ]
    if number % 4 == 0:
        spans.append(("mail", b"mail....", b"", CONSUMER, now_ms, now_ms + 5))
    for service, span_id, parent_id, kind, start_ms, end_ms in spans:
        of_service = data.resource_spans.add()
        of_service.resource.attributes.add(key="service.name").value.string_value = service
        of_service.scope_spans.add().spans.add(
            trace_id=trace_id, span_id=span_id, parent_span_id=parent_id, name="op",
            kind=kind, start_time_unix_nano=start_ms * MS, end_time_unix_nano=end_ms * MS,
        )  # fmt: skip
    return data.SerializeToString()


def figures(app: App) -> dict[str, dict[str, Any]]:
    """Of services by name, of pairs by both."""
    page = app.page("/health/")
    found = {row["service"]: row for row in page["services"]}
    return found | {f"{row['caller']}>{row['callee']}": row for row in page["pairs"]}


def settled(app: App) -> bool:
    """Whether there are figures, and none that came in the last three seconds."""
    before = figures(app)
    time.sleep(3.0)  # three commits and a round of publishing
    return bool(before) and figures(app) == before


def test_services_and_who_calls_whom(settings: Settings, fleet: Start, tmp_path: Path) -> None:
    fleet(POLICIES)
    sender = Sender(settings)
    began_ms = int(time.time() * 1_000) - SECONDS * 1_000
    for number in range(TRACES):
        trace_id = (number * 0x9E3779B97F4A7C15 % 2**64 << 64 | number * 2654435761).to_bytes(
            16, "big"
        )
        now_ms = began_ms + number * SECONDS * 1_000 // TRACES
        sender.send(trace_id, call(trace_id, now_ms, number), now_ms)
    sender.flush()
    with running("health", settings, tmp_path) as app:
        wait_until(lambda: len(app.shards()) > 0, "the app")
        wait_until(lambda: settled(app), "its figures")
        found = figures(app)
    near = pytest.approx(TRACES, rel=OFF)
    assert found["cart"]["spans"] == found["cart"]["entry_spans"] == near
    assert found["shop"]["spans"] == 2 * found["shop"]["entry_spans"]
    assert found["mail"]["lost_context"] == found["mail"]["spans"] > 0
    assert found["shop>cart"]["calls"] == found["cart"]["spans"]
    assert found["shop>cart"]["clock_skew_ms"] == pytest.approx(AHEAD_MS)
    assert [name for name in found if ">" in name] == ["shop>cart"]
