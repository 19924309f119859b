"""composite: sub-policies in order, each with its share of the spans of a second."""

# ruff: noqa: E501 - a sentence is one line, so that it can be found

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import NO_THRESHOLD
from streamsampler.policies import Policy, PolicyError, PolicySet, Settings, load_policy_set
from streamsampler.policies.compiled import compile_policies
from streamsampler.policies.grounds import grounds_of
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.types import TYPES
from streamsampler.policies.types.composite import CompositeSettings
from streamsampler.policies.types.second_shares import MOST
from streamsampler.policies.votes import Bools, DueTraces, EvaluationError, Vote, Votes
from tests.conformance.due_traces import Span, Trace, due_traces
from tests.conformance.one_policy import OnePolicy, letters, of_spans, text_of

FAILED = "{name: failed, type: status_code, status_code: {status_codes: [ERROR]}}"
ALL = "{name: all, type: always_sample}"
BOTH = f"composite_sub_policy: [{FAILED}, {ALL}]"


def composite(settings: str, partitions: int = 1) -> OnePolicy:
    return OnePolicy(text_of("composite", f"{{{settings}}}"), partitions)


def trace(kind: str, spans: int, at_ms: int = 0) -> Trace:
    """A trace that failed, f, or that did not, o."""
    return Trace((Span(2 * (kind == "f")),) * spans, decided_ms=at_ms)


@pytest.mark.parametrize(
    ("settings", "traces", "sampled"),
    [
        # half of ten each
        ("", [("f", 5), ("f", 5), ("f", 1), ("o", 1)], "yynn"),
        ("overflow: stop", [("f", 5), ("f", 5), ("o", 5), ("f", 1)], "ynyn"),
        ("", [("o", 5), ("o", 1), ("f", 5), ("f", 1)], "ynyn"),
        # whole or not at all; what does not fit costs nothing
        ("", [("o", 6), ("o", 4), ("o", 2), ("o", 1)], "nyny"),
        # by order
        ("policy_order: [all, failed]", [("f", 5), ("f", 5), ("o", 1)], "yyn"),
        ("policy_order: [failed, all]", [("f", 5), ("f", 4), ("o", 1)], "yyy"),
        ("policy_order: [all, failed], overflow: stop", [("f", 5), ("f", 5)], "yn"),
        # by percentage; 0 is not given
        ("rate_allocation: [{policy: all, percent: 20}]", [("o", 3), ("o", 2), ("o", 1)], "nyn"),
        ("rate_allocation: [{policy: all, percent: 0}]", [("o", 5), ("o", 1)], "yn"),
        ("rate_allocation: [{policy: all}]", [("o", 5), ("o", 1)], "yn"),
        ("rate_allocation: [{policy: failed, percent: 100}], overflow: stop", [("f", 10)], "y"),
        ("rate_allocation: [{policy: all, percent: 29.9}]", [("o", 3), ("o", 2)], "ny"),
    ],
)
def test_shares_of_one_second(settings: str, traces: list[tuple[str, int]], sampled: str) -> None:
    text = ", ".join(filter(None, (BOTH, "max_total_spans_per_second: 10", settings)))
    rows = [trace(kind, spans) for kind, spans in traces]
    assert letters(composite(text).keeps(rows)) == sampled
    one_by_one = composite(text)
    assert "".join(letters(one_by_one.keeps([row])) for row in rows) == sampled


def test_a_share_is_as_it_is_written() -> None:
    share = "rate_allocation: [{policy: all, percent: 33.3}]"  # 333 of a thousand, exactly
    settings = f"composite_sub_policy: [{ALL}], max_total_spans_per_second: 1000, {share}"
    assert composite(settings).keeps([of_spans(333)]) == [True]


def test_a_third_of_ten_lets_three_through() -> None:
    parts = ", ".join(ALL.replace("all,", f"{name},") for name in "abc")
    settings = f"composite_sub_policy: [{parts}], max_total_spans_per_second: 10"
    rows = [of_spans(1) for _ in range(12)]
    assert letters(composite(settings).keeps(rows)) == "yyyyyyyyynnn"


def test_every_second_begins_anew_and_time_never_runs_backwards() -> None:
    policy = composite(f"composite_sub_policy: [{ALL}], max_total_spans_per_second: 3")
    times = (1900, 1999, 2000, 1000, 2999, 9000)
    rows = [of_spans(2 if at != 2999 else 1, at) for at in times]
    assert letters(policy.keeps(rows)) == "ynynyy"


def test_each_partition_has_its_part_of_a_share() -> None:
    settings = f"composite_sub_policy: [{ALL}], max_total_spans_per_second: 8"
    policy = composite(settings, partitions=2)
    rows, partitions = [of_spans(4), of_spans(1), of_spans(3), of_spans(1)], [0, 0, 1, 1]
    assert letters(policy.keeps(rows, partitions)) == "ynyy"


def test_a_trace_larger_than_a_part_passes_an_untouched_one_which_then_owes_the_rest() -> None:
    settings = f"composite_sub_policy: [{ALL}], max_total_spans_per_second: 8"
    policy = composite(settings, partitions=4)
    rows = [of_spans(9), of_spans(7), of_spans(1, 1000), of_spans(1, 2999), of_spans(2, 3000)]
    assert letters(policy.keeps(rows)) == "nynnn"
    assert letters(policy.keeps([of_spans(1, 3000), of_spans(2, 4000)])) == "yy"


def test_a_reload_keeps_what_is_spent() -> None:
    policy = composite(f"composite_sub_policy: [{ALL}], max_total_spans_per_second: 3")
    policy.keeps([of_spans(2)])
    policy.compiled = policy.compile()
    assert letters(policy.keeps([of_spans(2), of_spans(1)])) == "ny"


def test_a_sub_policy_that_spends_is_asked_only_of_what_the_others_left() -> None:
    limited = "{name: limited, type: rate_limiting, rate_limiting: {spans_per_second: 1}}"
    settings = f"composite_sub_policy: [{FAILED}, {limited}], max_total_spans_per_second: 10"
    rows = [trace("f", 5), trace("o", 2), trace("o", 1)]
    assert letters(composite(settings).keeps(rows)) == "yyn"


def test_a_total_beyond_all_streams() -> None:
    settings = f"composite_sub_policy: [{ALL}], max_total_spans_per_second: {2**63 - 1}"
    policy = composite(settings, partitions=1000)
    assert policy.keeps([of_spans(1000)] * 3) == [True] * 3
    assert MOST * 10**6 < 2**62  # two of the largest may be added up


def test_nobody_knows_the_chance_of_what_passes() -> None:
    settings = f"composite_sub_policy: [{ALL}], max_total_spans_per_second: 3"
    verdicts = composite(settings).decide([of_spans(2)])
    assert verdicts.threshold.tolist() == [NO_THRESHOLD]
    assert np.isnan(verdicts.adjusted).all()


# A sub-policy that cannot evaluate a trace.


class Failing(Settings):
    """Fails for traces of two spans, or raises for all."""

    raises: bool = False


def failing_vote(settings: Failing, _compilation: Compilation) -> Vote:
    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        if settings.raises:
            raise EvaluationError
        two = traces.spans == 2
        return Votes(np.ones(len(traces), np.bool_), failed=two)

    return vote


@pytest.mark.parametrize(
    ("raises", "failures", "decisions"), [(False, 1, [1, 0]), (True, 2, [0, 0])]
)
def test_what_a_sub_policy_cannot_evaluate_the_composite_cannot(
    *, raises: bool, failures: int, decisions: list[int]
) -> None:
    types = {**TYPES, "failing": PolicyType("failing", Failing, failing_vote)}
    parts = tuple(Policy(name, "failing", Failing(raises=raises)) for name in "ab")
    settings = CompositeSettings(composite_sub_policy=parts, max_total_spans_per_second=9)
    tenants = TenantNumbers()
    policy_set = PolicySet((Policy("p", "composite", settings),))
    compiled = compile_policies(policy_set, tenants, types)
    verdicts = compiled.decide(due_traces([of_spans(1), of_spans(2)], compiled, tenants))
    assert verdicts.decision.tolist() == decisions
    assert verdicts.failures.tolist() == [failures]


# What is refused, and what is remarked on.


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("policy_order: [failed, al]", 'policy_order[1] is "al": no sub-policy has this name; did you mean all?'),
        ("policy_order: [failed, xyz]", 'policy_order[1] is "xyz": no sub-policy has this name; there are failed and all.'),
        ("policy_order: [all, failed, all]", 'policy_order is a list: it names "all" twice; leave one out.'),
        ("rate_allocation: [{policy: al, percent: 5}]", 'rate_allocation is a list: it names "al", which is no sub-policy; did you mean all?'),
        ("rate_allocation: [{policy: all}, {policy: all}]", 'rate_allocation is a list: it names "all" twice; leave one out.'),
        ("overflow: last", 'overflow is "last": expected next or stop.'),
        ("max_total_spans_per_second: -1", "max_total_spans_per_second is -1: expected a whole number, 0 or more."),
    ],
)  # fmt: skip
def test_what_is_refused(settings: str, problem: str) -> None:
    total = "" if "total" in settings else ", max_total_spans_per_second: 10"
    with pytest.raises(PolicyError) as refused:
        composite(f"{BOTH}{total}, {settings}")
    (sentence,) = refused.value.problems
    assert sentence.endswith(f": policies[0].composite.{problem}")


def test_a_broken_sub_policy_is_told_and_not_what_follows_from_it() -> None:
    with pytest.raises(PolicyError) as refused:
        composite("composite_sub_policy: [{name: a, type: latncy}], policy_order: [a]")
    (sentence,) = refused.value.problems
    assert "did you mean latency?" in sentence


@pytest.mark.parametrize(
    ("settings", "remark"),
    [
        ("", "keeps no trace, as max_total_spans_per_second is 0."),
        (
            "max_total_spans_per_second: 10, rate_allocation: [{policy: all, percent: 80}]",
            "lets 13 spans per second through, more than the total, as a sub-policy without a percentage has 50 percent.",
        ),
        (
            "max_total_spans_per_second: 10, rate_allocation: [{policy: all, percent: 60}, {policy: failed, percent: 60}]",
            "lets 12 spans per second through, more than the total, as the percentages add up to more than 100.",
        ),
        (
            "max_total_spans_per_second: 10, policy_order: [failed]",
            'asks "all" last, as policy_order leaves it out.',
        ),
    ],
)
def test_what_is_remarked_on(settings: str, remark: str) -> None:
    text = text_of("composite", f"{{{', '.join(filter(None, (BOTH, settings)))}}}")
    (warning,) = load_policy_set(text, "t").warnings
    assert warning.endswith(remark)


def test_grounds() -> None:
    settings = f"{{{BOTH}, max_total_spans_per_second: 10, policy_order: [all, failed]}}"
    (policy,) = load_policy_set(text_of("composite", settings), "t").policies
    assert grounds_of(policy) == "within 10 spans per second of all and failed"


def test_a_set_is_written_as_it_is_read() -> None:
    settings = f"{{{BOTH}, max_total_spans_per_second: 9, rate_allocation: [{{policy: all, percent: 2.5}}]}}"
    policy_set = load_policy_set(text_of("composite", settings), "t")
    again = load_policy_set(
        str(policy_set.document()).replace("'", '"').replace("F", "f"), "t", TYPES
    )
    assert again.policies == policy_set.policies


def plainly(
    shares: list[Fraction], partitions: int, rows: list[tuple[int, str, int]], *, stop: bool
) -> list[bool]:
    """One partition, trace by trace and sub-policy by sub-policy."""
    spent, owed_to, second, kept = [Fraction(0)] * len(shares), range(len(shares)), 0, []
    for at_ms, kind, spans in rows:
        while second < at_ms // 1000:
            second += 1
            spent = [max(Fraction(0), spent[i] - shares[i] / partitions) for i in owed_to]
        kept.append(False)
        for i, samples in enumerate((kind == "f", True)):
            if not samples:
                continue
            fits = spent[i] + spans <= shares[i] / partitions or not spent[i]
            if fits and spans <= shares[i]:
                spent[i] += spans
                kept[-1] = True
            if kept[-1] or stop:
                break
    return kept


@given(
    st.integers(1, 20),
    st.integers(1, 99),
    st.sampled_from([1, 2, 4, 5]),  # whose parts are whole numbers of millionths
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 5000), st.sampled_from("fo"), st.integers(1, 9)), max_size=30),
    st.integers(1, 7),
)  # fmt: skip
def test_compiled_and_plain_agree(
    total: int,
    percent: int,
    partitions: int,
    stop: bool,  # noqa: FBT001 - hypothesis gives what it draws by position
    rows: list[tuple[int, str, int]],
    batch: int,
) -> None:
    shares = [Fraction(total * percent, 100), Fraction(total * (100 - percent), 100)]
    allocation = (
        f"[{{policy: failed, percent: {percent}}}, {{policy: all, percent: {100 - percent}}}]"
    )
    overflow = "stop" if stop else "next"
    policy = composite(
        f"{BOTH}, max_total_spans_per_second: {total}, rate_allocation: {allocation}, overflow: {overflow}",
        partitions,
    )
    found: list[bool] = []
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        found += policy.keeps([trace(kind, spans, at_ms) for at_ms, kind, spans in some])
    assert found == plainly(shares, partitions, rows, stop=stop)
