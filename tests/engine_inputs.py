"""Records for the engine and its plain twin, and what both made of them in one form."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from streamsampler.policies import load_policy_set
from streamsampler.sampler import Decision, Limits, Outcome
from streamsampler.spans.payload import spans_of
from streamsampler.spans.records import RecordBatch, join
from tests.otlp_records import Tape, delimited, fixed, number_field
from tests.plain_sampler import PlainDecision, PlainRecord, PlainSampler, PlainTrace

WAIT_MS, GRACE_MS, MOST_SPANS = 1000, 300, 6
POLICIES = load_policy_set(
    f"""
    decision_wait: {WAIT_MS}ms
    completion_grace: {GRACE_MS}ms
    policies:
      - {{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}
      - {{name: slow, type: latency, latency: {{threshold_ms: 2}}}}
    """,
    "policies.yaml",
)
LIMITS = Limits(spans_per_trace=MOST_SPANS, block_bytes=256)
TRACES = [bytes([n]) * 16 for n in range(1, 5)]
IDS = [bytes([n]) * 8 for n in range(1, 6)]


def judge(_: bytes, trace: PlainTrace) -> bool:
    return any(span.status == 2 for span in trace.spans) or trace.duration_ns() > 2_000_000


def _span(tape: Tape) -> bytes:
    start = (1 + tape.below(4)) * 1_000_000
    fields = [
        delimited(1, tape.pick(TRACES)),
        delimited(2, tape.pick(IDS)),
        delimited(4, tape.pick([b"", *IDS])),
        number_field(6, tape.below(2)),
        fixed(7, start, 1),
        fixed(8, start + tape.pick([0, 1_000_000, 2**64 - 1_000_000]), 1),
        delimited(15, number_field(3, tape.pick([0, 0, 0, 2]))),
    ]
    return delimited(2, b"".join(fields))


def _records(choices: bytes) -> list[PlainRecord]:
    """Records out of order by up to a second, some malformed or empty."""
    tape = Tape(choices)
    made: list[PlainRecord] = []
    now = 10_000
    while tape.at < len(choices):
        now += tape.pick([0, 0, 1, 50, 299, 300, 301, 700, 1500, 60_000])
        back = tape.pick([0, 0, 0, 100, 1000])
        parts = [_span(tape) for _ in range(1 + tape.below(4))]
        value = delimited(1, delimited(2, b"".join(parts)))
        value = tape.pick([value] * 12 + [b"", b"\x0a", b"\x0a\x00"])
        made.append(PlainRecord(3 * len(made), now - back, value))
    return made


def inputs() -> st.SearchStrategy[list[PlainRecord]]:
    # Of a fixed size each, as hypothesis makes most texts that may be short very short.
    sizes = st.integers(20, 500)
    return sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(_records)


def _late_records(choices: bytes) -> list[PlainRecord]:
    """Records of two sampled traces, decided early, and of others that keep the watermark back."""
    tape = Tape(choices)
    made: list[PlainRecord] = []
    now = 10_000
    while tape.at < len(choices):
        now += tape.pick([0, 0, 1, 50, 300, 301])
        late = tape.below(6)
        fields = [
            delimited(1, TRACES[late % 2] if late else bytes([100 + len(made)]) * 16),
            delimited(2, tape.pick(IDS)),
            delimited(4, b"" if late else b"nowhere."),
            fixed(7, (1 + tape.below(2)) * 1_000_000, 1),
            delimited(15, number_field(3, 2)),
        ]
        value = delimited(1, delimited(2, delimited(2, b"".join(fields))))
        made.append(PlainRecord(3 * len(made), now, value))
    return made


def late_inputs() -> st.SearchStrategy[list[PlainRecord]]:
    sizes = st.integers(20, 200)
    return sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(_late_records)


def batch_of(records: Sequence[PlainRecord], partition: int = 0) -> RecordBatch:
    nothing = [None] * len(records)
    return join(
        [partition] * len(records),
        [record.offset for record in records],
        [record.time_ms for record in records],
        nothing,
        [record.value for record in records],
        nothing,
    )


def cut(records: list[PlainRecord], cuts: set[int]) -> Iterator[list[PlainRecord]]:
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(records)), len(records)]
    for start, stop in itertools.pairwise(edges):
        yield records[start:stop]


class Results:
    """What an engine gave back, in a form to compare."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.kept: dict[bytes, list[tuple[bytes, int, int]]] = {}
        self.dead = 0

    def add(self, outcome: Outcome) -> None:
        self.decisions += outcome.decisions
        self.dead += len(outcome.dead_letters)
        for emission in outcome.emissions:
            found = [span for _, _, span in spans_of(emission.value)]
            assert len(found) == emission.spans
            assert {span.trace_id for span in found} == {emission.trace_id}
            self.kept.setdefault(emission.trace_id, []).extend(
                (span.span_id, span.kind, span.start_time_unix_nano) for span in found
            )

    def plain(self) -> list[PlainDecision]:
        return [
            PlainDecision(
                one.trace_id, one.decision == "sampled", one.trigger, one.spans, one.duration_ns
            )
            for one in self.decisions
        ]

    def kept_spans(self) -> dict[bytes, list[tuple[bytes, int, int]]]:
        return {trace: sorted(spans) for trace, spans in self.kept.items()}


def twin(records: list[PlainRecord]) -> PlainSampler:
    plain = PlainSampler(WAIT_MS, GRACE_MS, MOST_SPANS, judge)
    plain.run(records)
    plain.finish()
    return plain


def assert_same(results: Results, plain: PlainSampler) -> None:
    assert results.plain() == plain.decisions
    assert results.kept_spans() == {trace: sorted(spans) for trace, spans in plain.kept.items()}
    assert results.dead == plain.dead


SHARED_STORE = settings(
    max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def assert_as_good(results: Results, plain: PlainSampler) -> None:
    """As `assert_same`, but spans that the twin forgot that they were out may stay in."""
    assert results.plain() == plain.decisions
    assert results.dead == plain.dead
    assert set(results.kept) == set(plain.kept)
    for trace, spans in plain.kept.items():
        found = results.kept[trace]
        assert set(found) == set(spans)
        assert Counter(found) <= Counter(spans)
