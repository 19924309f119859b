"""`streamsampler replay`: files in, verdicts out, and every bad usage a sentence."""

import base64
import errno
import gzip
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from streamsampler.cli import FAILED, REFUSED, main
from streamsampler.cli.replay import SpreadOptions
from streamsampler.spans.trace_context import read_ot, with_threshold

REAL = Path(__file__).parents[2] / "data" / "real"
KEPT = json.loads((REAL / "kept-by-the-collector.json").read_text())
POLICIES = "--policies", str(REAL / "policies.yaml")
INPUT = "--input", str(REAL / "traces.jsonl.gz")


def replay(*words: object) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, words)])


def spans_by_trace(path: Path) -> Counter[str]:
    spans: Counter[str] = Counter()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            spans.update(span["traceId"] for span in spans_of(json.loads(line)))
    return spans


def spans_of(request: Any) -> list[dict[str, Any]]:
    return [
        span
        for resource_spans in request["resourceSpans"]
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans["spans"]
    ]


def decisions_of(path: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    decisions = {line["trace_id"]: line for line in lines}
    assert len(decisions) == len(lines)
    return decisions


def test_real_traces_are_kept_exactly_as_the_collector_kept_them(tmp_path: Path) -> None:
    output, decisions = tmp_path / "kept.jsonl", tmp_path / "decisions.jsonl"

    result = replay(*POLICIES, *INPUT, "--output", output, "--decisions", decisions)

    assert result.exit_code == 0, result.output
    assert spans_by_trace(output) == KEPT
    lines = decisions_of(decisions)
    assert len(lines) == 240
    assert {i: line["spans"] for i, line in lines.items() if line["decision"] == "sampled"} == KEPT
    assert {"policy", "trigger", "threshold", "adjusted_count", "duration_ms", "tenant"} < set(
        lines[next(iter(KEPT))]
    )
    assert "spans in 3,258 = kept 1,324 + not sampled 1,934" in result.stdout
    assert result.stdout.rstrip().endswith(": holds")


def test_kept_traces_stand_one_a_line_and_can_be_replayed_again(tmp_path: Path) -> None:
    first, second = tmp_path / "kept.jsonl.gz", tmp_path / "again.jsonl"

    assert replay(*POLICIES, *INPUT, "--output", first).exit_code == 0
    assert replay(*POLICIES, "--input", first, "--output", second).exit_code == 0

    with gzip.open(first, "rt") as lines:
        traces = [{span["traceId"] for span in spans_of(json.loads(line))} for line in lines]
    assert all(len(ids) == 1 for ids in traces)
    assert len(traces) == len(KEPT)
    assert spans_by_trace(second) == KEPT


def test_spans_come_out_as_they_went_in_but_for_what_they_state_of_sampling(tmp_path: Path) -> None:
    output = tmp_path / "kept.jsonl"
    assert replay(*POLICIES, *INPUT, "--output", output).exit_code == 0

    with gzip.open(REAL / "traces.jsonl.gz") as lines:
        before = {span["spanId"]: span for line in lines for span in spans_of(json.loads(line))}
    after = {
        span["spanId"]: span
        for line in output.read_text(encoding="utf-8").splitlines()
        for span in spans_of(json.loads(line))
    }
    assert len(after) == sum(KEPT.values())
    stated = {span_id: span.pop("traceState", "") for span_id, span in after.items()}
    came = {span_id: before[span_id].pop("traceState", "").encode() for span_id in after}
    assert after == {span_id: before[span_id] for span_id in after}
    for span_id, state in came.items():
        # Kept for what it is, or by a hash that has no threshold.
        own = read_ot(state).threshold or "0"
        possible = {with_threshold(state, own).decode(), with_threshold(state, None).decode()}
        assert stated[span_id] in possible
    assert "ot=th:0" in stated.values()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        files = [folder / "kept.jsonl.gz", folder / "decisions.jsonl", folder / "report.html"]
        words = zip(("--output", "--decisions", "--report"), files, strict=True)
        assert replay(*POLICIES, *INPUT, *(w for pair in words for w in pair)).exit_code == 0
        written.append([file.read_bytes() for file in files])
    assert written[0] == written[1]


def test_several_inputs_are_read_one_after_the_other(tmp_path: Path) -> None:
    with gzip.open(REAL / "traces.jsonl.gz") as file:
        lines = file.readlines()
    halves = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    halves[0].write_bytes(b"".join(lines[: len(lines) // 2]))
    halves[1].write_bytes(b"".join(lines[len(lines) // 2 :]))
    output = tmp_path / "kept.jsonl"

    result = replay(*POLICIES, "--input", *halves, "--output", output)

    assert result.exit_code == 0, result.output
    assert spans_by_trace(output) == KEPT


def test_bad_records_are_counted_listed_and_passed_over(tmp_path: Path) -> None:
    with gzip.open(REAL / "traces.jsonl.gz") as file:
        good = file.readlines()
    bad = [b"no json\n", b"[1, 2]\n"] + [b'{"resourceSpans": "truncat\n'] * 6
    source = tmp_path / "mixed.jsonl"
    source.write_bytes(b"".join([*good[:5], *bad, *good[5:]]))
    output, report = tmp_path / "kept.jsonl", tmp_path / "report.html"

    result = replay(*POLICIES, "--input", source, "--output", output, "--report", report)

    assert result.exit_code == 0, result.output
    assert spans_by_trace(output) == KEPT
    assert "Bad records: 8" in result.stdout
    assert "mixed.jsonl:6" in "".join(result.stdout.split())
    assert "and 3 more" in result.stdout
    assert "dead-lettered 8 + buffered 0: holds" in result.stdout
    assert "mixed.jsonl:6" in report.read_text(encoding="utf-8")


def test_the_report_is_a_page_with_the_verdicts(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    assert replay(*POLICIES, *INPUT, "--report", report).exit_code == 0

    page = report.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "spans in 3,258 = kept 1,324" in page
    assert page.count("<details") == 8


def test_an_empty_input_is_no_error(tmp_path: Path) -> None:
    source = tmp_path / "empty.jsonl"
    source.touch()
    result = replay(*POLICIES, "--input", source)
    assert result.exit_code == 0
    assert "spans in 0 = kept 0" in result.stdout


def test_standard_input_is_an_input_too() -> None:
    packed = (REAL / "traces.jsonl.gz").read_bytes()
    result = CliRunner().invoke(main, ["replay", *POLICIES, "--input", "-"], input=packed)
    assert result.exit_code == 0, result.output
    assert "kept 1,324" in result.stdout


def test_protobuf_messages_are_read_by_their_lengths(tmp_path: Path) -> None:
    source, output = tmp_path / "traces.bin", tmp_path / "kept.jsonl"
    with gzip.open(REAL / "otlp-proto-without-key.jsonl.gz") as lines:
        values = [base64.b64decode(json.loads(line)["value"]) for line in lines]
    source.write_bytes(b"".join(len(value).to_bytes(4, "big") + value for value in values))

    result = replay(*POLICIES, "--input", source, "--format", "otlp_proto", "--output", output)

    assert result.exit_code == 0, result.output
    assert spans_by_trace(output) == KEPT


def test_an_input_that_is_cut_off_is_a_sentence(tmp_path: Path) -> None:
    source = tmp_path / "traces.jsonl.gz"
    source.write_bytes((REAL / "traces.jsonl.gz").read_bytes()[:50_000])

    result = replay(*POLICIES, "--input", source)

    assert result.exit_code == REFUSED
    assert result.stderr.splitlines()[-1].startswith(f"Error: {source}: the gzip data is cut off")


def test_a_policy_set_that_cannot_be_used_is_refused_with_its_place(tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies:\n  - {name: errors, type: status_codes}\n")

    result = replay("--policies", policies, *INPUT)

    assert result.exit_code == REFUSED
    assert result.stderr.startswith(f"Error: {policies}:2:")
    assert "Traceback" not in result.stderr


def test_what_is_not_text_is_no_policy_set(tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_bytes(b"policies: \xff")
    result = replay("--policies", policies, *INPUT)
    assert result.exit_code == REFUSED
    assert "byte 10 is no UTF-8" in result.stderr


@pytest.mark.parametrize("option", ["--output", "--decisions", "--report"])
def test_an_input_is_never_written_over(option: str, tmp_path: Path) -> None:
    source = tmp_path / "traces.jsonl"
    source.write_bytes(b"")
    link = tmp_path / "link.jsonl"
    link.symlink_to(source)
    second_name = tmp_path / "second.jsonl"
    second_name.hardlink_to(source)
    for target in (source, link, second_name):
        result = replay(*POLICIES, "--input", source, option, target)
        assert result.exit_code == REFUSED
        assert "write to another file" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing option '--policies'"),
        ((*POLICIES,), "Missing option '--input'"),
        ((*POLICIES, "--input", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--policies", "nowhere.yaml", *INPUT), "nowhere.yaml"),
        ((*POLICIES, *INPUT, "--output", "nowhere/kept.jsonl"), "make the directory nowhere"),
        ((*POLICIES, *INPUT, "--output", REAL), "is a directory"),
        ((*POLICIES, *INPUT, "--output", "a", "--report", "a"), "what --output writes"),
        ((*POLICIES, *INPUT, "--output", POLICIES[1]), "is the policy set"),
        ((*POLICIES, *INPUT, "--format", "xml"), "'xml' is not one of"),
        ((*POLICIES, "--input", REAL), "is a directory"),
    ],
)
def test_bad_usage_is_a_sentence(words: tuple[object, ...], said: str) -> None:
    result = replay(*words)
    assert result.exit_code == REFUSED
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("option", ["--output", "--decisions", "--report"])
def test_a_disk_that_is_full_is_a_sentence_with_the_file(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "result"
    opened = Path.open

    def on_full_disk(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        return FullDisk() if path == target else opened(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", on_full_disk)

    result = replay(*POLICIES, *INPUT, option, target)

    assert result.exit_code == FAILED
    assert f"Error: {target}: No space left on device." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "inputs"),
    [
        (["--input", "a"], ["a"]),
        (["--input", "a", "b", "c"], ["a", "b", "c"]),
        (["--input", "a", "b", "--flag", "--input", "c", "d"], ["a", "b", "c", "d"]),
        (["--input=a", "b", "--flag"], ["a", "b"]),
        (["--flag", "--input", "a", "--input", "b"], ["a", "b"]),
    ],
)
def test_inputs_may_follow_one_flag_or_have_one_each(words: list[str], inputs: list[str]) -> None:
    @click.command(cls=SpreadOptions)
    @click.option("--input", "inputs", multiple=True)
    @click.option("--flag", is_flag=True)
    def command(*, inputs: tuple[str, ...], flag: bool) -> None:
        click.echo(json.dumps([flag, inputs]))

    result = CliRunner().invoke(command, words)
    assert json.loads(result.output) == ["--flag" in words, inputs]
