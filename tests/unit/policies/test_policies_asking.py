"""Predicates put together from others, against the plain reading of the same records."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsampler.policies import SpanPredicate, StatusIn, StringTest, TenantNumbers, TenantSource
from streamsampler.policies.matching import Matcher
from streamsampler.policies.predicates import (
    AllOf,
    AnyOf,
    BoolTest,
    Condition,
    ConditionFails,
    FlagsTest,
    HasKey,
    IsRoot,
    Negated,
    NumberTest,
    StateTest,
)
from streamsampler.policies.roots import SERVICE_KEY, RootNumbers
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import join
from streamsampler.spans.scan import Scanner
from tests.oracle_otlp import Malformed, SpanFields, Value, read_record, records

NO_TENANTS = TenantSource("", "header")


def matched(predicates: dict[int, SpanPredicate], batches: list[list[bytes]]) -> list[list[int]]:
    """What one matcher says of the spans of each batch."""
    matcher = Matcher(predicates, NO_TENANTS, TenantNumbers(), RootNumbers())
    scanner = Scanner(matcher.wanted, events=matcher.reads_events, scopes=matcher.reads_scopes)
    found = []
    for values in batches:
        n = len(values)
        batch = join([0] * n, range(n), [0] * n, [None] * n, values, [None] * n)
        scan = scanner.scan(batch.buffer, batch.bounds)
        found.append(matcher.match(batch.buffer, scan, batch.headers).matched.tolist())
    return found


def meets(span: SpanFields, predicate: SpanPredicate) -> bool:  # noqa: C901, PLR0911 - one each
    def held(key: bytes) -> list[Value]:
        return [has[key] for has in (span.attributes, span.resource_attributes) if key in has]

    match predicate:
        case StatusIn(codes):
            return span.status in codes
        case StringTest(key):
            return any(
                kind == "string" and isinstance(value, bytes) and predicate.matches(value)
                for kind, value in held(key)
            )
        case NumberTest(key, least, most):
            low, high = (-(2**63) if least is None else least), (2**63 if most is None else most)
            return any(
                kind == "int" and isinstance(value, int) and low <= value <= high
                for kind, value in held(key)
            )
        case BoolTest(key, wanted):
            return ("bool", wanted) in held(key)
        case HasKey(key):
            return bool(held(key))
        case StateTest():
            return predicate.matches(span.trace_state)
        case FlagsTest(mask):
            return bool(span.flags & mask)
        case IsRoot():
            return span.parent_span_id == b""
        case AllOf(tests):
            return all(meets(span, test) for test in tests)
        case AnyOf(tests):
            return any(meets(span, test) for test in tests)
        case Negated(test):
            return not meets(span, test)
        case _:
            raise NotImplementedError(predicate)


keys = st.sampled_from([b"k", b"tenant.id", b"http.status_code", b"\xff"])
texts = st.sampled_from([b"a", b"gold", b"x", b"\xff"])
members = st.sampled_from([b"th:8", b"x", b"gold"])
numbers = st.one_of(st.none(), st.sampled_from([-(2**63), -1, 0, 1, 200, 500, 2**63 - 1]))
leaves: st.SearchStrategy[SpanPredicate] = st.one_of(
    st.builds(StatusIn, st.frozensets(st.integers(0, 2))),
    st.builds(StringTest, keys, st.frozensets(texts, max_size=2), st.none()),
    st.builds(StringTest, keys, st.none(), st.sampled_from([(b"^g",), (b"a", b"d$"), (b"",)])),
    st.builds(NumberTest, keys, numbers, numbers),
    st.builds(BoolTest, keys, st.booleans()),
    st.builds(HasKey, keys),
    st.builds(StateTest, st.sampled_from([b"ot", b"v"]), st.frozensets(members, max_size=2)),
    st.builds(FlagsTest, st.sampled_from([1, 2, 0x100])),
    st.just(IsRoot()),
)
predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Negated, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=100)
@given(
    st.dictionaries(st.integers(0, 63), predicates, min_size=1, max_size=8),
    st.lists(st.lists(records(), max_size=4), min_size=1, max_size=2),
)
def test_compiled_and_plain_agree(
    drawn: dict[int, SpanPredicate], batches: list[list[bytes]]
) -> None:
    expected = []
    for values in batches:
        words = []
        for value in values:
            spans = read_record(value)
            assert not isinstance(spans, Malformed)
            words += [sum(meets(span, p) << bit for bit, p in drawn.items()) for span in spans]
        expected.append(words)
    assert matched(drawn, batches) == expected


# Rules, one by one: spans of one record, and which of them meet the predicate.


def record(*states: bytes, flags: int = 0) -> bytes:
    """A span for each tracestate."""
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    for number, state in enumerate(states, 1):
        span = scope.spans.add()
        span.trace_id, span.span_id = b"t" * 16, number.to_bytes(8)
        span.trace_state, span.flags = state, flags
    return data.SerializeToString()


GOLD = StateTest(b"tier", frozenset({b"gold", b"silver"}))
LONG = b",".join(b"k%d=v" % number for number in range(32))


@pytest.mark.parametrize(
    ("state", "met"),
    [
        (b"tier=gold", True),
        (b"tier=silver", True),
        (b"tier=bronze", False),
        (b"tier=golden", False),
        (b"a=b, tier=gold ,c=d", True),
        (b"a=b,,tier=gold", True),
        (b"tier=Gold", False),
        (b"xtier=gold", False),
        (b"tier=gold;x", False),
        (b"", False),
        # a list that breaks a rule anywhere says nothing
        (b"tier=gold,tier=silver", False),
        (b"tier=gold,b", False),
        (b"tier=gold,B=c", False),
        (b"tier=gold,b=\xff", False),
        (b"tier=gold," + LONG, False),
        (b"tier=gold," + LONG.rpartition(b",")[0], True),
    ],
)
def test_a_member_of_the_tracestate(state: bytes, *, met: bool) -> None:
    inner = AllOf((GOLD, IsRoot()))
    assert matched({0: GOLD, 1: inner}, [[record(b"", state)]]) == [[0, 3 * met]]


def test_flags_are_a_mask() -> None:
    tests: dict[int, SpanPredicate] = {5: FlagsTest(1), 6: FlagsTest(0x101)}
    batches = [[record(b"", flags=flags)] for flags in (0, 1, 0x100, 0x101, 2)]
    assert [batch[0] >> 5 for batch in matched(tests, batches)] == [0, 3, 2, 3, 0]


def test_bits_stay_where_they_were_given() -> None:
    root, named = IsRoot(), Negated(HasKey(b"k"))
    assert matched({63: root, 7: named}, [[record(b"")]]) == [[1 << 63 | 1 << 7]]


# OTTL conditions: of a span, or of any of its events; they can fail.


def eventful(*spans: tuple[int | bytes, list[bytes]]) -> bytes:
    """For each span its attribute k, and the names of its events."""
    data = new_traces()
    scope = data.resource_spans.add().scope_spans.add()
    scope.scope.name = b"lib"
    for number, (value, events) in enumerate(spans, 1):
        span = scope.spans.add()
        span.trace_id, span.span_id = b"t" * 16, number.to_bytes(8)
        pair = span.attributes.add()
        pair.key = b"k"
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value
        for name in events:
            span.events.add().name = name
    return data.SerializeToString()


LARGE = 'attributes["k"] > 5'
UPPER = 'ToUpperCase(attributes["k"]) == "A"'
THROWN = 'name == "exception"'
BATCH = [eventful((9, []), (b"a", [b"exception"]), (1, [b"start", b"exception", b"exception"]))]


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (Condition(LARGE, events=False), [1, 0, 0]),
        (Condition(UPPER, events=False), [0, 1, 0]),
        (ConditionFails(UPPER, events=False), [1, 0, 1]),
        (ConditionFails(LARGE, events=False), [0, 0, 0]),
        (Condition(THROWN, events=True), [0, 1, 1]),
        (Condition('name == "start"', events=True), [0, 0, 1]),
        (ConditionFails(THROWN, events=True), [0, 0, 0]),
        (ConditionFails('ToUpperCase(attributes["none"]) == "A"', events=True), [0, 1, 1]),
        (Condition('instrumentation_scope.name == "lib"', events=False), [1, 1, 1]),
        (AllOf((Condition(THROWN, events=True), NumberTest(b"k", 1, None))), [0, 0, 1]),
        (Negated(Condition(LARGE, events=False)), [0, 1, 1]),
        (AnyOf((Condition(LARGE, events=False), StringTest(b"k", frozenset({b"a"}), None))),
         [1, 1, 0]),
    ],
)  # fmt: skip
def test_conditions(predicate: SpanPredicate, expected: list[int]) -> None:
    # a second time in the same batch, and once more in another
    assert matched({0: predicate}, [BATCH, [], BATCH + BATCH]) == [
        expected, [], expected + expected
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("predicate", "wanted", "events", "scopes"),
    [
        (Condition(LARGE, events=False), (b"k",), False, False),
        (ConditionFails(LARGE, events=False), (b"k",), False, False),
        (Negated(AllOf((Condition(THROWN, events=True), HasKey(b"j")))), (b"j",), True, False),
        (Condition('instrumentation_scope.name == "x"', events=False), (), False, True),
        (
            Condition('attributes["b"] == resource.attributes["a"]', events=False),
            (b"a", b"b"), False, False,
        ),
    ],
)  # fmt: skip
def test_the_scan_must_find_what_conditions_read(
    predicate: SpanPredicate, wanted: tuple[bytes, ...], *, events: bool, scopes: bool
) -> None:
    matcher = Matcher({3: predicate}, NO_TENANTS, TenantNumbers(), RootNumbers())
    assert matcher.wanted == (*wanted, SERVICE_KEY)
    assert (matcher.reads_events, matcher.reads_scopes) == (events, scopes)
