"""The generate command, from its flags to its files."""

import gzip
import json
import signal
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamsampler.cli.generate import generate
from streamsampler.policies import load_policy_set
from streamsampler.traffic import Traffic, TrafficSettings, judge

_POLICIES = """
decision_wait: 4s
completion_grace: 1s
policies:
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 300}}
  - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 20}}
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(generate, [str(argument) for argument in arguments])


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yaml"
    path.write_text(_POLICIES)
    return path


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_the_same_flags_give_the_same_file(tmp_path: Path, name: str) -> None:
    contents = []
    for _ in range(2):
        result = run("--output", tmp_path / name, "--traces", 20, "--start", "2026-05-01T12:00:00Z")
        assert result.exit_code == 0, result.output
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    text = gzip.decompress(contents[0]) if name.endswith(".gz") else contents[0]
    traces = {
        span["traceId"]
        for line in text.splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }
    assert len(traces) == 20


def test_a_file_of_protobuf_is_framed(tmp_path: Path) -> None:
    path = tmp_path / "t.bin"
    assert (
        run("--output", path, "--format", "otlp-proto", "--traces", 5, "--start", 5000).exit_code
        == 0
    )
    content = path.read_bytes()
    values = []
    while content:
        length = int.from_bytes(content[:4], "big")
        values.append(content[4 : 4 + length])
        content = content[4 + length :]
    assert values == [
        record.value for record in Traffic(TrafficSettings(traces=5, start_ms=5000)).records()
    ]


def test_standard_output_gets_the_records_and_nothing_else() -> None:
    result = run("--output", "-", "--format", "kafka-jsonl", "--traces", 5, "--bad-records", 3)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {tuple(line) for line in lines} == {
        ("partition", "timestamp_ms", "key", "headers", "value")
    }
    assert (
        f"5 traces in {len(lines)} records, 3 of them hostile, to standard output" in result.stderr
    )


def test_without_a_start_the_traffic_lies_in_the_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = 1_800_000_012_345
    monkeypatch.setattr("streamsampler.cli.generate.time.time_ns", lambda: now_ms * 1_000_000)
    path = tmp_path / "t.jsonl"
    run("--output", path, "--format", "kafka-jsonl", "--traces", 50)
    times = [json.loads(line)["timestamp_ms"] for line in path.read_text().splitlines()]
    assert now_ms - 180_000 < min(times)
    assert max(times) < now_ms


def test_the_oracle_file_has_the_verdict_of_each_trace(tmp_path: Path, policies: Path) -> None:
    path = tmp_path / "oracle.jsonl"
    result = run(
        "--output", tmp_path / "t.jsonl", "--traces", 150, "--start", 5000,
        "--policies", policies, "--oracle", path, "--late-share", 0.1, "--duplicate-share", 0.1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    policy_set = load_policy_set(_POLICIES, "test")
    chosen = TrafficSettings(traces=150, start_ms=5000, late_share=0.1, duplicate_share=0.1)
    traffic = Traffic(chosen.fitted(4_000, 1_000))
    written = list(traffic.records())
    assert lines == [judge(trace, policy_set).line() for trace in traffic.traces]
    assert sum(line["records"] for line in lines) == len(written)
    assert Counter(line["decision"] for line in lines).keys() == {"sampled", "not_sampled"}
    assert {line["policy"] for line in lines} == {"errors", "slow", "some", None}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "Say where to write"),
        (("--output", "x", "--topic", "y", "--bootstrap", "z:1"), "give one of them"),
        (("--topic", "y"), "A topic needs a broker"),
        (("--bootstrap", "z:1"), "--bootstrap needs --topic"),
        (("--topic", "y", "--bootstrap", "z:1", "--config", "c"), "one of them"),
        (("--topic", "y", "--bootstrap", "z:1", "--rate", 5, "--start", 0), "leave --start out"),
        (("--output", "x", "--oracle", "y"), "--oracle needs --policies"),
        (
            ("--output", "x", "--policies", "absent.yaml"),
            "absent.yaml: cannot be read: No such file",
        ),
        (("--output", "x", "--traces", 0, "--bad-records", 1), "give --traces a number"),
        (("--output", "x", "--traces", -1), "x>=0"),
        (("--output", "x", "--rate", 0), "x>0"),
        (("--output", "x", "--start", "tomorrow"), "'tomorrow' is neither milliseconds"),
        (("--output", "x", "--start", 0), "start_ms is 0: it must be greater than max_skew_ms 250"),
        (("--output", "x", "--late-share", 2), "0<=x<=1"),
        (("--topic", "y", "--config", "absent.yaml"), "absent.yaml: cannot be read"),
    ],
)
def test_wrong_flags_exit_with_2_and_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[object, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*flags)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_an_oracle_that_would_be_wrong_is_refused(tmp_path: Path, policies: Path) -> None:
    result = run(
        "--output", tmp_path / "t", "--policies", policies, "--oracle", tmp_path / "o",
        "--late-after", 100,
    )  # fmt: skip
    assert result.exit_code == 2
    assert "late_after_ms 100 must be greater than" in result.stderr


def test_a_file_that_cannot_be_written_fails_with_its_name(tmp_path: Path) -> None:
    result = run("--output", tmp_path / "absent" / "t.jsonl", "--traces", 1)
    assert result.exit_code == 1
    assert f"{tmp_path / 'absent' / 't.jsonl'}: No such file or directory" in result.stderr


def test_a_topic_that_cannot_be_reached_fails_with_the_reason(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "topics: {input: spans}\n"
        "kafka: {bootstrap.servers: '127.0.0.1:1', message.timeout.ms: 50, fetch.wait.max.ms: 9}\n"
    )
    result = run("--config", config, "--traces", 2)
    assert result.exit_code == 1
    assert "records were not written to topic spans:" in result.stderr
    assert "Local: Message timed out" in result.stderr


@pytest.mark.parametrize("content", ["kafka: [", "other: 1", "kafka: {acks: all}", "7"])
def test_a_config_without_a_broker_is_refused(tmp_path: Path, content: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(content)
    result = run("--topic", "spans", "--config", config)
    assert result.exit_code == 2
    assert str(config) in result.stderr


def test_ctrl_c_ends_between_two_records_and_says_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0

    def interrupting(_: object) -> bytes:
        nonlocal made
        made += 1
        if made == 10:
            signal.raise_signal(signal.SIGINT)
        return b"line\n"

    monkeypatch.setattr("streamsampler.cli.generate.FORMATS", {"otlp-json": interrupting})
    before = signal.getsignal(signal.SIGINT)
    path = tmp_path / "t.jsonl.gz"
    result = run("--output", path, "--traces", 100)
    assert result.exit_code == 130
    assert result.stderr.startswith("Stopped. Wrote ")
    assert "in 10 records" in result.stderr
    assert gzip.decompress(path.read_bytes()) == b"line\n" * 10
    assert signal.getsignal(signal.SIGINT) is before
