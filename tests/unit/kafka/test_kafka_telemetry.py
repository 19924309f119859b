"""What is pushed, by setting; without an endpoint nothing is, and nothing of it is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamsampler.config import ConfigError, Telemetry
from streamsampler.kafka.telemetry import destination


def test_a_worker_that_pushes_nothing_loads_nothing() -> None:
    code = (
        "import sys, streamsampler.kafka.worker, streamsampler.cli.run\n"
        "print([name for name in sys.modules"
        " if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_nothing_is_pushed_by_default() -> None:
    assert Telemetry().endpoint == ""
    assert Telemetry().metrics
    assert not Telemetry().commits


def test_where_it_goes_is_as_it_was_set(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    asked = Telemetry.model_validate(
        {
            "endpoint": "https://otlp.example:4318",
            "headers": {"x-key": "sesame"},
            "compression": "none",
            "timeout_ms": 1_500,
            "tls": {"ca_file": file},
        }
    )
    to = destination(asked)
    assert (to.endpoint, to.protocol) == ("https://otlp.example:4318", "http/protobuf")
    assert (to.headers, to.gzip, to.timeout_seconds) == ({"x-key": "sesame"}, False, 1.5)
    assert to.ca_file == file


@pytest.mark.parametrize("endpoint", ["localhost:4317", "http://localhost:4317"])
def test_grpc_takes_host_and_port_too(endpoint: str) -> None:
    assert destination(Telemetry(endpoint=endpoint, protocol="grpc")).endpoint == endpoint


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"endpoint": "localhost:4318"}, "telemetry.endpoint is localhost:4318: expected a URL"),
        ({"endpoint": "http://localhost:4318/v1/metrics"}, "without /v1"),
        (
            {"endpoint": "http://localhost:4318", "tls": {"ca_file": "/none.pem"}},
            "telemetry.tls.ca_file is /none.pem: there is no such file",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(asked: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        destination(Telemetry.model_validate(asked))


@pytest.mark.parametrize(
    "secret",
    [
        {"endpoint": "http://localhost:4318", "headers": {"x-key": "sesame\n"}},
        {"endpoint": "http://localhost:4318", "headers": {"x-key": " sesame"}},
        {"endpoint": "http://localhost:4318", "headers": {"x-key": "sésame"}},
        {"endpoint": "http://localhost:4318", "headers": {"x key": "sesame"}},
    ],
)
def test_a_secret_that_cannot_be_sent_is_refused_and_not_shown(secret: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.") as raised:
        destination(Telemetry.model_validate(secret))
    assert "same" not in str(raised.value)
