"""Conditions asked of columns: each answer by hand, and at random the same as the plain form's."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsampler.policies.ottl import Pool, Program, SpanView, parse_condition
from streamsampler.spans.dictionary import Dictionary
from streamsampler.spans.payload import new_traces
from tests.plain_ottl import answers_of, view_of

Value = bytes | bool | int | float | list[bytes] | None
Attributes = dict[bytes, Value]
LEAST: Final = -(2**63)
MOST: Final = 2**63 - 1
NO, YES, FAILS = 0, 1, 2


def fill(attributes: Any, values: Attributes) -> None:
    for key, value in values.items():
        one = attributes.add()
        one.key = key
        if isinstance(value, list):
            for item in value:
                one.value.array_value.values.add().string_value = item
            one.value.array_value.SetInParent()
        elif value is not None:
            names = {bytes: "string", bool: "bool", int: "int", float: "double"}
            setattr(one.value, f"{names[type(value)]}_value", value)


def record(  # one span, with what is asked about and little else
    attributes: Attributes | None = None,
    resource: Attributes | None = None,
    scope: Attributes | None = None,
    events: Sequence[tuple[bytes, Attributes]] = (),
    scope_name: bytes = b"lib",
    message: bytes = b"",
    **fields: Any,
) -> bytes:
    traces: Any = new_traces()
    of_resource = traces.resource_spans.add()
    fill(of_resource.resource.attributes, resource or {})
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = scope_name
    of_scope.scope.version = b"1.2"
    fill(of_scope.scope.attributes, scope or {})
    span = of_scope.spans.add(trace_id=b"\xab" * 16, span_id=b"\0\0\0\0\0\0\0\1")
    span.status.code = fields.pop("status", 0)
    span.status.message = message
    fill(span.attributes, attributes or {})
    for name, event_attributes in events:
        event = span.events.add(name=name)
        fill(event.attributes, event_attributes)
    for field, value in fields.items():
        setattr(span, field, value)
    serialized: bytes = traces.SerializeToString()
    return serialized


def compiled(text: str, records: Sequence[bytes], *, events: bool = False) -> list[int]:
    parsed = parse_condition(text, events=events)
    view, _ = view_of(records, tuple(sorted(parsed.keys)))
    answers: list[int] = Program(parsed).evaluate(view).tolist()
    return answers


def both(text: str, records: Sequence[bytes], *, events: bool = False) -> list[int]:
    """What both forms answer."""
    answers = compiled(text, records, events=events)
    assert answers == answers_of(parse_condition(text, events=events), records)
    return answers


@pytest.mark.parametrize(
    ("value", "text", "answer"),
    [
        (None, 'attributes["x"] == nil', YES),
        (None, 'attributes["x"] != nil', NO),
        (None, 'attributes["x"] == ""', NO),
        (None, 'attributes["x"] != 1', YES),
        (None, 'attributes["x"] <= nil', YES),
        (None, 'attributes["x"] < nil', NO),
        (None, 'attributes["x"] < 1', NO),
        (b"b", 'attributes["x"] > "a"', YES),
        (b"", 'attributes["x"] < "a"', YES),
        (b"\xff", 'attributes["x"] == "\\xff"', YES),
        ("é".encode(), 'attributes["x"] == "\\u00e9"', YES),
        (b"1", 'attributes["x"] == 1', NO),
        (b"1", 'attributes["x"] != 1', YES),
        (True, 'attributes["x"] == 1', NO),
        (True, 'attributes["x"] > false', YES),
        (1, 'attributes["x"] == 1.0', YES),
        (2**53 + 1, 'attributes["x"] == 9007199254740992.0', YES),
        (2**53 + 1, 'attributes["x"] == 9007199254740992', NO),
        (float("nan"), 'attributes["x"] == attributes["x"]', NO),
        (float("nan"), 'attributes["x"] != attributes["x"]', YES),
        (-0.0, 'attributes["x"] == 0', YES),
        ([], 'attributes["x"] == nil', NO),
        ([], 'attributes["x"] != "a"', YES),
        ([], 'attributes["x"] == attributes["x"]', FAILS),
    ],
)
def test_comparing(value: Value, text: str, answer: int) -> None:
    assert both(text, [record({b"x": value})]) == [answer]


@pytest.mark.parametrize(
    ("value", "text", "answer"),
    [
        (7, 'attributes["x"] / 2 == 3', YES),
        (-7, 'attributes["x"] / 2 == -3', YES),
        (7, 'attributes["x"] / 2.0 == 3.5', YES),
        (7, 'attributes["x"] / 0 == 1', FAILS),
        (7.0, 'attributes["x"] / 0 == 1', FAILS),
        (7, 'attributes["x"] / 0.0 == 1', FAILS),
        (7, '1 + 2 * attributes["x"] == 15', YES),
        (7, '(1 + 2) * attributes["x"] == 21', YES),
        (7, '10 - attributes["x"] - 1 == 2', YES),
        (7, '-attributes["x"] == -7', YES),
        (MOST, 'attributes["x"] + 1 < 0', YES),
        (MOST, 'attributes["x"] * 2 == -2', YES),
        (LEAST, 'attributes["x"] / -1 < 0', YES),
        (LEAST, '-attributes["x"] < 0', YES),
        (1e308, 'attributes["x"] * 10 > 1', YES),
        (b"7", 'attributes["x"] + 1 == 8', FAILS),
        (True, 'attributes["x"] + 1 == 2', FAILS),
        (None, '-attributes["x"] == 1', FAILS),
    ],
)
def test_arithmetic(value: Value, text: str, answer: int) -> None:
    assert both(text, [record({b"x": value})]) == [answer]


@pytest.mark.parametrize(
    ("value", "text", "answer"),
    [
        (b"cart", 'IsMatch(attributes["x"], "^c.*t$")', YES),
        (b"", 'IsMatch(attributes["x"], "^$")', YES),
        (404, 'IsMatch(attributes["x"], "^4")', YES),
        (1.0, 'IsMatch(attributes["x"], "^1$")', YES),
        (True, 'IsMatch(attributes["x"], "true")', YES),
        (None, 'IsMatch(attributes["x"], ".*")', NO),
        (b"\xff", 'IsMatch(attributes["x"], "^.$")', YES),
        ([], 'IsMatch(attributes["x"], ".*")', FAILS),
        (b"cart", 'HasPrefix(attributes["x"], "ca")', YES),
        (b"cart", 'HasSuffix(attributes["x"], "ca")', NO),
        (None, 'HasSuffix(attributes["x"], "ca")', FAILS),
        (1, 'HasPrefix(attributes["x"], "1")', FAILS),
        (b"", 'IsString(attributes["x"])', YES),
        (None, 'IsString(attributes["x"])', NO),
        ([], 'IsString(attributes["x"])', NO),
        (1, 'IsInt(attributes["x"])', YES),
        (True, 'IsInt(attributes["x"])', NO),
        (1.0, 'IsDouble(attributes["x"])', YES),
        (False, 'IsBool(attributes["x"])', YES),
        ("é".encode(), 'Len(attributes["x"]) == 2', YES),
        (1, 'Len(attributes["x"]) == 1', FAILS),
        (b"-12", 'Int(attributes["x"]) == -12', YES),
        (b"1.5", 'Int(attributes["x"]) == nil', YES),
        (-1.9, 'Int(attributes["x"]) == -1', YES),
        (1e300, 'Int(attributes["x"]) < 0', YES),
        (True, 'Int(attributes["x"]) == 1', YES),
        ([], 'Int(attributes["x"]) == 1', FAILS),
        (b"1.5", 'Double(attributes["x"]) == 1.5', YES),
        (b"x", 'Double(attributes["x"]) == 1.5', FAILS),
        (3, 'IsDouble(Double(attributes["x"]))', YES),
        (3, 'String(attributes["x"]) == "3"', YES),
        (None, 'String(attributes["x"]) == nil', YES),
        (b"b", 'Concat(["a", attributes["x"], 1], "-") == "a-b-1"', YES),
        (None, 'Concat([attributes["x"]], "-") == "<nil>"', YES),
        ([], 'Concat([attributes["x"]], "-") == ""', FAILS),
        (b"a,b", 'Split(attributes["x"], ",")[1] == "b"', YES),
        (b"a,b", 'Split(attributes["x"], ",")[2] == "b"', FAILS),
        (b"a,b", 'Len(Split(attributes["x"], ",")) == 2', YES),
        (b"cart", 'Substring(attributes["x"], 1, 2) == "ar"', YES),
        (b"cart", 'Substring(attributes["x"], 1, 4) == "art"', FAILS),
        ("CÄ".encode(), 'ToLowerCase(attributes["x"]) == "cä"', YES),
        (b"cart", 'ConvertCase(attributes["x"], "upper") == "CART"', YES),
        (b"90ms", 'Milliseconds(Duration(attributes["x"])) == 90', YES),
        (b"1s", 'Duration(attributes["x"]) > Duration("999ms")', YES),
        (b"soon", 'Duration(attributes["x"]) > Duration("1s")', FAILS),
        (b"2s", 'Seconds(Duration(attributes["x"])) == 2', YES),
        (b"2s", 'Nanoseconds(Duration(attributes["x"])) == 2000000000', YES),
    ],
)
def test_functions(value: Value, text: str, answer: int) -> None:
    assert both(text, [record({b"x": value})]) == [answer]


FULL: Final = record(
    {b"x": b"span"},
    {b"x": b"resource"},
    {b"x": b"scope"},
    events=[(b"e", {b"x": b"event"}), (b"f", {})],
    message=b"boom",
    name=b"cart",
    kind=2,
    status=2,
    trace_state=b"k=v,l=w",
    parent_span_id=b"\0\0\0\0\0\0\0\2",
    start_time_unix_nano=1_000,
    end_time_unix_nano=2_001_000,
)


@pytest.mark.parametrize(
    "text",
    [
        'attributes["x"] == "span"',
        'resource.attributes["x"] == "resource"',
        'scope.attributes["x"] == "scope"',
        'instrumentation_scope.attributes["x"] == "scope"',
        'instrumentation_scope.name == "lib"',
        'instrumentation_scope.version == "1.2"',
        'name == "cart"',
        "kind == SPAN_KIND_SERVER",
        'kind.string == "Server"',
        "status.code == STATUS_CODE_ERROR",
        'status.message == "boom"',
        'trace_id.string == "abababababababababababababababab"',
        "trace_id == TraceID(0xabababababababababababababababab)",
        'span_id.string == "0000000000000001"',
        "span_id == SpanID(0x0000000000000001)",
        'parent_span_id.string == "0000000000000002"',
        "parent_span_id != SpanID(0x0000000000000000)",
        "not IsRootSpan()",
        "start_time_unix_nano == 1000",
        "end_time_unix_nano == 2001000",
        'end_time - start_time == Duration("2ms")',
        "start_time < end_time",
        "UnixNano(end_time) == 2001000",
        'start_time + Duration("2ms") == end_time',
        'trace_state == "k=v,l=w"',
        'trace_state["l"] == "w"',
        'trace_state["m"] == ""',
        "Len(events) == 2",
        "IsMap(attributes)",
    ],
)
def test_every_path(text: str) -> None:
    assert both(text, [FULL]) == [YES]


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('name == "e"', [YES, NO]),
        ('spanevent.name == "f"', [NO, YES]),
        ('attributes["x"] == "event"', [YES, NO]),
        ('spanevent.attributes["x"] == nil', [NO, YES]),
        ('span.name == "cart"', [YES, YES]),
        ('span.attributes["x"] == "span"', [YES, YES]),
        ('resource.attributes["x"] == "resource"', [YES, YES]),
        ('instrumentation_scope.name == "lib"', [YES, YES]),
        ("Len(span.events) == 2", [YES, YES]),
        ("true", [YES, YES]),
        ('Len(name) > 0 and Len(attributes["x"]) > 0', [YES, FAILS]),
    ],
)
def test_events(text: str, answers: list[int]) -> None:
    assert both(text, [record(), FULL, record()], events=True) == answers


F, T, E = "false", "true", '1 / attributes["zero"] == 1'


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (f"{F} and {E}", NO),
        (f"{E} and {F}", FAILS),
        (f"{T} and {E}", FAILS),
        (f"{T} or {E}", YES),
        (f"{E} or {T}", FAILS),
        (f"{F} or {E}", FAILS),
        (f"not {E}", FAILS),
        (f"{T} or {F} and {F}", YES),
        (f"({T} or {F}) and {F}", NO),
        (f"not {F} and {F}", NO),
        (f"not ({F} and {F})", YES),
    ],
)
def test_what_settles_a_condition_is_not_followed_by_more(text: str, answer: int) -> None:
    assert both(text, [record({b"zero": 0})]) == [answer]


def test_no_spans_and_no_events_have_no_answers() -> None:
    assert compiled('attributes["x"] == 1', []) == []
    assert compiled('IsMatch(Concat([name, attributes["x"]], ""), "a")', []) == []
    assert compiled("Len(events) > 0 and true", []) == []
    assert compiled('attributes["x"] < name', [record()], events=True) == []


def views(batches: Sequence[Sequence[bytes]], keys: tuple[bytes, ...]) -> list[SpanView]:
    return [view_of(batch, keys)[0] for batch in batches]


def test_a_pool_that_is_emptied_changes_no_answer() -> None:
    text = (
        'Concat([attributes["x"], name], "-") == "v7-cart" or ToUpperCase(attributes["x"]) == "V2"'
    )
    parsed = parse_condition(text, events=False)
    batches = [[record({b"x": b"v%d" % n}, name=b"cart")] for n in range(12)]
    pool = Pool(Dictionary(most_values=6))
    program = Program(parsed, pool)
    sizes = []
    answers = []
    for view in views(batches, (b"x",)):
        answers += program.evaluate(view).tolist()
        sizes.append(len(pool))
    assert [n for n, answer in enumerate(answers) if answer] == [2, 7]
    assert max(sizes) < 12


def test_programs_that_share_a_pool_answer_as_with_their_own() -> None:
    texts = ['attributes["x"] == "a"', 'attributes["x"] < "b"', 'HasPrefix(attributes["x"], "b")']
    batches = [[record({b"x": value})] for value in (b"a", b"b", b"c")]
    pool = Pool()
    shared = [Program(parse_condition(text, events=False), pool) for text in texts]
    found = [
        [program.evaluate(view).tolist() for program in shared] for view in views(batches, (b"x",))
    ]
    assert found == [[[YES], [YES], [NO]], [[NO], [NO], [YES]], [[NO], [NO], [NO]]]


def test_a_function_of_strings_is_asked_once_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    evaluated = Pool.evaluated

    def noting(self: Pool, function: Any, arguments: Any, kind: int) -> Any:
        asked.extend(arguments)
        return evaluated(self, function, arguments, kind)

    monkeypatch.setattr(Pool, "evaluated", noting)
    program = Program(parse_condition('IsMatch(name, "a|b")', events=False))
    batch = [record(name=name) for name in (b"a", b"b", b"a", b"c", b"a")]
    for view in views([batch, batch[::-1]], ()):
        program.evaluate(view)
    assert sorted(asked, key=str) == [(b"a",), (b"b",), (b"c",)]


TEXTS: Final = (b"", b"a", b"b", b"ab,a", b"7", b"-1.5", b"9" * 20, b"100ms", "Ä".encode(), b"\xff")
PLAIN: Final[Sequence[Value]] = (
    *TEXTS, True, False, 0, 1, -7, MOST, LEAST, 2**53 + 1, 0.0, -0.0, 1.5, -7.0, 2.0**63, 1e300,
    float("nan"), float("inf"), None, [b"a"],
)  # fmt: skip
KEYS: Final = (b"a", b"b")


def attributes_drawn() -> st.SearchStrategy[Attributes]:
    return st.dictionaries(st.sampled_from(KEYS), st.sampled_from(PLAIN), max_size=2)


@st.composite
def records_drawn(draw: Callable[[Any], Any]) -> bytes:
    times = st.sampled_from([0, 1, 10**9, 2**63 - 1, 2**63, 2**64 - 1])
    return record(
        draw(attributes_drawn()),
        draw(attributes_drawn()),
        draw(attributes_drawn()),
        events=draw(st.lists(st.tuples(st.sampled_from(TEXTS), attributes_drawn()), max_size=2)),
        scope_name=draw(st.sampled_from(TEXTS)),
        message=draw(st.sampled_from(TEXTS)),
        name=draw(st.sampled_from(TEXTS)),
        kind=draw(st.integers(-1, 6)),
        status=draw(st.integers(0, 3)),
        trace_state=draw(st.sampled_from([b"", b"a=b", b"a=b,c=d", b"a", b"b=7"])),
        parent_span_id=draw(st.sampled_from([b"", bytes(8), b"\xff" * 8])),
        start_time_unix_nano=draw(times),
        end_time_unix_nano=draw(times),
    )


def one_of(*options: str) -> st.SearchStrategy[str]:
    return st.sampled_from(options)


def applied(pattern: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda drawn: pattern.format(*drawn))


ANY: Final = one_of(
    'attributes["a"]', 'attributes["b"]', 'resource.attributes["a"]', 'span.trace_state["a"]',
    'instrumentation_scope.attributes["b"]', 'spanevent.attributes["a"]',
)  # fmt: skip
STRING: Final = one_of(
    '"a"', '"7"', '""', "span.name", "span.status.message", "span.kind.string", "span.trace_state",
    "span.parent_span_id.string", "instrumentation_scope.name", "spanevent.name",
)  # fmt: skip
INT: Final = one_of(
    "0", "1", "-7", "9223372036854775807", "span.kind", "span.status.code",
    "span.start_time_unix_nano", "span.end_time_unix_nano", "STATUS_CODE_ERROR",
)  # fmt: skip
DOUBLE: Final = one_of("0.0", "1.5", "-7.0", "9223372036854775807.0")
STRING_LIKE: Final = st.one_of(ANY, STRING, INT, DOUBLE, one_of("true", "nil"))
TEXT: Final = st.one_of(
    ANY,
    STRING,
    applied("ToLowerCase({})", ANY),
    applied("ConvertCase({}, {})", ANY, one_of('"upper"', '"lower"')),
    applied("Concat([{}, {}], {})", STRING_LIKE, STRING_LIKE, one_of('","', '""')),
    applied('Split({}, ",")[{}]', ANY, one_of("0", "1")),
    applied("Substring({}, {}, {})", STRING, one_of("0", "1"), one_of("1", "2")),
)
NUMBER: Final = st.recursive(
    st.one_of(
        ANY,
        INT,
        DOUBLE,
        applied("Len({})", TEXT),
        applied("Int({})", STRING_LIKE),
        applied("Double({})", ANY),
        applied("Milliseconds(span.end_time - {})", one_of("span.start_time")),
        applied("Seconds(Duration({}))", ANY),
    ),
    lambda inner: st.one_of(
        applied("({} {} {})", inner, one_of("+", "-", "*", "/"), inner), applied("-({})", inner)
    ),
    max_leaves=4,
)
MOMENT: Final = one_of("span.start_time", "span.end_time", 'span.end_time + Duration("100ms")')
SIGN: Final = one_of("==", "!=", "<", "<=", ">", ">=")
COMPARED: Final = st.one_of(
    ANY, TEXT, NUMBER, applied("String({})", ANY), one_of("nil", "true"), MOMENT
)
CONDITION: Final = st.recursive(
    st.one_of(
        applied("{} {} {}", COMPARED, SIGN, COMPARED),
        applied("{} {} {}", MOMENT, SIGN, MOMENT),
        applied('IsMatch({}, "{}")', STRING_LIKE, one_of("^a", "7|b", "^.$", "")),
        applied('{}({}, "a")', one_of("HasPrefix", "HasSuffix"), TEXT),
        applied("{}({})", one_of("IsString", "IsInt", "IsDouble", "IsBool"), ANY),
        one_of("true", "false"),
    ),
    lambda inner: st.one_of(
        applied("({} {} {})", inner, one_of("and", "or"), inner), applied("not ({})", inner)
    ),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None)
@given(CONDITION, st.lists(records_drawn(), max_size=4))
def test_the_compiled_form_answers_as_the_plain_one(text: str, records: list[bytes]) -> None:
    both(text, records, events=True)


@settings(max_examples=80, deadline=None)
@given(CONDITION, st.lists(records_drawn(), max_size=4))
def test_of_spans_as_well(text: str, records: list[bytes]) -> None:
    of_span = text.replace("spanevent.", "span.")
    answers = both(of_span, records)
    assert len(answers) == len(records)


def test_answers_are_bytes_of_0_to_2() -> None:
    parsed = parse_condition('Len(attributes["x"]) == 1', events=False)
    batch = [record({b"x": b"a"}), record({b"x": b"ab"}), record()]
    answers = Program(parsed).evaluate(view_of(batch, (b"x",))[0])
    assert answers.dtype == np.uint8
    assert answers.tolist() == [YES, NO, FAILS]
