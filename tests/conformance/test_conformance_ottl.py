"""OTTL conditions against what a Collector 0.160 decided by them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from streamsampler.policies.ottl import ConditionError, ParsedCondition, Program, parse_condition
from streamsampler.spans.otlp_json import otlp_json_to_proto
from tests.plain_ottl import answers_of, view_of

DATA: Final = Path(__file__).parent.parent / "data" / "ottl"
VERDICTS: Final = json.loads((DATA / "verdicts.json").read_text())
RECORDS: Final = [
    otlp_json_to_proto(line) for line in (DATA / "traces.jsonl").read_bytes().splitlines()
]
REFUSED_HERE: Final = {
    "dropped_attributes_count == 0": 1,
    'attributes["map"]["k"] == "v"': 19,
    'ContainsValue(attributes["list"], "q")': 1,
}
"""What the Collector takes and we do not, each with the column that we name."""

TAKEN: Final = {
    text: verdicts
    for text, verdicts in VERDICTS.items()
    if verdicts != "refused" and text not in REFUSED_HERE
}


def compiled(parsed: ParsedCondition, records: Sequence[bytes]) -> list[int]:
    view, scan = view_of(records, tuple(sorted(parsed.keys)))
    answers = Program(parsed).evaluate(view)
    kept = [0] * len(records)
    for record, one in zip(scan.spans["record"].tolist(), answers.tolist(), strict=True):
        kept[record] |= one == 1
    return kept


def plain(parsed: ParsedCondition, records: Sequence[bytes]) -> list[int]:
    return [int(1 in answers_of(parsed, [record])) for record in records]


@pytest.mark.parametrize("text", TAKEN)
def test_the_compiled_form_keeps_what_the_collector_kept(text: str) -> None:
    parsed = parse_condition(text, events=False)
    assert compiled(parsed, RECORDS) == TAKEN[text]


@pytest.mark.parametrize("text", TAKEN)
def test_the_plain_form_keeps_what_the_collector_kept(text: str) -> None:
    parsed = parse_condition(text, events=False)
    assert plain(parsed, RECORDS) == TAKEN[text]


@pytest.mark.parametrize("text", [text for text in VERDICTS if VERDICTS[text] == "refused"])
def test_what_the_collector_refuses_is_refused(text: str) -> None:
    with pytest.raises(ConditionError):
        parse_condition(text, events=False)


@pytest.mark.parametrize("text", REFUSED_HERE)
def test_what_is_not_supported_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConditionError, match="supported") as caught:
        parse_condition(text, events=False)
    assert caught.value.column == REFUSED_HERE[text]
    assert VERDICTS[text] != "refused"


def test_most_of_the_recorded_conditions_are_taken() -> None:
    assert len(TAKEN) == len(VERDICTS) - len(REFUSED_HERE) - 5 == 37
