"""`streamsampler config show`: what is in effect, where it came from, and no secrets."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from streamsampler.cli import REFUSED, main
from streamsampler.config import Settings, load_settings

FILE = """
kafka:
  bootstrap.servers: here:9092
  sasl.password: hunter2
group_id: mine
store: {path: /spans}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMSAMPLER_KAFKA__SSL_KEY_PASSWORD", "hunter3")
    monkeypatch.setenv("STREAMSAMPLER_LIMITS__SPANS_PER_TRACE", "77")
    made = tmp_path / "settings.yaml"
    made.write_text(FILE)
    return made


def show(*arguments: str | Path) -> str:
    done = CliRunner().invoke(main, ["config", "show", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_each_setting_says_where_it_came_from(file: Path) -> None:
    found = json.loads(show("--config", file, "--set", "log.level=debug", "--json"))
    assert found["group_id"] == {"value": "mine", "origin": f"{file}:5:1"}
    assert found["store.path"]["origin"] == f"{file}:6:9"
    assert found["limits.spans_per_trace"] == {
        "value": 77,
        "origin": "STREAMSAMPLER_LIMITS__SPANS_PER_TRACE",
    }
    assert found["log.level"] == {"value": "debug", "origin": "--set"}
    assert found["commit_interval_ms"] == {"value": 500, "origin": "default"}


@pytest.mark.parametrize("section", ["forward", "telemetry"])
def test_headers_are_masked_whatever_their_names(
    file: Path, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    name = f"STREAMSAMPLER_{section.upper()}__HEADERS"
    monkeypatch.setenv(name, '{"x-team": "hunter6"}')
    found = json.loads(show("--config", file, "--json"))
    assert found[f"{section}.headers.x-team"]["value"] == "***"
    assert "hunter6" not in show("--config", file)


def test_secrets_are_masked_wherever_they_came_from(file: Path) -> None:
    for flags in ((), ("--json",)):
        more = ("--set", "kafka.ssl.key.pem=hunter4", "--set", "http.token=hunter5")
        text = show("--config", file, *more, *flags)
        assert "hunter" not in text
        assert text.count("***") == 4


@pytest.mark.parametrize(
    ("setting", "hidden"),
    [
        ("kafka.sasl.oauthbearer.client.secret", True),
        ("kafka.sasl.oauthbearer.config", True),
        ("kafka.sasl.oauthbearer.assertion.private.key.passphrase", True),
        ("kafka.ssl.keystore.password", True),
        ("kafka.ssl.key.password", True),
        ("kafka.ssl.certificate.pem", True),
        ("forward.headers.x-api-key", True),
        ("http.token", True),
        ("kafka.sasl.oauthbearer.token.endpoint.url", False),
        ("kafka.sasl.oauthbearer.client.id", False),
        ("kafka.sasl.username", False),
        ("kafka.ssl.keystore.location", False),
    ],
)
def test_what_is_a_secret(file: Path, setting: str, hidden: bool) -> None:  # noqa: FBT001
    found = json.loads(show("--config", file, "--set", f"{setting}=hunter6", "--json"))
    assert found[setting]["value"] == ("***" if hidden else "hunter6")


def test_what_is_shown_reads_back_as_the_same_settings(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = show("--config", file)
    before = load_settings(file)
    monkeypatch.delenv("STREAMSAMPLER_KAFKA__SSL_KEY_PASSWORD")
    monkeypatch.delenv("STREAMSAMPLER_LIMITS__SPANS_PER_TRACE")
    again = tmp_path / "again.yaml"
    again.write_text(text)
    after = load_settings(again)
    assert after.model_dump(exclude={"kafka"}) == before.model_dump(exclude={"kafka"})
    assert yaml.safe_load(text).keys() == Settings.model_fields.keys()


def test_a_variable_with_a_slip_is_refused_and_one_of_kubernetes_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMSAMPLER_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("STREAMSAMPLER_PORT_9478_TCP_ADDR", "10.0.0.1")
    show("--config", file)
    monkeypatch.setenv("STREAMSAMPLER_GRUOP_ID", "mine")
    done = CliRunner().invoke(main, ["config", "show", "--config", str(file)])
    assert done.exit_code == REFUSED
    assert "STREAMSAMPLER_GRUOP_ID: GRUOP_ID is no setting; did you mean GROUP_ID?" in done.output
