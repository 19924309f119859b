"""A Collector's tail sampling taken over: what is kept, what is said, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamsampler.policies import PolicyError, load_policy_set
from streamsampler.policies.block import INSTEAD
from streamsampler.policies.document import read_document
from streamsampler.policies.importing import Imported
from streamsampler.policies.importing_otel import import_otel

REAL = Path(__file__).parent.parent.parent / "data" / "real"
ALL = "{name: all, type: always_sample}"
SLOW = "{name: slow, type: latency, latency: {threshold_ms: 700}}"
CONFIG = f"""\
receivers: {{otlp: }}
processors:
  batch: {{}}
  tail_sampling:
    decision_wait: 8s
    num_traces: 100
    policies:
      - {ALL}
      - {SLOW}
"""


def imported(text: str, processor: str | None = None) -> Imported:
    return import_otel(read_document(text, "c.yaml"), processor)


def said(outcome: Imported, *, lost: bool) -> list[str]:
    return [remark.sentence for remark in outcome.remarks if remark.lost == lost]


def test_a_block_is_taken_as_it_stands_and_what_has_no_meaning_is_said() -> None:
    outcome = imported(CONFIG)
    assert outcome.document == {
        "decision_wait": "8s",
        "policies": [
            {"name": "all", "type": "always_sample"},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 700}},
        ],
    }
    assert said(outcome, lost=True) == []
    (note,) = said(outcome, lost=False)
    assert note.startswith("c.yaml:6:5: processors.tail_sampling.num_traces was left out, as ")
    assert note.endswith(f": {INSTEAD['num_traces']}.")


def test_what_is_imported_loads_as_the_block_itself_does() -> None:
    text = (REAL / "policies.yaml").read_text()
    again = load_policy_set(json.dumps(imported(text).document), "again")
    assert again.version == load_policy_set(text, "block").version
    assert again.warnings == ()


@pytest.mark.parametrize(
    ("policy", "place_and_reason"),
    [
        (
            "{name: mine, type: my_extension, my_extension: {a: 1}}",
            (
                'c.yaml:1:15: policies[1] ("mine") was left out: type is '
                '"my_extension", which is unknown'
            ),
        ),
        (
            "{name: soon, type: latency, latency: {threshold_ms: '${env:SLOW}'}}",
            (
                'policies[1] ("soon") was left out: latency.threshold_ms holds '
                "${env:SLOW}, which is not expanded here"
            ),
        ),
        ("{type: always_sample}", "policies[1] (empty) was left out: name is missing"),
        ("7", "policies[1] (empty) was left out: is 7"),
    ],
)
def test_a_policy_that_cannot_be_read_is_left_out_and_said(
    policy: str, place_and_reason: str
) -> None:
    outcome = imported(f"policies: [{ALL}, {policy}]")
    assert outcome.document["policies"] == [{"name": "all", "type": "always_sample"}]
    assert place_and_reason.removeprefix("c.yaml:1:15: ") in said(outcome, lost=True)[0]


@pytest.mark.parametrize("setting", ["decision_wait: ${env:WAIT}", "decsion_wait: 3s"])
def test_a_setting_that_cannot_be_read_is_left_out_and_said(setting: str) -> None:
    outcome = imported(f"policies: [{ALL}]\n{setting}\n")
    assert list(outcome.document) == ["policies"]
    name, sentences = setting.split(":", maxsplit=1)[0], said(outcome, lost=True)
    assert sentences
    assert all(each.startswith(f"c.yaml:2:1: {name} was left out: ") for each in sentences)


@pytest.mark.parametrize(
    ("policy", "note"),
    [
        ("{name: p, type: latency, latency: {threshold_ms: 1, upper_threshold_ms: 2}}", "order"),
        ("{name: p, type: rate_limiting, rate_limiting: {spans_per_second: 5}}", "group's"),
    ],
)
def test_a_policy_that_means_nearly_the_same_is_taken_with_a_note(policy: str, note: str) -> None:
    outcome = imported(f"policies: [{policy}]")
    assert said(outcome, lost=True) == []
    (sentence,) = said(outcome, lost=False)
    assert note in sentence


def test_a_composite_stops_where_the_collectors_does() -> None:
    part = "{name: a, type: always_sample}"
    settings = f"{{max_total_spans_per_second: 9, composite_sub_policy: [{part}]}}"
    outcome = imported(f"policies: [{{name: c, type: composite, composite: {settings}}}]")
    loaded: Any = load_policy_set(json.dumps(outcome.document), "again").document()
    assert loaded["policies"][0]["composite"]["overflow"] == "stop"


TWO = (
    f"processors: {{tail_sampling: {{policies: [{ALL}]}}, tail_sampling/b: {{policies: [{SLOW}]}}}}"
)


def test_one_of_several_blocks_is_named() -> None:
    document: Any = imported(TWO, "tail_sampling/b").document
    assert document["policies"][0]["name"] == "slow"


@pytest.mark.parametrize(
    ("text", "processor", "reason"),
    [
        (TWO, None, "several blocks, tail_sampling and tail_sampling/b; name one by --processor"),
        (TWO, "tail_sampling/c", 'no block "tail_sampling/c"; there is tail_sampling and'),
        ("processors: {batch: }", None, "c.yaml:1:1: there is no tail_sampling block here"),
        ("[]", None, "there is no tail_sampling block here"),
        ("policies: []", None, "no policy here that can be imported"),
        ("policies: [{name: a, type: extension}]", None, "no policy here that can be imported"),
    ],
)
def test_without_a_block_nothing_is_imported(text: str, processor: str | None, reason: str) -> None:
    with pytest.raises(PolicyError) as raised:
        imported(text, processor)
    assert reason in str(raised.value)
