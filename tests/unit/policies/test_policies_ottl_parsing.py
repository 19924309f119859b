"""Conditions read and judged: what they read, and what is refused where."""

import string
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsampler.policies.ottl import ConditionError, parse_condition
from streamsampler.policies.ottl.grammar import DEEPEST, LONGEST, MOST_PIECES
from streamsampler.policies.ottl.tree import Comparison, Literal, Type


@pytest.mark.parametrize(
    ("text", "keys", "reads"),
    [
        ('name == "a"', set(), set()),
        ('attributes["a"] == resource.attributes["b"]', {b"a", b"b"}, set()),
        ('trace_state["a"] == "b"', set(), set()),
        ('instrumentation_scope.version == "1"', set(), {"scopes"}),
        ('scope.attributes["é"] == 1', {"é".encode()}, {"scopes"}),
        ("not (Len(events) + 1 > 2 or true)", set(), {"events"}),
        ('HasPrefix(Concat([status.message, -attributes["a"]], ""), "x")', {b"a"}, {"message"}),
    ],
)
def test_what_a_condition_reads_is_known(text: str, keys: set[bytes], reads: set[str]) -> None:
    parsed = parse_condition(text, events=False)
    assert (parsed.text, parsed.events, set(parsed.keys)) == (text, False, keys)
    assert (parsed.reads_scopes, parsed.reads_events, parsed.reads_message) == (
        "scopes" in reads,
        "events" in reads,
        "message" in reads,
    )


def test_a_condition_on_events_reads_events() -> None:
    parsed = parse_condition('attributes["a"] == 1', events=True)
    assert parsed.keys == frozenset({b"a"})
    assert parsed.reads_events


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "not complete"),
        ('name == "a" and', 16, "not complete"),
        ("name == ", 9, "not complete"),
        ("name = 'a'", 6, "write =="),
        ("name == 'a'", 9, "double quotes"),
        ('name == "a', 9, "has no end"),
        ('name == "a" && true', 13, "write and, or, not"),
        ('!(name == "a")', 1, "write and, or, not"),
        ('name == "a" AND true', 13, "lower case: and"),
        ("1 == 1 == 1", 8, "== does not fit"),
        ("not not true", 5, "not does not fit"),
        ('name == "a\\"', 9, "has no end"),
        ("{} == nil", 1, "maps are not supported"),
        ("name == \x00", 9, "means nothing"),
        ('\n\nname == "a" ?', 15, "means nothing"),
        ('name == "\\d"', 10, "write \\\\d"),
        ('name == "a\nb"', 11, "line"),
        ('name == "\\ud800"', 10, "no escape"),
        ("99999999999999999999 == 1", 1, "63 bits"),
        (f"{'9' * 400}.0 == 1", 1, "too large"),
        ("STATUS_CODE_EROR == 1", 1, "did you mean STATUS_CODE_ERROR?"),
        ('attributes["b"]', 1, "no condition"),
        ('not attributes["b"]', 5, "no condition"),
        ("name", 1, "no condition"),
        ("Len(name)", 1, "no condition"),
        ('"true"', 1, "no condition"),
        ('(name == "a") == true', 2, "a condition is no value"),
        ("nam == nil", 1, "did you mean name?"),
        ("status.cod == 1", 1, "did you mean status.code?"),
        ("status == 1", 1, "not supported"),
        ("attributes.x == 1", 1, 'write attributes["x"]'),
        ("attributes == nil", 1, 'write attributes["key"]'),
        ("attributes[0] == nil", 12, "string in double quotes"),
        ('attributes["a"]["b"] == 1', 17, "array or a map"),
        ('trace_state["a"]["b"] == 1', 18, "array or a map"),
        ('name["a"] == "b"', 6, "nothing in brackets"),
        ('status["a"].code == 1', 1, "nothing in brackets"),
        ('spanevent.name == "a"', 1, "under spanevent"),
        ("links == nil", 1, "not supported"),
        ("0x00 == 1", 1, "SpanID"),
        ("[1] == 1", 1, "a list"),
        ('isMatch(name, "a")', 1, "did you mean IsMatch?"),
        ("Nope()", 1, "known here"),
        ("IsMatch(name)", 1, "takes 2 arguments, not 1"),
        ("Len() == 1", 1, "takes 1 argument, not 0"),
        ('IsMatch(name, "(")', 15, "RE2 says"),
        ('IsMatch(name, "(?=a)")', 15, "RE2 says"),
        ('IsMatch(name, attributes["a"])', 15, "string in quotes"),
        ('IsMatch(start_time, "a")', 9, "takes a string, a number or a boolean"),
        ('HasPrefix(kind, "a")', 11, "takes a string here"),
        ("Len(nil) == 0", 5, "takes a string here"),
        ("IsRootSpan(1)", 1, "takes 0 arguments"),
        ('IsMap(attributes["a"])', 7, "as a whole"),
        ("span_id == SpanID(0x00)", 19, "16 hexadecimal digits"),
        ('span_id == SpanID("a")', 19, "16 hexadecimal digits"),
        ('Concat(name, "") == "a"', 8, "a list first"),
        ('Concat([start_time], "") == "a"', 8, "takes a string"),
        ('Split(name, "") == nil', 13, "not empty"),
        ('Split(name, ",") == nil', 1, "Split(...)[0]"),
        ('Split(name, ",")["a"] == "a"', 18, "by one number"),
        ("Len(name)[0] == 1", 11, "gives no list"),
        ('Substring(name, 0, 0) == "a"', 20, "1 byte or more"),
        ('Substring(name, -1, 1) == "a"', 17, "0 or later"),
        ('ConvertCase(name, "snake") == "a"', 19, "lower"),
        ('Duration("soon") == Duration("1s")', 10, "1.5s"),
        ("name + 1 == 2", 6, "string + int"),
        ("start_time * 2 == 2", 12, "time * int"),
        ("start_time + end_time == 2", 12, "time + time"),
        ("-name == 2", 1, "string has no sign"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(text: str, column: int, words: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(text, events=False)
    assert caught.value.column == column
    assert words in caught.value.sentence
    assert str(caught.value) == f"column {column}: {caught.value.sentence}"


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("kind == 1", 1, "did you mean span.kind?"),
        ("IsRootSpan()", 1, "span.parent_span_id"),
        ("time_unix_nano > 0", 1, "not supported"),
        ("Len(events) > 0", 5, "not supported"),
    ],
)
def test_an_event_is_no_span(text: str, column: int, words: str) -> None:
    with pytest.raises(ConditionError, match=words.replace("?", r"\?")) as caught:
        parse_condition(text, events=True)
    assert caught.value.column == column


def test_the_longest_and_the_deepest_conditions() -> None:
    parse_condition("true".ljust(LONGEST), events=False)
    parse_condition("(" * DEEPEST + "true" + ")" * DEEPEST, events=False)
    for text, column in [
        ("true".ljust(LONGEST + 1), LONGEST + 1),
        ("(" * (DEEPEST + 1) + "true" + ")" * (DEEPEST + 1), DEEPEST + 1),
        ("true or " * (MOST_PIECES // 2) + "true", 4 * MOST_PIECES + 1),
    ]:
        with pytest.raises(ConditionError) as caught:
            parse_condition(text, events=False)
        assert caught.value.column == column


@pytest.mark.parametrize(
    ("quoted", "value"),
    [
        (r'"a"', b"a"),
        (r'"a\\"', b"a\\"),
        (r'"\""', b'"'),
        (r'"\\\""', b'\\"'),
        ('"\u00e9 and or ("', "é and or (".encode()),
    ],
)
def test_a_string_ends_at_the_first_quote_that_is_not_escaped(quoted: str, value: bytes) -> None:
    test = parse_condition(f"{quoted} == nil", events=False).test
    assert test == Comparison("==", Literal(Type.STRING, value), Literal(Type.NIL, None))


def test_brackets_within_strings_are_no_brackets() -> None:
    text = f'name == "{"(" * 50}\\"{"[" * 50}"'
    assert parse_condition(text, events=False).text == text


def test_the_largest_condition_is_judged_at_once() -> None:
    parse_condition("true", events=False)  # makes the parser
    text = "name==1or " * ((MOST_PIECES - 3) // 4) + "true"
    begun = time.perf_counter()
    parse_condition(text, events=False)
    assert time.perf_counter() - begun < 2  # 0.1 s on a machine that is not busy


PIECES = [
    *("and", "or", "not", "true", "false", "nil", "(", ")", "[", "]", ",", ".", "==", "<", "="),
    *("+", "-", "*", "/", "1", "2.5", '"a"', '"\\', '"', "0x00", "name", "attributes", "span"),
    *("events", "IsMatch", "Len", "Split", "Concat", "Duration", "SpanID", "STATUS_CODE_OK"),
    *('attributes["a"]', "start_time", "x", "é", "\n"),
]


@st.composite
def texts(draw: Callable[[Any], Any]) -> str:
    pieces = draw(st.lists(st.sampled_from(PIECES), max_size=12))
    return str(draw(st.sampled_from(["", " "])).join(pieces))


def judged(text: str, *, events: bool) -> bool:
    """Whether a condition comes of a text, or a sentence with a column that is in it."""
    try:
        parsed = parse_condition(text, events=events)
    except ConditionError as error:
        return bool(1 <= error.column <= len(text) + 1 and error.sentence)
    return parsed.text == text


@settings(max_examples=400, deadline=None)
@given(st.one_of(texts(), st.text(max_size=30), st.text(string.printable, max_size=30)))
def test_any_text_is_a_condition_or_refused_with_a_column(text: str) -> None:
    for events in (False, True):
        assert judged(text, events=events)
