"""Cutting a trace out of records: everything that is not a span of another trace is kept."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.payload import (
    MalformedPayloadError,
    new_traces,
    parse,
    put_together,
    spans_of,
    split,
    take_apart,
)
from tests.oracle_otlp import Malformed, SpanFields, read_record, records
from tests.otlp_records import (
    TRACE_IDS,
    delimited,
    fixed,
    group,
    number_field,
)
from tests.real_records import real_records

ONE, TWO = TRACE_IDS[:2]
BROKEN_UTF8 = b"\xff\xfe caf\xe9 \xed\xa0\x80"


def span(
    trace_id: bytes, number: int = 1, *, kind: int = 0, start: int = 0, more: bytes = b""
) -> bytes:
    """A span of a ScopeSpans."""
    ids = delimited(1, trace_id) + delimited(2, number.to_bytes(8, "big"))
    return delimited(2, ids + number_field(6, kind) + fixed(7, start, 1) + more)


def scope(*parts: bytes) -> bytes:
    """A scope of a ResourceSpans."""
    return delimited(2, b"".join(parts))


def record(*scopes: bytes) -> bytes:
    """A record of one resource."""
    return delimited(1, b"".join(scopes))


def numbers(value: bytes) -> list[int]:
    return [int.from_bytes(found.span_id, "big") for _, _, found in spans_of(value)]


def fields(values: Sequence[bytes]) -> list[SpanFields]:
    found = []
    for value in values:
        spans = read_record(value)
        assert not isinstance(spans, Malformed)
        found += spans
    return found


def select_spans(values: Sequence[bytes], trace_id: bytes) -> tuple[bytes, int]:
    return put_together(map(take_apart, values), trace_id)


def identity(found: SpanFields) -> tuple[bytes, int, int]:
    return (found.span_id, found.kind, found.start)


def content(found: SpanFields) -> str:
    # The text, as NaN is not equal to itself; the number of its resource changes when others go.
    return repr(found).replace(f"resource={found.resource},", "")


class TestSelect:
    def test_spans_of_other_traces_stay_out(self) -> None:
        value = record(scope(span(ONE, 1), span(TWO, 2), span(ONE, 3)))

        selected, count = select_spans([value], ONE)

        assert (numbers(selected), count) == ([1, 3], 2)

    def test_records_are_joined_in_order_and_spans_never_reordered(self) -> None:
        first = record(scope(span(ONE, 9, start=5), span(ONE, 1)))
        second = record(scope(span(ONE, 4)), scope(span(ONE, 2)))

        assert numbers(select_spans([first, second], ONE)[0]) == [9, 1, 4, 2]
        assert numbers(select_spans([second, first], ONE)[0]) == [4, 2, 9, 1]

    @pytest.mark.parametrize(
        ("twin", "kept"),
        [
            (span(ONE, 1, kind=2, start=7), 1),
            (span(ONE, 1, kind=3, start=7), 2),
            (span(ONE, 1, kind=2, start=8), 2),
            (span(ONE, 2, kind=2, start=7), 2),
        ],
        ids=["the same again", "another kind", "another start", "another id"],
    )
    def test_a_span_is_told_by_id_kind_and_start(self, twin: bytes, kept: int) -> None:
        original = span(ONE, 1, kind=2, start=7)

        for values in (
            [record(scope(original, twin))],
            [record(scope(original)), record(scope(twin))],
        ):
            selected, count = select_spans(values, ONE)
            assert count == kept == len(numbers(selected))

    def test_the_first_of_two_duplicates_counts(self) -> None:
        named = [record(scope(span(ONE, more=delimited(5, name)))) for name in (b"first", b"again")]

        ((_, _, kept),) = spans_of(select_spans(named, ONE)[0])

        assert kept.name == b"first"

    def test_scopes_and_resources_without_a_span_of_the_trace_are_left_out(self) -> None:
        value = (
            record(scope(span(TWO)), scope())
            + record(scope(span(TWO)), scope(delimited(3, b"kept"), span(ONE)), scope(span(TWO)))
            + record()
        )

        selected = parse(select_spans([value], ONE)[0])

        assert [
            [len(scope.spans) for scope in resource.scope_spans]
            for resource in selected.resource_spans
        ] == [[1]]
        assert selected.resource_spans[0].scope_spans[0].schema_url == b"kept"

    def test_a_trace_that_is_not_there_is_no_bytes(self) -> None:
        assert select_spans([record(scope(span(TWO)))], ONE) == (b"", 0)
        assert select_spans([], ONE) == (b"", 0)

    def test_everything_around_a_span_is_kept_as_it_came(self) -> None:
        unknown = delimited(1000, BROKEN_UTF8) + group(17, number_field(0, 1)) + fixed(20, 5, 5)
        value = delimited(8, number_field(3, 2) + unknown) + delimited(1, BROKEN_UTF8)
        pair = delimited(1, BROKEN_UTF8) + delimited(2, value) + unknown
        inner = delimited(9, pair) + delimited(15, delimited(2, BROKEN_UTF8) + unknown)
        inner += delimited(3, BROKEN_UTF8) + delimited(5, BROKEN_UTF8) + unknown
        inner += delimited(11, delimited(2, BROKEN_UTF8) + unknown)
        inner += delimited(13, delimited(1, TWO) + unknown)
        scoped = delimited(1, delimited(1, BROKEN_UTF8) + unknown) + delimited(3, BROKEN_UTF8)
        resource = delimited(1, delimited(1, pair) + unknown) + delimited(3, BROKEN_UTF8)
        whole = record(resource, scope(scoped, unknown, span(ONE, more=inner)), unknown) + unknown
        mixed = record(
            scope(span(TWO)),
            scope(span(TWO), unknown, span(ONE, more=inner), scoped),
            unknown,
            resource,
        )

        selected, _ = select_spans([record(scope(span(TWO))) + mixed + unknown], ONE)

        assert selected == parse(whole).SerializeToString(deterministic=True)
        assert selected.count(BROKEN_UTF8) == whole.count(BROKEN_UTF8)

    def test_unknown_fields_of_a_record_without_a_span_of_the_trace_are_not_taken_along(
        self,
    ) -> None:
        kept = record(scope(span(ONE))) + number_field(1000, 1)
        other = record(scope(span(TWO))) + number_field(1000, 2)

        assert select_spans([other, kept], ONE) == select_spans([kept], ONE)

    def test_parts_serve_many_traces_and_are_not_changed(self) -> None:
        value = record(scope(span(ONE, 1), span(TWO, 2)), number_field(1000, 1))
        parts = [take_apart(value)]

        once = [put_together(parts, trace_id) for trace_id in (ONE, TWO)]
        again = [put_together(parts, trace_id) for trace_id in (ONE, TWO)]

        assert once == again == [select_spans([value], trace_id) for trace_id in (ONE, TWO)]

    def test_the_real_records_are_cut_into_their_traces(self) -> None:
        mixed = [take_apart(entry.value) for entry in real_records("otlp-proto-without-key")]
        by_trace: dict[bytes, list[bytes]] = {}
        for entry in real_records():
            assert entry.key is not None
            by_trace.setdefault(bytes.fromhex(entry.key.decode()), []).append(entry.value)

        for trace_id, values in by_trace.items():
            cut, count = put_together(mixed, trace_id)
            assert count == len(fields(values))
            assert Counter(map(content, fields([cut]))) == Counter(map(content, fields(values)))

    @given(st.lists(records(), max_size=3), st.sampled_from(TRACE_IDS))
    def test_it_keeps_the_first_of_each_span_of_the_trace(
        self,
        values: list[bytes],
        trace_id: bytes,
    ) -> None:
        wanted: dict[tuple[bytes, int, int], SpanFields] = {}
        for found in fields(values):
            if found.trace_id == trace_id:
                wanted.setdefault(identity(found), found)

        selected, count = select_spans(values, trace_id)

        assert list(map(content, fields([selected]))) == list(map(content, wanted.values()))
        assert count == len(wanted)

    @given(st.lists(records(), max_size=3), st.sampled_from(TRACE_IDS))
    def test_cutting_what_was_cut_changes_nothing(
        self,
        values: list[bytes],
        trace_id: bytes,
    ) -> None:
        selected, count = select_spans(values, trace_id)

        assert select_spans([selected], trace_id) == (selected, count)

    @given(st.lists(records(), min_size=2, max_size=3), st.sampled_from(TRACE_IDS))
    def test_another_order_of_records_keeps_the_same_spans(
        self,
        values: list[bytes],
        trace_id: bytes,
    ) -> None:
        kept = {
            frozenset(map(identity, fields([select_spans(order, trace_id)[0]])))
            for order in permutations(values)
        }

        assert len(kept) == 1


class TestParse:
    @pytest.mark.parametrize("value", [b"\xff", b"not protobuf", b"\x0a\x05abc"])
    def test_bytes_that_are_no_traces_are_refused(self, value: bytes) -> None:
        for read in (parse, take_apart, lambda value: list(spans_of(value))):
            with pytest.raises(
                MalformedPayloadError, match=f"These {len(value)} bytes are no OTLP"
            ):
                read(value)
        with pytest.raises(MalformedPayloadError):
            select_spans([b"", value], ONE)

    def test_no_bytes_are_a_message_without_spans(self) -> None:
        assert list(spans_of(b"")) == []
        assert new_traces().SerializeToString() == b""

    def test_spans_come_with_their_resource_and_scope(self) -> None:
        named = delimited(1, delimited(1, b"library"))
        owner = delimited(1, delimited(1, delimited(1, b"k")))
        value = record(scope(named, span(ONE, 1), span(ONE, 2)), owner)

        assert [
            (resource.attributes[0].key, scope.name, found.span_id[-1])
            for resource, scope, found in spans_of(value)
        ] == [(b"k", b"library", 1), (b"k", b"library", 2)]

    @given(records())
    def test_writing_a_parsed_record_keeps_what_it_says(self, value: bytes) -> None:
        again = parse(value).SerializeToString(deterministic=True)

        assert list(map(repr, fields([again]))) == list(map(repr, fields([value])))
        assert parse(again).SerializeToString(deterministic=True) == again


@given(
    st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=4), st.integers(1, 400)
)
def test_a_record_that_is_split_has_the_same_spans_in_parts_that_are_small_enough(
    shape: list[list[int]], most_bytes: int
) -> None:
    """The shape: of each resource how many spans each of its scopes has."""
    number, made = 0, []
    for resource in shape:
        scopes: list[bytes] = []
        for spans in resource:
            some = [
                span(ONE, number + one + 1, more=delimited(5, b"n" * 20)) for one in range(spans)
            ]
            scopes.append(scope(*some, delimited(3, b"schema %d" % len(scopes))))
            number += spans
        made.append(record(*scopes, delimited(9, b"unknown")))
    whole = b"".join(made) + delimited(11, b"beside them")
    parts = split(whole, ONE, most_bytes)
    assert [one for value, _ in parts for one in numbers(value)] == numbers(whole)
    assert [count for _, count in parts] == [len(numbers(value)) for value, _ in parts]
    assert all(len(value) <= most_bytes or count == 1 for value, count in parts if number)
    assert list(map(content, fields([value for value, _ in parts]))) == list(
        map(content, fields([whole]))
    )
    assert sum(b"beside them" in value for value, _ in parts) == (number > 0)
