"""Bad and odd records: each ends as kept and counted spans or as a dead letter, alone."""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Checkpoint, Counts, DeadLetter, Outcome, Sampler
from streamsampler.spans.malformed import REASONS, MalformedRecord, Refusal
from streamsampler.spans.messages import Span, TracesData
from streamsampler.spans.payload import new_traces, parse, spans_of
from streamsampler.spans.records import Headers, RecordBatch, join
from streamsampler.store import BlockStore
from tests.oracle_otlp import Malformed, hostile_records, read_record
from tests.otlp_records import (
    FIXED32,
    FIXED64,
    LENGTH,
    VARINT,
    delimited,
    fixed,
    group,
    in_span,
    number_field,
    tag,
    varint,
)

# Nobody knows with which chance: spans state nothing new, and leave as they came.
ALWAYS = load_policy_set(
    "policies: [{name: all, type: rate_limiting, rate_limiting: {spans_per_second: 1000000000}}]",
    "table",
)
TRACE, OTHER = b"t" * 16, b"u" * 16  # in_span's trace, and another
SPAN = b"s" * 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("bad")
    with BlockStore(path / "blocks") as opened:
        yield opened


@pytest.fixture
def sampler(store: BlockStore) -> Sampler:
    made = Sampler(ALWAYS, store)
    made.assign(0)
    return made


def batch_of(
    values: Sequence[bytes | None],
    first: int = 0,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Headers | None] | None = None,
) -> RecordBatch:
    n = len(values)
    offsets = range(first, first + n)
    return join([0] * n, offsets, [1000] * n, keys or [None] * n, values, headers or [None] * n)


def one_span(trace_id: bytes, content: bytes = b"") -> bytes:
    ids = delimited(1, trace_id) + delimited(2, SPAN)
    return delimited(1, delimited(2, delimited(2, ids + content)))


NEIGHBOURS = [one_span(bytes([n]) * 16, delimited(5, b"neighbour")) for n in (1, 2, 3)]


class Run:
    """A record between two sound ones; then the engine goes on with a third."""

    def __init__(self, sampler: Sampler, value: bytes | None) -> None:
        before, behind, later = NEIGHBOURS
        self.outcomes: list[Outcome] = []
        for outcome in (
            sampler.submit(batch_of([before, value, behind])),
            sampler.submit(batch_of([later], first=3)),
            sampler.finish(),
        ):
            self.outcomes.append(outcome)
            assert sampler.counts(0).conserved()
        self.counts: Counts = sampler.counts(0)
        emissions = [one for outcome in self.outcomes for one in outcome.emissions]
        self.neighbours = [one.value for one in emissions if one.value in NEIGHBOURS]
        self.emissions = [one for one in emissions if one.value not in NEIGHBOURS]
        self.dead: list[DeadLetter] = [
            letter for outcome in self.outcomes for letter in outcome.dead_letters
        ]
        assert self.neighbours == NEIGHBOURS
        assert self.counts.records == 4
        assert self.counts.buffered == 0
        assert self.counts.kept == 3 + sum(one.spans for one in self.emissions)


# What is no trace data.

SPANS_JSON = json.dumps(
    {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "01" * 16, "spanId": "02" * 8}]}]}]}
).encode()


def _span_of(*fields: bytes) -> bytes:
    return delimited(1, delimited(2, delimited(2, b"".join(fields))))


ID, SPAN_ID = delimited(1, TRACE), delimited(2, SPAN)
DEAD: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "empty_value"),
    "an empty value": (b"", "empty_value"),
    "garbage": (bytes(range(200, 256)) * 3, "bad_tag"),
    "one byte": (b"\x0a", "bad_length"),
    "zeros": (bytes(100), "bad_tag"),
    "text": (b"not a span at all", "bad_tag"),
    "OTLP JSON": (SPANS_JSON, "truncated"),
    "gzip": (gzip.compress(in_span(b"")), "bad_tag"),
    "900 kB of garbage": (b"\xf7" * 900_000, "bad_tag"),
    "cut in the middle": (in_span(b"")[:20], "truncated"),
    "cut by a byte": (in_span(b"")[:-1], "truncated"),
    "a sound span, then half a one": (in_span(b"") + in_span(b"")[:-3], "truncated"),
    "a length of 2**63 - 1": (b"\x0a" + varint(2**63 - 1) + b"x", "bad_length"),
    "a length of 2**63": (b"\x0a" + varint(2**63) + b"x", "bad_length"),
    "a length of 2**64 - 1": (b"\x0a" + varint(2**64 - 1) + b"x", "bad_length"),
    "a length of 2**31 - 1": (b"\x0a" + varint(2**31 - 1) + b"x", "truncated"),
    "a name of 2**63 - 8 bytes": (in_span(b"\x2a" + varint(2**63 - 8) + b"x"), "bad_length"),
    "a name longer than its span": (in_span(b"\x2a\x7fx"), "truncated"),
    "a varint without end": (tag(9, VARINT) + b"\xff" * 12, "bad_varint"),
    "a group without end": (tag(9, 3) + b"\x08\x01", "bad_tag"),
    "groups nested a thousand deep": (tag(9, 3) * 1000 + tag(9, 4) * 1000, "too_deep"),
    "no ids": (_span_of(), "bad_trace_id"),
    "no trace id": (_span_of(SPAN_ID), "bad_trace_id"),
    "no span id": (_span_of(ID), "bad_span_id"),
    "a zero trace id": (_span_of(delimited(1, bytes(16)), SPAN_ID), "bad_trace_id"),
    "a zero span id": (_span_of(ID, delimited(2, bytes(8))), "bad_span_id"),
    "a trace id of 8 bytes": (_span_of(delimited(1, b"t" * 8), SPAN_ID), "bad_trace_id"),
    "a trace id of 17 bytes": (_span_of(delimited(1, b"t" * 17), SPAN_ID), "bad_trace_id"),
    "a trace id in hexadecimal": (_span_of(delimited(1, b"0" * 32), SPAN_ID), "bad_trace_id"),
    "a span id of 7 bytes": (_span_of(ID, delimited(2, b"s" * 7)), "bad_span_id"),
    "a span id of 16 bytes": (_span_of(ID, delimited(2, b"s" * 16)), "bad_span_id"),
    "a parent id of 4 bytes": (_span_of(ID, SPAN_ID, delimited(4, b"p" * 4)), "bad_parent_id"),
    "a link to a trace of 15 bytes": (
        _span_of(ID, SPAN_ID, delimited(13, delimited(1, b"l" * 15))), "bad_link_id"),
    "a link to a span of 9 bytes": (
        _span_of(ID, SPAN_ID, delimited(13, delimited(2, b"l" * 9))), "bad_link_id"),
    "a bad trace id behind a good one": (
        _span_of(ID, SPAN_ID, delimited(1, b"short")), "bad_trace_id"),
    "a bad span id behind a good one": (
        _span_of(ID, SPAN_ID, delimited(2, b"short")), "bad_span_id"),
    "an empty span id behind a good one": (_span_of(ID, SPAN_ID, delimited(2, b"")), "bad_span_id"),
    "a bad span behind a sound one": (in_span(b"") + _span_of(ID), "bad_span_id"),
    "a bad span before a sound one": (_span_of(ID) + in_span(b""), "bad_span_id"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEAD)
def test_a_record_that_cannot_be_read_is_a_dead_letter(sampler: Sampler, name: str) -> None:
    value, reason = DEAD[name]
    run = Run(sampler, value)
    assert run.emissions == []
    (letter,) = run.dead
    assert letter.record == 1
    assert letter.reason == reason
    assert letter.detail == "the record has no value" or " before byte " in letter.detail
    assert (run.counts.dead_lettered, run.counts.records_dead) == (1, 1)
    assert run.counts.dead[REASONS.index(letter.reason)] == 1
    assert run.counts.spans_in == 4


def test_the_detail_says_where(sampler: Sampler) -> None:
    value = in_span(b"") + b"\x0a" + varint(2**63)
    (letter,) = sampler.submit(batch_of([value])).dead_letters
    assert letter == DeadLetter(
        0, "bad_length", f"bad length before byte {len(in_span(b'')) + 1} of the value"
    )


def test_each_dead_letter_names_its_own_record(sampler: Sampler) -> None:
    values = [b"", NEIGHBOURS[0], b"\x0a", NEIGHBOURS[1], bytes(3), _span_of()]
    outcome = sampler.submit(batch_of(values))
    assert [(one.record, one.reason) for one in outcome.dead_letters] == [
        (0, "empty_value"), (2, "bad_length"), (4, "bad_tag"), (5, "bad_trace_id"),
    ]  # fmt: skip
    counts = sampler.counts(0)
    assert (counts.spans_in, counts.buffered, counts.dead_lettered) == (6, 2, 4)
    assert counts.told()["dead"] == {
        "empty_value": 1, "bad_length": 1, "bad_tag": 1, "bad_trace_id": 1,
    }  # fmt: skip


@pytest.mark.parametrize("reason", get_args(Refusal))
def test_a_record_that_no_translation_took_says_why_and_is_counted_so(
    sampler: Sampler, reason: Refusal
) -> None:
    batch = batch_of([NEIGHBOURS[0], b"\xff", b"\xff"])
    why = {1: MalformedRecord(reason, "line 1: expected a value")}
    outcome = sampler.submit(replace(batch, malformed=why))
    assert outcome.dead_letters == [
        DeadLetter(1, reason, "line 1: expected a value"),
        DeadLetter(2, "bad_tag", "bad tag before byte 0 of the value"),
    ]
    assert sampler.counts(0).told()["dead"] == {reason: 1, "bad_tag": 1}
    assert sampler.counts(0).conserved()


def test_dead_letters_of_an_earlier_owner_are_not_counted_again(sampler: Sampler) -> None:
    sampler.revoke(0)
    sampler.assign(0, Checkpoint(0, 2, 1_000))
    outcome = sampler.submit(batch_of([b"", b"\x0a", b"\x0a"]))
    assert [one.record for one in outcome.dead_letters] == [2]
    assert sampler.counts(0).told()["dead"] == {"bad_length": 1}


# What is odd, and trace data all the same.

DEPTH = 10


def _nested() -> bytes:
    """Write one value of every type, in arrays and maps ten deep."""
    scalars = [
        delimited(1, b"text"), number_field(2, 1), number_field(3, 2**64 - 5),
        fixed(4, 0x7FF0000000000001, FIXED64), delimited(7, b"\0\xff"), b"",
    ]  # fmt: skip
    value = delimited(5, b"".join(delimited(1, scalar) for scalar in scalars))
    for level in range(DEPTH):
        pair = delimited(1, b"k%d" % level) + delimited(2, value)
        value = delimited(6, delimited(1, pair)) if level % 2 else delimited(5, delimited(1, value))
    return delimited(9, delimited(1, b"deep") + delimited(2, value))


def _attribute(key: bytes, value: bytes) -> bytes:
    return delimited(9, delimited(1, key) + delimited(2, delimited(1, value)))


UNKNOWN = (
    number_field(999, 2**64 - 1)
    + fixed(998, 7, FIXED64)
    + fixed(997, 7, FIXED32)
    + delimited(996, b"unknown\xff")
    + group(995, delimited(1, b"in a group"))
)
FIRST_MS = 10**6
RESOURCE = delimited(1, delimited(1, delimited(1, b"service.name")))
SCOPE = delimited(1, delimited(1, b"scope"))
SPAN_BYTES = delimited(2, ID + SPAN_ID)
KEPT: dict[str, bytes] = {
    "a plain span": in_span(b""),
    "invalid UTF-8 in the name": in_span(delimited(5, b"caf\xe9\xff")),
    "invalid UTF-8 in a key": in_span(_attribute(b"\xc3\x28", b"value")),
    "invalid UTF-8 in a value": in_span(_attribute(b"key", b"\xed\xa0\x80\xff")),
    "a surrogate in the tracestate": in_span(delimited(3, b"\xed\xb0\x80")),
    "unknown fields of the span": in_span(UNKNOWN),
    "unknown fields around it": (
        UNKNOWN + delimited(1, UNKNOWN + delimited(2, UNKNOWN + SPAN_BYTES) + UNKNOWN)
    ),
    "known fields of other types": in_span(
        number_field(1, 5) + fixed(5, 5, FIXED64) + number_field(7, 5) + delimited(6, b"x")
        + group(2) + delimited(16, b"y")
    ),
    "it ends before it starts": in_span(fixed(7, 2 * FIRST_MS, 1) + fixed(8, FIRST_MS, 1)),
    "it has no times": in_span(fixed(7, 0, 1) + fixed(8, 0, 1)),
    "its times are the largest": in_span(fixed(7, 2**64 - 1, 1) + fixed(8, 2**64 - 1, 1)),
    "every type of value ten deep": in_span(_nested()),
    "a record of 900 kB": in_span(_attribute(b"large", b"\xff" * 900_000)),
    "a name of 900 kB": in_span(delimited(5, b"n" * 900_000)),
    "100,000 empty attributes": in_span(delimited(9, b"") * 100_000),
    "the resource behind its spans": delimited(1, delimited(2, SPAN_BYTES) + RESOURCE),
    "the scope behind its spans": delimited(1, delimited(2, SPAN_BYTES + SCOPE)),
    "the ids last": in_span(delimited(5, b"name") + number_field(6, 2)),
    "the span id first": _span_of(SPAN_ID, delimited(5, b"name"), ID),
    "names twice": in_span(delimited(5, b"first") + delimited(5, b"second")),
    "ids twice": _span_of(delimited(1, OTHER), delimited(2, b"x" * 8), ID, SPAN_ID),
    "a bad id before a good one": _span_of(delimited(1, b"short"), ID, SPAN_ID),
    "a resource twice": delimited(1, RESOURCE + delimited(2, SPAN_BYTES) + RESOURCE),
    "a padded length": delimited(1, delimited(2, SPAN_BYTES, pad=3), pad=2),
    "a padded tag": tag(1, LENGTH, pad=2) + in_span(b"")[1:],
    "a zero parent id": in_span(delimited(4, bytes(8))),
    "an empty parent id": in_span(delimited(4, b"")),
    "it is its own parent": in_span(delimited(4, SPAN)),
    "a kind and a status that are none": in_span(
        number_field(6, 99) + delimited(15, number_field(3, 77))
    ),
    "empty resources and scopes beside it": (
        delimited(1, b"") + delimited(1, delimited(2, b"")) + in_span(b"") + delimited(1, b"")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_an_odd_span_is_kept_byte_for_byte(sampler: Sampler, name: str) -> None:
    run = Run(sampler, KEPT[name])
    assert run.dead == []
    (emission,) = run.emissions
    assert emission.value == KEPT[name]
    assert (emission.trace_id, emission.spans, emission.late) == (TRACE, 1, False)
    assert [len(outcome.decisions) for outcome in run.outcomes] == [0, 0, 4]
    assert run.counts.spans_in == 4


def _second_trace(value: bytes) -> bytes:
    """Put a span of another trace behind a record, so that it has to be taken apart."""
    return value + one_span(OTHER, delimited(5, b"other"))


def _the_span(value: bytes) -> tuple[TracesData, Span]:
    data = parse(value)
    (span,) = [span for _, _, span in spans_of(value) if span.trace_id == TRACE]
    return data, span


@pytest.mark.parametrize("name", KEPT)
def test_an_odd_span_in_a_record_of_two_traces_keeps_every_byte(
    sampler: Sampler, name: str
) -> None:
    value = _second_trace(KEPT[name])
    run = Run(sampler, value)
    assert run.dead == []
    assert sorted((one.trace_id, one.spans) for one in run.emissions) == [(TRACE, 1), (OTHER, 1)]
    (emission,) = [one for one in run.emissions if one.trace_id == TRACE]
    data, span = _the_span(emission.value)
    assert [one.trace_id for _, _, one in spans_of(emission.value)] == [TRACE]
    # Deterministic bytes: equal ones mean equal fields, unknown ones among them.
    original = _the_span(KEPT[name])
    assert span.SerializeToString(deterministic=True) == original[1].SerializeToString(
        deterministic=True
    )
    shells = [_without_spans(one) for one in (data, original[0])]
    assert shells[0] == shells[1]


def _without_spans(data: TracesData) -> bytes:
    """What is around the spans; resources and scopes without any do not count."""
    kept = [one for one in data.resource_spans if any(scope.spans for scope in one.scope_spans)]
    shell = new_traces()
    shell.CopyFrom(data)
    del shell.resource_spans[:]
    for one in kept:
        copied = shell.resource_spans.add()
        copied.CopyFrom(one)
        for scope in copied.scope_spans:
            del scope.spans[:]
    return shell.SerializeToString(deterministic=True)


def test_a_record_of_500_traces_is_500_traces_of_one_span(sampler: Sampler) -> None:
    traces = [n.to_bytes(2) * 8 for n in range(1000, 1500)]
    value = b"".join(one_span(one, delimited(5, b"span of " + one)) for one in traces)
    run = Run(sampler, value)
    assert run.dead == []
    assert sorted(one.trace_id for one in run.emissions) == sorted(traces)
    for emission in run.emissions:
        (found,) = [span for _, _, span in spans_of(emission.value)]
        assert (found.trace_id, found.name) == (emission.trace_id, b"span of " + emission.trace_id)
    assert run.counts.records_key_mismatch == 0
    assert run.counts.spans_in == 503


def test_a_duration_that_is_none_is_zero(sampler: Sampler) -> None:
    sampler.submit(batch_of([KEPT["it ends before it starts"]]))
    (decision,) = sampler.finish().decisions
    assert decision.duration_ns == 0


def test_a_duration_beyond_all_bounds_is_the_largest(sampler: Sampler) -> None:
    sampler.submit(batch_of([in_span(fixed(7, 0, 1) + fixed(8, 2**64 - 1, 1))]))
    (decision,) = sampler.finish().decisions
    assert decision.duration_ns == 2**63 - 1


# Keys, signals, records without spans.

KEY = TRACE.hex().encode()


@pytest.mark.parametrize(
    ("key", "value", "counted"),
    [
        (KEY, in_span(b""), {}),
        (None, in_span(b""), {"records_keyless": 1}),
        (b"", in_span(b""), {"records_keyless": 1}),
        (b"ab" * 16, one_span(b"\xab" * 16), {}),
        (b"AB" * 16, one_span(b"\xab" * 16), {"records_key_mismatch": 1}),
        (TRACE, in_span(b""), {"records_key_mismatch": 1}),
        (OTHER.hex().encode(), in_span(b""), {"records_key_mismatch": 1}),
        (KEY, _second_trace(in_span(b"")), {"records_key_mismatch": 1}),
        (None, _second_trace(in_span(b"")), {"records_keyless": 1}),
        (KEY, delimited(1, b""), {"records_without_spans": 1}),
        (None, delimited(1, delimited(2, b"")), {"records_without_spans": 1}),
        (None, b"\x0a", {"records_dead": 1}),
        (None, b"", {"records_dead": 1}),
    ],
)
def test_what_a_key_says_is_counted_and_the_payload_is_taken(
    sampler: Sampler, key: bytes | None, value: bytes, counted: dict[str, int]
) -> None:
    sampler.submit(batch_of([value], keys=[key]))
    kinds = (
        "records_keyless", "records_key_mismatch", "records_without_spans",
        "records_other_signal", "records_dead",
    )  # fmt: skip
    counts = sampler.counts(0)
    assert {kind: getattr(counts, kind) for kind in kinds} == dict.fromkeys(kinds, 0) | counted
    traces = {one.trace_id for one in sampler.finish().decisions}
    spans = read_record(value)
    held = set() if isinstance(spans, Malformed) else {span.trace_id for span in spans}
    assert traces == held
    assert sampler.counts(0).conserved()


@pytest.mark.parametrize("value", [in_span(b""), b"\x0a", b"", b"log"])
@pytest.mark.parametrize("signal", [b"logs", b"metrics", b"", b"TRACES"])
def test_a_record_of_another_signal_is_passed_over(
    sampler: Sampler, signal: bytes, value: bytes
) -> None:
    headers: list[Headers | None] = [None, [("a", b"b"), ("otelcol.signal", signal)], []]
    outcome = sampler.submit(
        batch_of([NEIGHBOURS[0], value, NEIGHBOURS[1]], keys=[KEY] * 3, headers=headers)
    )
    counts = sampler.counts(0)
    assert outcome.dead_letters == []
    assert (counts.records, counts.records_other_signal, counts.spans_in) == (3, 1, 2)
    assert (counts.records_without_spans, counts.records_dead) == (0, 0)
    assert [one.value for one in sampler.finish().emissions] == NEIGHBOURS[:2]
    assert sampler.checkpoint(0).position == 3


def test_a_record_that_says_it_is_traces_is_taken(sampler: Sampler) -> None:
    pairs = [("otelcol.signal", b"traces")]
    sampler.submit(batch_of([in_span(b"")], headers=[pairs]))
    assert sampler.counts(0).records_other_signal == 0
    assert [one.headers for one in sampler.finish().emissions] == [tuple(pairs)]


def test_a_batch_without_records_is_nothing(sampler: Sampler) -> None:
    assert sampler.submit(batch_of([])) == Outcome([], [], [])
    assert sampler.counts(0) == Counts()


# Whatever comes.


def _identities(value: bytes) -> list[tuple[bytes, bytes, int, int]]:
    spans = read_record(value)
    assert not isinstance(spans, Malformed)
    return [(one.trace_id, one.span_id, one.kind, one.start) for one in spans]


@given(values=st.lists(hostile_records(), min_size=1, max_size=5), cut=st.integers(0, 5))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_each_span_has_one_fate(
    store: BlockStore, values: list[bytes], cut: int
) -> None:
    sampler = Sampler(ALWAYS, store)
    sampler.assign(0)
    outcomes = [
        sampler.submit(batch_of(values[:cut])),
        sampler.submit(batch_of(values[cut:], first=cut)),
        sampler.finish(),
    ]
    dead = [not value or isinstance(read_record(value), Malformed) for value in values]
    letters = [one.record for one in outcomes[0].dead_letters]
    letters += [cut + one.record for one in outcomes[1].dead_letters]
    assert letters == [at for at, is_dead in enumerate(dead) if is_dead]
    identities = [
        one
        for value, is_dead in zip(values, dead, strict=True)
        if not is_dead
        for one in _identities(value)
    ]
    found = [
        one
        for outcome in outcomes
        for emission in outcome.emissions
        for one in _identities(emission.value)
    ]
    assert sorted(found) == sorted(set(identities))
    counts = sampler.counts(0)
    assert counts.conserved()
    assert counts.spans_in == len(identities) + sum(dead)
    assert counts.kept == len(set(identities))
    assert counts.duplicates == len(identities) - len(set(identities))
