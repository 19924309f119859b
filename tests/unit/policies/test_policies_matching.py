"""What spans match and whose they are, against the plain reading of the same records."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsampler.policies import (
    PolicySet,
    SpanPredicate,
    StatusIn,
    StringTest,
    TenantNumbers,
    compile_policies,
    load_policy_set,
)
from streamsampler.policies.matching import Matcher, Matches
from streamsampler.policies.roots import RootNumbers
from streamsampler.policies.tenants import OVERFLOW
from streamsampler.spans.messages import KeyValue, Repeated
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import Headers, join
from streamsampler.spans.scan import Scanner
from tests.oracle_otlp import Malformed, SpanFields, read_record
from tests.otlp_records import records

SOURCES = ["any", "span", "resource", "header"]
POLICIES = """
policies:
  - {name: e, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: u, type: status_code, status_code: {status_codes: [UNSET, OK]}}
  - {name: a, type: string_attribute, string_attribute: {key: k, values: [a, gold]}}
  - {name: r, type: string_attribute,
     string_attribute: {key: k, values: ["^go", "é$"], enabled_regex_matching: true}}
  - {name: s, type: string_attribute, string_attribute: {key: service.name, values: [gold]}}
  - {name: t, type: tenant, tenant: {tenants: {gold: always}}}
"""


def policy_set(source: str, policies: str = POLICIES) -> PolicySet:
    return load_policy_set(f"{policies}\ntenant: {{key: tenant.id, source: {source}}}", "table")


class Matching:
    """A matcher with what it needs: records in, matches out."""

    def __init__(self, policies: PolicySet, tenants: TenantNumbers | None = None) -> None:
        self.tenants = tenants or TenantNumbers()
        self.compiled = compile_policies(policies, self.tenants)
        source = self.compiled.policy_set.tenant
        self.matcher = Matcher(self.compiled.predicates, source, self.tenants, RootNumbers())
        self.scanner = Scanner(self.matcher.wanted)

    def match(self, values: list[bytes], headers: Sequence[Headers | None] = ()) -> Matches:
        n = len(values)
        headers = headers or [None] * n
        batch = join([0] * n, range(n), [0] * n, [None] * n, values, headers)
        scan = self.scanner.scan(batch.buffer, batch.bounds)
        return self.matcher.match(batch.buffer, scan, headers)

    def tenants_of(
        self, values: list[bytes], headers: Sequence[Headers | None] = ()
    ) -> list[bytes]:
        numbers = self.match(values, headers).tenants.tolist()
        return [self.tenants.name(number) for number in numbers]

    def names_of(self, value: bytes) -> list[list[str]]:
        """The names of the policies whose predicate each span of a record meets."""
        names = [policy.name for policy in self.compiled.policy_set.policies]
        return [
            [name for bit, name in enumerate(names) if int(word) >> bit & 1]
            for word in self.match([value]).matched
        ]


Attributes = dict[bytes, bytes | int | bool | float | None]


def record(spans: list[Attributes], resource: Attributes | None = None, status: int = 0) -> bytes:
    data = new_traces()
    group = data.resource_spans.add()
    scope = group.scope_spans.add()
    for number, attributes in enumerate(spans, 1):
        span = scope.spans.add()
        span.trace_id, span.span_id = b"t" * 16, number.to_bytes(8)
        span.status.code = status
        _fill(span.attributes, attributes)
    _fill(group.resource.attributes, resource or {})
    return data.SerializeToString()


def _fill(target: Repeated[KeyValue], attributes: Attributes) -> None:
    """Add attributes; None is one without a value."""
    for key, value in attributes.items():
        pair = target.add()
        pair.key = key
        match value:
            case bool():
                pair.value.bool_value = value
            case bytes():
                pair.value.string_value = value
            case int():
                pair.value.int_value = value
            case float():
                pair.value.double_value = value


# Property: any records, as the plain twin reads them.


def _strings(span: SpanFields, key: bytes) -> list[bytes]:
    held = [attributes.get(key) for attributes in (span.attributes, span.resource_attributes)]
    return [one[1] for one in held if one and one[0] == "string" and isinstance(one[1], bytes)]


def _plain_matched(span: SpanFields, predicates: Mapping[int, SpanPredicate]) -> int:
    word = 0
    for bit, predicate in predicates.items():
        if isinstance(predicate, StatusIn):
            met = span.status in predicate.codes
        else:
            assert isinstance(predicate, StringTest)
            met = any(predicate.matches(value) for value in _strings(span, predicate.key))
        word |= met << bit
    return word


def _plain_tenant(span: SpanFields, source: str, pairs: Headers | None) -> bytes:
    if source == "header":
        return next((value for name, value in pairs or () if name == "tenant.id"), b"")
    if source == "any":
        return min(filter(None, _strings(span, b"tenant.id")), default=b"")
    held = span.attributes if source == "span" else span.resource_attributes
    kind, value = held.get(b"tenant.id", ("none", None))
    return value if kind == "string" and isinstance(value, bytes) else b""


HEADERS = st.none() | st.lists(
    st.tuples(st.sampled_from(["tenant.id", "other"]), st.sampled_from([b"", b"a", b"gold"])),
    max_size=3,
)


@pytest.mark.parametrize("source", SOURCES)
@given(
    batches=st.lists(st.lists(st.tuples(records(), HEADERS), max_size=4), min_size=1, max_size=3)
)
@settings(max_examples=60)
def test_every_span_matches_what_a_plain_reader_says(
    source: str, batches: list[list[tuple[bytes, Headers | None]]]
) -> None:
    matching = Matching(policy_set(source))
    predicates = matching.compiled.predicates
    for batch in batches:
        values, headers = [value for value, _ in batch], [pairs for _, pairs in batch]
        matches = matching.match(values, headers)
        expected = []
        for value, pairs in batch:
            spans = read_record(value)
            assert not isinstance(spans, Malformed)
            expected += [
                (_plain_matched(span, predicates), _plain_tenant(span, source, pairs))
                for span in spans
            ]
        names = [matching.tenants.name(number) for number in matches.tenants.tolist()]
        assert list(zip(matches.matched.tolist(), names, strict=True)) == expected


# Rules, one by one.


STRINGS: dict[str, tuple[Attributes, Attributes, list[str]]] = {
    "on the span": ({b"k": b"gold"}, {}, ["whole", "start", "any"]),
    "on the resource": ({}, {b"k": b"gold"}, ["whole", "start", "any"]),
    "on both": ({b"k": b"gold"}, {b"k": b"gold"}, ["whole", "start", "any"]),
    "the resource's matches, the span's does not": (
        {b"k": b"x"}, {b"k": b"gold"}, ["whole", "start", "any"]),
    "the span's matches, the resource's does not": (
        {b"k": b"gold"}, {b"k": b"x"}, ["whole", "start", "any"]),
    "in the middle": ({b"k": b"old gold"}, {}, ["any"]),
    "longer": ({b"k": b"golden"}, {}, ["start", "any"]),
    "in capitals": ({b"k": b"GOLD"}, {}, ["any"]),
    "another key's": ({b"kk": b"gold", b"": b"gold"}, {b"K": b"gold"}, []),
    "an empty string": ({b"k": b""}, {}, []),
    "no value": ({b"k": None}, {}, []),
    "a number": ({b"k": 7}, {b"k": 7.0}, []),
    "a boolean": ({b"k": True}, {}, []),
    "a number spelled": ({b"k": b"7"}, {}, ["seven", "any"]),
    "invalid UTF-8": ({b"k": b"gold\xff"}, {}, ["start", "any"]),
    "a byte that is no UTF-8 is one character": ({b"k": b"a\xffb"}, {}, ["hole", "any"]),
    "two such bytes are two": ({b"k": b"a\xff\xfeb"}, {}, ["any"]),
    "a NUL inside": ({b"k": b"gold\0"}, {}, ["start", "any"]),
}  # fmt: skip
STRING_POLICIES = """
policies:
  - {name: whole, type: string_attribute, string_attribute: {key: k, values: [gold]}}
  - {name: start, type: string_attribute,
     string_attribute: {key: k, values: [^gold], enabled_regex_matching: true}}
  - {name: seven, type: string_attribute, string_attribute: {key: k, values: ["7"]}}
  - {name: hole, type: string_attribute,
     string_attribute: {key: k, values: ["^a.b$"], enabled_regex_matching: true}}
  - {name: any, type: string_attribute,
     string_attribute: {key: k, values: ["(?s)."], enabled_regex_matching: true}}
"""


@pytest.mark.parametrize("name", STRINGS)
def test_string_rules(name: str) -> None:
    span, resource, expected = STRINGS[name]
    matching = Matching(policy_set("any", STRING_POLICIES))
    assert matching.names_of(record([span, {}], resource))[0] == expected


def test_a_resource_counts_for_each_of_its_spans_and_no_others() -> None:
    matching = Matching(policy_set("any", STRING_POLICIES))
    joined = record([{}, {}], {b"k": b"gold"}) + record([{}, {b"k": b"7"}], {b"k": b"x"})
    assert matching.names_of(joined) == [
        ["whole", "start", "any"],
        ["whole", "start", "any"],
        ["any"],
        ["seven", "any"],
    ]


@pytest.mark.parametrize(
    ("code", "names"),
    [(0, ["u"]), (1, ["u"]), (2, ["e"]), (3, []), (-1, []), (2**31 - 1, []), (-(2**31), [])],
)
def test_a_status_is_one_of_three_or_none(code: int, names: list[str]) -> None:
    assert Matching(policy_set("any")).names_of(record([{}], status=code)) == [names]


HEADER = [("tenant.id", b"header")]
TENANTS: dict[str, tuple[Attributes, Attributes, dict[str, bytes]]] = {
    "span and resource": (
        {b"tenant.id": b"b"}, {b"tenant.id": b"c"},
        {"any": b"b", "span": b"b", "resource": b"c", "header": b"header"}),
    "the resource's is smaller": (
        {b"tenant.id": b"b"}, {b"tenant.id": b"a"},
        {"any": b"a", "span": b"b", "resource": b"a", "header": b"header"}),
    "smaller by bytes, not by numbers": (
        {b"tenant.id": b"9"}, {b"tenant.id": b"10"},
        {"any": b"10", "span": b"9", "resource": b"10", "header": b"header"}),
    "bytes above ASCII are the largest": (
        {b"tenant.id": b"\xff"}, {b"tenant.id": b"z"},
        {"any": b"z", "span": b"\xff", "resource": b"z", "header": b"header"}),
    "only the span's": (
        {b"tenant.id": b"b"}, {},
        {"any": b"b", "span": b"b", "resource": b"", "header": b"header"}),
    "only the resource's": (
        {}, {b"tenant.id": b"c"},
        {"any": b"c", "span": b"", "resource": b"c", "header": b"header"}),
    "an empty one is none": (
        {b"tenant.id": b""}, {b"tenant.id": b"c"},
        {"any": b"c", "span": b"", "resource": b"c", "header": b"header"}),
    "a number is none": (
        {b"tenant.id": 5}, {b"tenant.id": True},
        {"any": b"", "span": b"", "resource": b"", "header": b"header"}),
    "none at all": ({}, {}, {"any": b"", "span": b"", "resource": b"", "header": b"header"}),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", TENANTS)
def test_tenant_rules(name: str, source: str) -> None:
    span, resource, expected = TENANTS[name]
    matching = Matching(policy_set(source))
    assert matching.tenants_of([record([span], resource)], [HEADER]) == [expected[source]]


@pytest.mark.parametrize(
    ("pairs", "tenant"),
    [
        (None, b""),
        ([], b""),
        ([("other", b"x")], b""),
        ([("Tenant.Id", b"x")], b""),
        ([("tenant.id", b"")], b""),
        ([("other", b"x"), ("tenant.id", b"one"), ("tenant.id", b"two")], b"one"),
        ([("tenant.id", b"\xff\0")], b"\xff\0"),
    ],
)
def test_header_rules(pairs: Headers | None, tenant: bytes) -> None:
    matching = Matching(policy_set("header"))
    neighbours = [("tenant.id", b"n")]
    values = [record([{}]), record([{}, {}]), record([{}])]
    found = matching.tenants_of(values, [neighbours, pairs, neighbours])
    assert found == [b"n", tenant, tenant, b"n"]


def test_ranks_order_tenants_by_the_bytes_of_their_names() -> None:
    matching = Matching(policy_set("span"))
    names = [b"b", b"a", b"ab", b"\xff", b"10", b"9", b"A"]
    matching.tenants_of([record([{b"tenant.id": name} for name in names])])
    ranks = matching.matcher.ranks()
    assert len(ranks) == matching.tenants.count
    by_rank = sorted(range(len(ranks)), key=ranks.__getitem__)
    found = [matching.tenants.name(number) for number in by_rank]
    assert found == sorted([b"", b"(overflow)", b"gold", *names])
    assert ranks.dtype == np.int32


def test_tenants_beyond_the_limit_share_one_number() -> None:
    matching = Matching(policy_set("span"), TenantNumbers(capacity=3))
    spans: list[Attributes] = [{b"tenant.id": b"%d" % number} for number in range(6)]
    numbers = matching.match([record(spans)]).tenants.tolist()
    assert numbers[2:] == [OVERFLOW] * 4
    assert len(set(numbers)) == 3
    # A tenant that a policy names has its number, whoever came before.
    assert matching.tenants_of([record([{b"tenant.id": b"gold"}])]) == [b"gold"]


def test_a_stranger_who_invents_values_does_not_change_the_answers() -> None:
    matching = Matching(policy_set("span", STRING_POLICIES))
    for batch in range(4):
        spans: list[Attributes] = [
            {b"k": b"x" * 40 + b"%d" % (batch * 22_000 + number)} for number in range(22_000)
        ]
        # Numbers are given anew once there are too many; "gold" gets another each time.
        spans.insert(batch, {b"k": b"gold"})
        matched = matching.match([record(spans)]).matched.tolist()
        assert matched.pop(batch) == 0b10011
        assert set(matched) == {0b10000}


def test_a_batch_without_spans_matches_nothing() -> None:
    for values in ([], [b""], [b"\x0a\x00"]):
        matches = Matching(policy_set("any")).match(values)
        assert len(matches.matched) == len(matches.tenants) == 0
