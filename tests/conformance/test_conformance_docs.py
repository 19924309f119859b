"""The examples of docs/policies, a page for each type, over the engine and over a replay."""

import json
import re
import shlex
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from streamsampler.cli import main
from streamsampler.policies import load_policy_set
from streamsampler.policies.types import TYPES
from streamsampler.report.otlp_json import trace_line
from streamsampler.sampler import Decision, Sampler
from streamsampler.spans.records import join
from streamsampler.store import BlockStore

PAGES = Path(__file__).resolve().parents[2] / "docs" / "policies"
START_NS = 1_790_000_000_000_000_000
STATUS = {"UNSET": 0, "OK": 1, "ERROR": 2}
UNITS = {"ms": 1_000_000, "s": 1_000_000_000}
NO_ROOT = 0x6E6F2072  # what a span names as its parent where nothing is said
EXAMPLE = re.compile(r"```yaml\n(.*?)```\n\n```traces\n(.*?)```", re.DOTALL)


class Example:
    """A page's set, its traces as records, and what must become of each."""

    def __init__(self, policy_type: str) -> None:
        found = EXAMPLE.search((PAGES / f"{policy_type}.md").read_text())
        assert found is not None, f"docs/policies/{policy_type}.md ends without an example"
        self.policies, lines = found.groups()
        self.values: list[bytes] = []
        self.expected: dict[str, str] = {}
        for line in lines.strip().splitlines():
            said, verdict = line.rsplit(" -> ", 1)
            name, spans = said.split(": ", 1)
            trace_id = name if re.fullmatch("[0-9a-f]{32}", name) else _id_of(name)
            self.values.append(_trace(bytes.fromhex(trace_id), spans))
            assert trace_id not in self.expected
            self.expected[trace_id] = verdict


def _id_of(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]


def _trace(trace_id: bytes, spans: str) -> bytes:
    data, number = TracesData(), 1000
    for words in _spans(spans):
        times = int(words.pop("times", "1"))
        for _ in range(times):
            number += 1
            _add_span(data, trace_id, number, dict(words))
    return data.SerializeToString()


def _spans(text: str) -> Iterator[dict[str, str]]:
    for part in text.split("; "):
        what, *words = shlex.split(part, posix=False)
        assert what == "span", f"{what!r} is no span"
        yield {key: value for key, _, value in (word.partition("=") for word in words)}


def _add_span(data: TracesData, trace_id: bytes, number: int, words: dict[str, str]) -> None:
    group = data.resource_spans.add()
    span = group.scope_spans.add().spans.add()
    span.trace_id = trace_id
    span.span_id = int(words.pop("id", number)).to_bytes(8, "big")
    if words.pop("root", None) is None:
        span.parent_span_id = int(words.pop("parent", NO_ROOT)).to_bytes(8, "big")
    span.start_time_unix_nano = START_NS + _ns(words.pop("start", "0ms"))
    span.end_time_unix_nano = span.start_time_unix_nano + _ns(words.pop("duration", "1ms"))
    span.name = words.pop("name", "a span")
    span.trace_state = words.pop("state", "").strip('"')
    span.flags = int(words.pop("flags", "0"))
    span.status.code = STATUS[words.pop("status", "UNSET")]  # type: ignore[assignment]
    if "service" in words:
        words["resource.service.name"] = words.pop("service")
    event = span.events.add(name=words.pop("event")) if "event" in words else None
    for key, value in words.items():
        if key.startswith("resource."):
            _set(group.resource, key.removeprefix("resource."), value)
        elif key.startswith("event."):
            _set(event, key.removeprefix("event."), value)
        else:
            _set(span, key, value)


def _ns(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(ms|s)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def _set(holder: Any, key: str, text: str) -> None:
    value = holder.attributes.add(key=key).value
    if text in {"true", "false"}:
        value.bool_value = text == "true"
    elif re.fullmatch(r"-?\d+", text):
        value.int_value = int(text)
    else:
        value.string_value = text.strip('"')


def _verdict(decision: str, policy: str | None) -> str:
    return f"{decision} by {policy}" if policy else decision.replace("_", " ")


def _by_the_engine(example: Example, folder: Path) -> list[Decision]:
    n = len(example.values)
    nothing = [None] * n
    with BlockStore(folder / "blocks") as store:
        sampler = Sampler(load_policy_set(example.policies, "example"), store)
        sampler.assign(0)
        batch = join([0] * n, range(n), [1000] * n, nothing, example.values, nothing)
        decisions = [*sampler.submit(batch).decisions, *sampler.finish().decisions]
        assert sampler.counts(0).conserved()
    return decisions


@pytest.mark.parametrize("policy_type", sorted(TYPES))
def test_the_example_of_each_page_over_the_engine(policy_type: str, tmp_path: Path) -> None:
    example = Example(policy_type)
    decisions = _by_the_engine(example, tmp_path)
    found = {one.trace_id.hex(): _verdict(one.decision, one.policy) for one in decisions}
    assert found == example.expected
    assert all(one.grounds for one in decisions if one.policy)


@pytest.mark.parametrize("policy_type", sorted(TYPES))
def test_the_example_of_each_page_over_a_replay(policy_type: str, tmp_path: Path) -> None:
    example = Example(policy_type)
    policies, traces = tmp_path / "policies.yaml", tmp_path / "traces.jsonl"
    decisions = tmp_path / "decisions.jsonl"
    policies.write_text(example.policies)
    traces.write_text("".join(f"{trace_line([value])}\n" for value in example.values))
    command = ["replay", "--policies", policies, "--input", traces, "--decisions", decisions]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in decisions.read_text().splitlines()]
    found = {line["trace_id"]: _verdict(line["decision"], line["policy"]) for line in lines}
    assert found == example.expected


def test_there_is_a_page_for_each_type_and_no_other() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README"}
    assert pages == set(TYPES)


@pytest.mark.parametrize("policy_type", sorted(TYPES))
def test_each_setting_is_on_its_page(policy_type: str) -> None:
    page = (PAGES / f"{policy_type}.md").read_text()
    for setting in TYPES[policy_type].settings.model_fields:
        assert f"| `{setting}` |" in page or f"| `{setting}." in page
