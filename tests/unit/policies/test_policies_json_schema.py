"""The JSON Schema takes what the loader takes, and refuses what an editor should underline."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsampler.policies.document import read_document
from streamsampler.policies.json_schema import DIALECT, json_schema
from streamsampler.policies.types import TYPES

REPOSITORY = Path(__file__).parents[3]
SCHEMA = json_schema()
KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "deprecated"}


def is_kind(value: object, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, KINDS[kind])


def problems(value: Any, schema: Any, path: str = "") -> Iterator[str]:
    """What a schema has against a value: a plain validator for the words that ours uses."""
    if schema is True:
        return
    for word, said in schema.items():
        if word in ANNOTATIONS:
            continue
        check = CHECKS[word]
        yield from (f"{path}: {each}" if path else each for each in check(value, said, schema))


def resolved(value: Any, said: str, _: Any) -> Iterator[str]:
    yield from problems(value, SCHEMA["$defs"][said.removeprefix("#/$defs/")])


def any_of(value: Any, said: list[Any], _: Any) -> Iterator[str]:
    found = [list(problems(value, each)) for each in said]
    if all(found):
        yield from min(found, key=len)


def properties(value: Any, said: dict[str, Any], _: Any) -> Iterator[str]:
    for key, inner in said.items():
        if isinstance(value, dict) and key in value:
            yield from problems(value[key], inner, key)


def patterns(value: Any, said: dict[str, Any], _: Any) -> Iterator[str]:
    for pattern, inner in said.items():
        for key in value if isinstance(value, dict) else ():
            if re.search(pattern, key):
                yield from problems(value[key], inner, key)


def others(value: Any, said: Any, schema: Any) -> Iterator[str]:
    for key in value if isinstance(value, dict) else ():
        if key not in schema.get("properties", {}):
            yield from [f"{key} is unknown"] if said is False else problems(value[key], said, key)


def condition(value: Any, said: Any, schema: Any) -> Iterator[str]:
    if not list(problems(value, said)):
        yield from problems(value, schema["then"])


def each_item(value: Any, said: Any, _: Any) -> Iterator[str]:
    for i, item in enumerate(value if isinstance(value, list) else ()):
        yield from problems(item, said, str(i))


def yes(holds: bool, words: str) -> Iterator[str]:  # noqa: FBT001
    return iter(() if holds else (words,))


def number(value: Any) -> bool:
    return is_kind(value, "number")


CHECKS: dict[str, Any] = {
    "$ref": resolved,
    "anyOf": any_of,
    "allOf": lambda v, said, _: (each for part in said for each in problems(v, part)),
    "if": condition,
    "then": lambda *_: iter(()),
    "type": lambda v, said, _: yes(is_kind(v, said), f"is no {said}"),
    "enum": lambda v, said, _: yes(v in said, f"{v} is none of {said}"),
    "const": lambda v, said, _: yes(v == said, f"is not {said}"),
    "required": lambda v, said, _: (
        f"{key} is missing" for key in said if isinstance(v, dict) and key not in v
    ),
    "properties": properties,
    "patternProperties": patterns,
    "additionalProperties": others,
    "items": each_item,
    "minItems": lambda v, said, _: yes(not isinstance(v, list) or len(v) >= said, "is too short"),
    "maxItems": lambda v, said, _: yes(not isinstance(v, list) or len(v) <= said, "is too long"),
    "minLength": lambda v, said, _: yes(not isinstance(v, str) or len(v) >= said, "is too short"),
    "pattern": lambda v, said, _: yes(
        not isinstance(v, str) or bool(re.search(said, v)), f"{v} does not look right"
    ),
    "minimum": lambda v, said, _: yes(not number(v) or v >= said, f"is less than {said}"),
    "maximum": lambda v, said, _: yes(not number(v) or v <= said, f"is more than {said}"),
    "exclusiveMinimum": lambda v, said, _: yes(not number(v) or v > said, f"is not over {said}"),
    "exclusiveMaximum": lambda v, said, _: yes(not number(v) or v < said, f"is not under {said}"),
}


def words(schema: Any) -> Iterator[str]:
    """All words of a schema, not the names of properties."""
    if isinstance(schema, list):
        for each in schema:
            yield from words(each)
    elif isinstance(schema, dict):
        yield from schema
        for word, inner in schema.items():
            named = word in ("properties", "patternProperties", "$defs")
            if word not in ("default", "enum", "const"):
                yield from words(list(inner.values()) if named else inner)


def against(text: str) -> list[str]:
    return list(problems(read_document(text, "p").value, SCHEMA))


EXAMPLES = [
    *sorted((REPOSITORY / "examples").glob("polic*.yaml")),
    REPOSITORY / "tests" / "data" / "real" / "policies.yaml",
]
PART = "{name: p, type: latency, latency: {threshold_ms: 5}}"


def test_it_says_its_dialect_and_uses_words_of_it_only() -> None:
    assert SCHEMA["$schema"] == DIALECT
    assert set(words(SCHEMA)) <= ANNOTATIONS | CHECKS.keys()


def test_every_reference_leads_somewhere() -> None:
    referred = set(re.findall(r"#/\$defs/([A-Za-z_0-9]+)", str(SCHEMA)))
    assert referred == SCHEMA["$defs"].keys()


@pytest.mark.parametrize("name", TYPES)
def test_every_type_and_each_of_its_settings_is_there(name: str) -> None:
    assert name in SCHEMA["$defs"]["policy"]["properties"]["type"]["enum"]
    assert SCHEMA["$defs"][name]["properties"].keys() == TYPES[name].settings.model_fields.keys()


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_are_valid(file: Path) -> None:
    assert against(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        f"policies: [{PART}]",
        f"tail_sampling: {{policies: [{PART}]}}",
        f"{{processors: {{batch: {{}}, tail_sampling/mine: {{policies: [{PART}]}}}}}}",
        f"{{policies: [{PART}], decision_wait: 1m30s, completion_grace: '0', num_traces: 5}}",
        f"{{policies: [{PART}], tenant: {{key: t, source: header}}}}",
        "policies: [{name: all, type: always_sample}]",
        "policies: [{name: t, type: tenant, tenant: {tenants: {a: always, b: 0.5}, other: 1}}]",
        "policies: [{name: p, type: latency, latency: {threshold_ms: 5.0}}]",
        f"policies: [{{name: a, type: and, and: {{and_sub_policy: [{PART}]}}}}]",
        f"policies: [{{name: n, type: not, not: {{not_sub_policy: {PART}}}}}]",
        f"policies: [{{name: d, type: drop, dry_run: true, drop: {{drop_sub_policy: [{PART}]}}}}]",
    ],
)
def test_what_the_loader_takes_is_valid(text: str) -> None:
    assert against(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "policies is missing"),
        ("policies: []", "policies: is too short"),
        (f"{{policies: [{PART}], decision_wat: 3s}}", "decision_wat is unknown"),
        (f"{{policies: [{PART}], decision_wait: soon}}", "decision_wait: soon does not look right"),
        (f"{{policies: [{PART}], decision_wait: 30}}", "decision_wait: is no string"),
        ("policies: [{type: always_sample}]", "policies: 0: name is missing"),
        ("policies: [{name: '', type: always_sample}]", "policies: 0: name: is too short"),
        ("policies: [{name: p, type: latency}]", "policies: 0: latency is missing"),
        (
            "policies: [{name: p, type: latency, latency: {treshold_ms: 5}}]",
            "policies: 0: latency: treshold_ms is unknown",
        ),
        (
            "policies: [{name: p, type: latency, latency: {threshold_ms: -5}}]",
            "policies: 0: latency: threshold_ms: is less than 0",
        ),
        (
            "policies: [{name: p, type: status_code, status_code: {status_codes: [FINE]}}]",
            "policies: 0: status_code: status_codes: 0: FINE is none of ['OK', 'ERROR', 'UNSET']",
        ),
        (
            "policies: [{name: a, type: and, and: {and_sub_policy: [{name: p, type: latency}]}}]",
            "policies: 0: and: and_sub_policy: 0: latency is missing",
        ),
        (
            f"policies: [{{name: n, type: not, not: {{not_sub_policy: [{PART}]}}}}]",
            "policies: 0: not: not_sub_policy: is no object",
        ),
    ],
)
def test_what_an_editor_should_underline_is_not(text: str, problem: str) -> None:
    assert problem in against(text)
