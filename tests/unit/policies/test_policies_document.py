"""Text to data: YAML as the Collector reads it, JSON, places, and limits."""

import json
from math import inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.policies import PolicyError
from streamsampler.policies.document import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    Place,
    read_document,
)

UNREADABLE = "this is not readable as YAML"
BAD_ESCAPE = "found invalid Unicode character escape code"
TOO_DEEP = f"more than {MAX_DEPTH} levels deep."
TOO_MANY = f"more than {MAX_VALUES} values."
JSON_ONLY = '"\\ud83d\\ude00"'  # a surrogate pair, which YAML does not know


def value(text: str) -> object:
    return read_document(text, "t.yaml").value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# nothing", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("5", 5),
        ("-5", -5),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("010", 8),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", inf),
        ("9" * 30, 1e30),
        # strings, though YAML 1.1 reads them otherwise
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("2001-12-14", "2001-12-14"),
        ("08", 8.0),
        ("5 ", 5),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[a, [1, ~]]", ["a", [1, None]]),
        ("{a: {b: c}}", {"a": {"b": "c"}}),
        ("1: a\nno: b\n", {"1": "a", "no": "b"}),
        ("a: &x [1]\nb: *x\n", {"a": [1], "b": [1]}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_values(text: str, expected: object) -> None:
    got = value(text)
    assert got == expected
    assert type(got) is type(expected)


def test_nan() -> None:
    got = value(".nan")
    assert isinstance(got, float)
    assert isnan(got)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", {"a": 1, "b": 3}),
        ("x: &x {a: 1}\ny: {b: 3, <<: [*x, {a: 5, c: 6}]}", {"b": 3, "a": 1, "c": 6}),
        ("y: {'<<': 1}", {"<<": 1}),
    ],
)
def test_merge_keys(text: str, expected: object) -> None:
    got = value(text)
    assert isinstance(got, dict)
    assert got["y"] == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\ud83d\\ude00"}',  # a surrogate pair, which YAML does not know
        '{\n\t"a":\t"\U0001f600"\n}',
        '{"a": "\\u001f\\/"}',
        '{"a": "x\u2028y\u0085z"}',
    ],
)
def test_any_json_is_read(text: str) -> None:
    assert value(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a: [1", ":2:1", f"{UNREADABLE}: did not find expected ',' or ']'."),
        ("a: b: c", ":1:5", f"{UNREADABLE}: mapping values are not allowed in this context."),
        ("a: \x01", "", f"{UNREADABLE}: control characters are not allowed."),
        ("a: \ud800", "", f"{UNREADABLE}: surrogates not allowed."),
        ('{"a": "\\ud800"}', ":1:10", f"{UNREADABLE}: {BAD_ESCAPE}."),
        ("a: 1\na: 2\n", ":2:1", "the key 'a' is there twice, first in line 1; keep one."),
        ('{"a": "\\ud83d\\ude00", "a": 1}', "", "the key 'a' is there twice; keep one."),
        ("a: 1\n---\nb: 2\n", ":2:1", "a second document begins; keep one to a file."),
        ("a: *x", ":1:4", "*x stands for nothing that ends before it."),
        ("a: &x [*x]", ":1:8", "*x stands for nothing that ends before it."),
        ("[a]: 1", ":1:1", "a key is a list or a mapping; write a word."),
        ("a: {<<: 5}", ":1:9", "<< merges mappings; this is none."),
        ("a: !x {}", ":1:4", "the tag '!x' has no meaning here; leave it out."),
        (
            "a: !!python/name:os.system ''",
            ":1:4",
            "the tag 'tag:yaml.org,2002:python/name:os.system' has no meaning here; leave it out.",
        ),
    ],
)
def test_what_cannot_be_read(text: str, place: str, reason: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_document(text, "t.yaml")
    assert refused.value.problems == (f"t.yaml{place}: {reason}",)


def doubling(levels: int) -> str:
    """Aliases that stand for 2**levels values."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, levels)]
    return "\n".join(lines)


def chained_merges(links: int) -> str:
    lines = ["a0: &a0 {k0: 0}"]
    lines += [f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 0}}" for i in range(1, links)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "x" * MAX_BYTES, f"the text has {MAX_BYTES + 3} bytes; {MAX_BYTES} is the limit."),
        ("[" * 100_000, f"this is nested {TOO_DEEP}"),
        ("- " * 100_000, f"this is nested {TOO_DEEP}"),
        ("{" + "k: 1, " * 100_000, f"the text has {TOO_MANY}"),
        (doubling(30), f"with aliases written out, the text has {TOO_MANY}"),
        (chained_merges(2000), f"with aliases written out, this is nested {TOO_DEEP}"),
        (f"[{JSON_ONLY}{',[0' * 100}{']' * 101}", f"this is nested {TOO_DEEP}"),
        (f"[{JSON_ONLY}{',[0' * 100_000}{']' * 100_001}", f"{UNREADABLE}: {BAD_ESCAPE}."),
        (f"[{JSON_ONLY}{',0' * MAX_VALUES}]", f"the text has {TOO_MANY}"),
    ],
    ids=[
        "size",
        "flow",
        "block",
        "keys",
        "aliases",
        "merges",
        "deep json",
        "deeper json",
        "long json",
    ],
)
def test_limits(text: str, reason: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_document(text, "t")
    (problem,) = refused.value.problems
    assert problem.endswith(f": {reason}")


def test_places_of_values_and_keys() -> None:
    document = read_document("a:\n  - {b: 1}\n", "t.yaml")
    assert document.at(("a", 0, "b")) == Place(2, 9)
    assert document.at(("a", 0, "b"), key=True) == Place(2, 6)
    assert document.at(("a", 0, "absent")) == Place(2, 5)
    assert document.cite(Place(2, 9)) == "t.yaml:2:9"
    assert document.cite(None) == "t.yaml"


plain_data = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**18), 10**18),
        st.floats(allow_nan=False, allow_infinity=False),  # JSON has neither
        st.text(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(plain_data)
def test_json_means_in_yaml_what_it_means_in_json(data: object) -> None:
    assert value(json.dumps(data)) == data


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        outcome = read_document(text, "t").source
    except PolicyError as error:
        outcome = str(error)
    assert outcome.startswith("t")
