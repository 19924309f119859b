"""rate_limiting: a token bucket on stream time; a trace costs its spans and passes whole or not."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import NO_THRESHOLD
from streamsampler.policies import load_policy_set
from streamsampler.policies.grounds import grounds_of
from tests.conformance.due_traces import Trace
from tests.conformance.one_policy import OnePolicy, letters, of_spans, text_of


def limiter(settings: str, partitions: int = 1) -> OnePolicy:
    return OnePolicy(text_of("rate_limiting", settings), partitions)


@pytest.mark.parametrize(
    ("settings", "traces", "sampled"),
    [
        # the bucket begins full, with twice the rate
        ("{spans_per_second: 5}", [(0, 10), (0, 1)], "yn"),
        ("{spans_per_second: 5}", [(0, 11), (0, 10)], "ny"),
        ("{spans_per_second: 5}", [(0, 4), (0, 4), (0, 4), (0, 2)], "yyny"),
        ("{spans_per_second: 5, burst_capacity: 3}", [(0, 4), (0, 3), (0, 1)], "nyn"),
        ("{spans_per_second: 5, burst_capacity: 0}", [(0, 10), (0, 1)], "yn"),
        # what it has comes back evenly, and never more than it holds
        ("{spans_per_second: 10, burst_capacity: 10}", [(0, 10), (99, 1), (100, 1)], "yny"),
        ("{spans_per_second: 10, burst_capacity: 10}", [(0, 10), (999, 10), (1000, 10)], "yny"),
        ("{spans_per_second: 10, burst_capacity: 10}", [(0, 10), (9999, 11), (9999, 10)], "yny"),
        ("{spans_per_second: 3, burst_capacity: 1}", [(0, 1), (333, 1), (334, 1)], "yny"),
        # a trace that is not let through costs nothing
        ("{spans_per_second: 1, burst_capacity: 5}", [(0, 6), (0, 6), (0, 5)], "nny"),
        # time never runs backwards
        ("{spans_per_second: 10, burst_capacity: 10}", [(5000, 10), (0, 1), (5100, 1)], "yny"),
        ("{spans_per_second: 10, burst_capacity: 10}", [(5000, 10), (0, 1), (5050, 1)], "ynn"),
        # no rate: what the bucket holds, and no more
        ("{}", [(0, 1), (10**9, 1)], "nn"),
        ("{burst_capacity: 2}", [(0, 1), (0, 1), (10**12, 1)], "yyn"),
        # a rate beyond all streams
        ("{spans_per_second: 9223372036854775807}", [(0, 1000), (0, 1000)], "yy"),
    ],
)
def test_the_bucket(settings: str, traces: list[tuple[int, int]], sampled: str) -> None:
    rows = [of_spans(spans, at_ms) for at_ms, spans in traces]
    assert letters(limiter(settings).keeps(rows)) == sampled
    one_by_one = limiter(settings)
    assert "".join(letters(one_by_one.keeps([row])) for row in rows) == sampled


def test_each_partition_has_its_share() -> None:
    policy = limiter("{spans_per_second: 20, burst_capacity: 20}", partitions=2)
    rows, partitions = [of_spans(6), of_spans(6), of_spans(4), of_spans(4)], [0, 1, 0, 0]
    assert letters(policy.keeps(rows, partitions)) == "yyyn"


def test_a_trace_larger_than_a_share_passes_a_full_bucket_which_then_owes_the_rest() -> None:
    policy = limiter("{spans_per_second: 4, burst_capacity: 8}", partitions=4)  # 1 a second, 2
    assert policy.keeps([of_spans(8)]) == [True]
    debt = [of_spans(1, at_ms) for at_ms in (1000, 6000, 6999, 7000)]
    assert letters(policy.keeps(debt)) == "nnny"
    assert letters(policy.keeps([of_spans(3, 8999), of_spans(3, 9000)])) == "ny"


def test_a_trace_larger_than_the_groups_capacity_never_passes() -> None:
    policy = limiter("{spans_per_second: 4, burst_capacity: 8}", partitions=4)
    assert policy.keeps([of_spans(9)]) == [False]


def test_a_reload_keeps_what_is_left() -> None:
    policy = limiter("{spans_per_second: 5}")
    policy.keeps([of_spans(9)])
    policy.compiled = policy.compile()
    assert letters(policy.keeps([of_spans(2), of_spans(1)])) == "ny"


def test_it_spends_for_the_traces_it_is_asked_about_alone() -> None:
    text = """
    policies:
      - name: failed-within-a-rate
        type: and
        and:
          and_sub_policy:
            - {name: long, type: span_count, span_count: {min_spans: 2}}
            - {name: r, type: rate_limiting, rate_limiting: {spans_per_second: 2}}
    """
    rows = [of_spans(count) for count in (1, 1, 1, 4, 2)]
    assert letters(OnePolicy(text).keeps(rows)) == "nnnyn"


def test_rows_that_are_not_asked_about_take_no_tokens() -> None:
    votes = limiter("{spans_per_second: 1}").votes([Trace()] * 4, [False, True, True, True])
    assert letters(votes.sampled.tolist()) == "nyyn"


def test_nobody_knows_the_chance_of_what_passes() -> None:
    verdicts = limiter("{spans_per_second: 5}").decide([of_spans(5)])
    assert verdicts.threshold.tolist() == [NO_THRESHOLD]
    assert np.isnan(verdicts.adjusted).all()


@pytest.mark.parametrize("settings", ["{}", "{spans_per_second: 0, burst_capacity: 5}"])
def test_a_rate_of_nothing_is_remarked_on(settings: str) -> None:
    (warning,) = load_policy_set(text_of("rate_limiting", settings), "t").warnings
    assert "keeps next to no trace, as spans_per_second is 0." in warning


def test_grounds() -> None:
    policy_set = load_policy_set(text_of("rate_limiting", "{spans_per_second: 5}"), "t")
    assert grounds_of(policy_set.policies[0]) == "within 5 spans per second"


@dataclass
class PlainBucket:
    """One partition's bucket, in exact fractions of a span."""

    rate: Fraction
    capacity: Fraction
    largest: int
    now_ms: int | None = None
    level: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.capacity

    def passes(self, cost: int, at_ms: int) -> bool:
        if self.now_ms is not None and at_ms > self.now_ms:
            came_back = self.rate * (at_ms - self.now_ms) / 1000
            self.level = min(self.capacity, self.level + came_back)
        self.now_ms = at_ms if self.now_ms is None else max(at_ms, self.now_ms)
        passes: bool = cost <= self.largest and (cost <= self.level or self.level == self.capacity)
        if passes:
            self.level -= cost
        return passes


arrivals = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(1, 12), st.integers(0, 2)), max_size=40
)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 5), arrivals, st.integers(1, 9))
def test_compiled_and_plain_agree(
    rate: int, burst: int, partitions: int, rows: list[tuple[int, int, int]], batch: int
) -> None:
    settings = f"{{spans_per_second: {rate}, burst_capacity: {burst}}}"
    policy, capacity = limiter(settings, partitions), burst or 2 * rate
    buckets = [
        PlainBucket(Fraction(rate, partitions), Fraction(capacity, partitions), capacity)
        for _ in range(3)
    ]
    expected = [buckets[partition].passes(spans, at_ms) for at_ms, spans, partition in rows]
    found = []
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        traces = [of_spans(spans, at_ms) for at_ms, spans, _ in some]
        found += policy.keeps(traces, [partition for *_, partition in some])
    assert found == expected


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 3), arrivals)
def test_no_stretch_of_time_lets_more_through_than_the_rate_and_the_capacity(
    rate: int, burst: int, partitions: int, rows: list[tuple[int, int, int]]
) -> None:
    policy = limiter(f"{{spans_per_second: {rate}, burst_capacity: {burst}}}", partitions)
    ordered = sorted((at, spans, number % partitions) for at, spans, number in rows)
    traces = [of_spans(spans, at_ms) for at_ms, spans, _ in ordered]
    kept = policy.keeps(traces, [partition for *_, partition in ordered])
    passed = [row for row, yes in zip(ordered, kept, strict=True) if yes]
    largest = [
        max((spans for _, spans, where in passed if where == partition), default=0)
        for partition in range(partitions)
    ]
    at_once = sum(max(Fraction(burst, partitions), Fraction(spans)) for spans in largest)
    assert partitions > 1 or at_once == burst
    for i, (begin, *_) in enumerate(passed):
        for j in range(i, len(passed)):
            seconds = Fraction(passed[j][0] - begin, 1000)
            through = sum(spans for _, spans, _ in passed[i : j + 1])
            assert through <= rate * seconds + at_once
