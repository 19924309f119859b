"""tenant with a budget: all together keep so much; each keeps traces with R >= T of its rate."""

# ruff: noqa: E501 - a sentence is one line, so that it can be found

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsampler.estimates import MODULUS, tables, threshold, water_filling
from streamsampler.estimates.summaries import pack, unpack
from streamsampler.estimates.tables import RateTable
from streamsampler.policies import PolicyError, Verdicts, load_policy_set
from streamsampler.policies.demands import Asking
from streamsampler.policies.grounds import grounds_of
from streamsampler.policies.types.tenant_budget import MOST_OWED, SMOOTHING
from tests.conformance.due_traces import Span, Trace
from tests.conformance.one_policy import OnePolicy, letters, text_of
from topologies.entries import Entry
from topologies.rates import Rates

LOWEST, HIGHEST = "0" * 14, "f" * 14


def tenants(settings_: str, partitions: int = 1) -> OnePolicy:
    return OnePolicy(text_of("tenant", f"{{{settings_}}}"), partitions)


def some(tenant: str, count: int, second: int, rv: str = HIGHEST, spans: int = 1) -> list[Trace]:
    own = (Span(),) * spans
    at_ms, size = 1000 * second, 100 * spans
    return [Trace(own, rv=rv, tenant=tenant, decided_ms=at_ms, size_bytes=size)] * count


def rate(verdicts: Verdicts) -> list[float]:
    """The rates by which traces were sampled."""
    counts: list[float] = verdicts.adjusted.tolist()
    return [round(1 / count, 6) for count in counts]


def steady(policy: OnePolicy, counts: dict[str, int], seconds: Sequence[int]) -> None:
    for second in seconds:
        policy.decide([one for name, count in counts.items() for one in some(name, count, second)])


def rates_of(policy: OnePolicy, names: Sequence[str], second: int) -> list[float]:
    return rate(policy.decide([some(name, 1, second)[0] for name in names]))


@pytest.mark.parametrize(
    ("written", "counts", "rates"),
    [
        # what the small leave is shared by the large
        ("", {"a": 10, "b": 40, "c": 1000}, [1, 1, 0.05]),
        ("", {"a": 10, "b": 90, "c": 90}, [1, 0.5, 0.5]),
        ("", {"a": 10, "b": 20}, [1, 1]),
        ("weights: {a: 3}", {"a": 100, "b": 100}, [0.75, 0.25]),
        ("weights: {a: 3}, default_weight: 2", {"a": 100, "b": 100}, [0.6, 0.4]),
        # traces without a tenant share as if they were one tenant
        ("", {"": 100, "b": 100}, [0.5, 0.5]),
    ],
)
def test_shares_of_a_budget(written: str, counts: dict[str, int], rates: list[float]) -> None:
    policy = tenants(
        f"budget: {{{', '.join(filter(None, ('traces_per_second: 100', written)))}, initial_percentage: 5}}"
    )
    steady(policy, counts, range(10))
    assert rates_of(policy, list(counts), 10) == pytest.approx(rates)


@pytest.mark.parametrize(("unit", "budget"), [("traces", 10), ("spans", 40), ("bytes", 4000)])
def test_what_a_budget_counts(unit: str, budget: int) -> None:
    policy = tenants(f"budget: {{{unit}_per_second: {budget}, initial_percentage: 50}}")
    policy.decide(some("a", 20, 0, spans=4))
    assert rate(policy.decide(some("a", 1, 1))) == [0.5]


def test_traces_that_are_not_asked_about_are_not_counted() -> None:
    policy = tenants("budget: {traces_per_second: 10, initial_percentage: 50}")
    policy.votes(some("a", 40, 0), [True, False] * 20)
    assert rates_of(policy, "a", 1) == [0.5]


def test_a_percentage_is_the_most_and_what_it_leaves_is_the_others() -> None:
    policy = tenants(
        "budget: {traces_per_second: 100, initial_percentage: 5}, tenants: {a: 10}, other: 90"
    )
    steady(policy, {"a": 200, "b": 1000}, range(10))
    assert rates_of(policy, "ab", 10) == pytest.approx([0.1, 0.08])
    steady(policy, {"a": 10, "b": 10}, range(10, 60))
    assert rates_of(policy, "ab", 60) == pytest.approx([0.1, 0.9])


def test_a_tenant_at_nothing_keeps_nothing_and_takes_nothing() -> None:
    policy = tenants("budget: {traces_per_second: 10, initial_percentage: 50}, tenants: {a: 0}")
    steady(policy, {"a": 1000, "b": 20}, range(3))
    verdicts = policy.decide(some("a", 1, 3) + some("b", 1, 3))
    assert verdicts.decision.tolist() == [0, 1]
    assert verdicts.adjusted[1] == 2.0


def test_who_is_always_kept_has_no_part_in_the_budget() -> None:
    policy = tenants("budget: {traces_per_second: 10, initial_percentage: 50}, always_keep: [vip]")
    steady(policy, {"vip": 1000, "b": 20}, range(3))
    verdicts = policy.decide(some("vip", 1, 3, rv=LOWEST) + some("b", 1, 3))
    assert verdicts.threshold.tolist() == [0, threshold(0.5)]


def test_always_keep_without_a_budget() -> None:
    policy = tenants("always_keep: [vip], tenants: {a: 50}")
    rows = some("vip", 1, 0, rv=LOWEST) + some("a", 1, 0, rv=LOWEST) + some("b", 1, 0)
    assert letters(policy.keeps(rows)) == "ynn"


@pytest.mark.parametrize(
    ("initial", "caps", "rates"),
    [("", "", [1.0, 1.0]), (", initial_percentage: 20", "", [0.2, 0.2]),
     (", initial_percentage: 20", ", tenants: {a: 5}", [0.05, 0.2])],
)  # fmt: skip
def test_a_tenant_begins_at_the_initial_rate_and_counts(
    initial: str, caps: str, rates: list[float]
) -> None:
    policy = tenants(f"budget: {{traces_per_second: 10{initial}}}{caps}")
    assert rates_of(policy, "ab", 0) == rates
    assert rate(policy.decide(some("new", 99, 0)))[0] == rates[1]
    assert rate(policy.decide(some("new", 1, 1)))[0] < 0.1


def test_a_tenant_that_was_silent_for_long_is_new_again() -> None:
    policy = tenants("budget: {traces_per_second: 10, initial_percentage: 1}")
    steady(policy, {"a": 20}, range(5))
    assert rates_of(policy, "a", 5) == [0.5]
    assert rates_of(policy, "a", 500) == [0.01]


def test_the_rate_holds_for_the_interval_whatever_comes_in_it() -> None:
    policy = tenants("budget: {traces_per_second: 10, initial_percentage: 50}")
    policy.decide(some("a", 20, 0))
    rates = rate(policy.decide(some("a", 300, 1)))
    assert set(rates) == {0.5}


def test_time_never_runs_backwards() -> None:
    policy = tenants("budget: {traces_per_second: 10, initial_percentage: 50}")
    policy.decide(some("a", 20, 5))
    verdicts = policy.decide(some("a", 1, 6) + some("a", 1, 0) + some("a", 18, 6))
    assert set(rate(verdicts)) == {0.5}
    assert rates_of(policy, "a", 7) == [0.5]  # 20 traces again, none of them of long ago


def test_each_partition_has_its_part() -> None:
    policy = tenants("budget: {traces_per_second: 40, initial_percentage: 50}", partitions=4)
    policy.decide(some("a", 20, 0), [2] * 20)
    assert rate(policy.decide(some("a", 2, 1), [2, 3])) == [0.5, 0.5]
    assert rate(policy.decide(some("a", 2, 2), [2, 3])) != [0.5, 0.5]


def test_what_was_let_through_beyond_the_budget_is_repaid_and_nobody_starves() -> None:
    policy = tenants("budget: {traces_per_second: 10}")
    rates = [rate(policy.decide(some("a", 20, second)))[0] for second in range(8)]
    assert rates == [1.0, 0.25, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5]
    flood = tenants("budget: {traces_per_second: 10}")
    flood.decide(some("a", 100_000, 0))
    steady(flood, {"a": 20}, range(1, 100))
    assert rates_of(flood, "a", 100) == [0.5]


def test_a_reload_keeps_what_was_learned() -> None:
    policy = tenants("budget: {traces_per_second: 10, initial_percentage: 50}")
    policy.decide(some("a", 40, 0))
    policy.compiled = policy.compile()
    assert rate(policy.decide(some("a", 1, 1)))[0] < 0.5


@settings(max_examples=20)
@given(st.lists(st.integers(0, MODULUS - 1), min_size=1, max_size=30))
def test_randomness_has_no_part_in_the_threshold(numbers: list[int]) -> None:
    def thresholds(values: Sequence[int]) -> list[int]:
        policy = tenants("budget: {traces_per_second: 3, initial_percentage: 50}")
        found: list[int] = []
        for second in range(3):
            rows = [some("a", 1, second, rv=f"{r:014x}")[0] for r in values]
            threshold_of = policy.votes(rows).threshold
            assert threshold_of is not None
            found += threshold_of.tolist()
        return found

    assert thresholds(numbers) == thresholds([MODULUS - 1] * len(numbers))


# The whole, held to a plain twin.


def plainly(
    budget: float, caps: dict[str, float], rows: list[tuple[int, str]], initial: float
) -> Iterator[int]:
    """The thresholds of one partition's traces, tenant by tenant and second by second."""
    now, owed = -1, 0.0
    means: dict[str, float] = {}
    counts: dict[str, int] = {}
    rates: dict[str, float] = {}
    for at_ms, tenant in rows:
        while now < at_ms // 1000:
            if now >= 0:
                through = sum(n * rates.get(t, min(caps[t], initial)) for t, n in counts.items())
                owed = min(max(0.0, owed + through - budget), MOST_OWED * budget)
                means = {
                    t: SMOOTHING * counts.get(t, 0) + (1 - SMOOTHING) * m for t, m in means.items()
                } | {t: n for t, n in counts.items() if t not in means}
                means = {t: m for t, m in means.items() if m >= 1e-3}
            now, counts = now + 1 if now >= 0 else at_ms // 1000, {}
            wanted = np.array([m * caps[t] for t, m in means.items()])
            left = max(budget / 2, budget - owed)
            shares = water_filling(wanted, np.ones(len(means)), left)
            rates = {
                t: caps[t] if share >= m * caps[t] else share / m
                for (t, m), share in zip(means.items(), shares.tolist(), strict=True)
            }
        p = rates.get(tenant, min(caps[tenant], initial))
        counts[tenant] = counts.get(tenant, 0) + 1
        yield threshold(p)


@given(
    st.floats(0.1, 10),
    st.floats(0.01, 1),
    st.lists(st.tuples(st.integers(0, 9000), st.sampled_from("abc")), max_size=60),
    st.integers(1, 20),
)
def test_compiled_and_plain_agree(
    budget: float, initial: float, rows: list[tuple[int, str]], batch: int
) -> None:
    policy = tenants(
        f"budget: {{traces_per_second: {budget}, initial_percentage: {initial * 100}}}, tenants: {{a: 30}}"
    )
    found: list[int] = []
    for start in range(0, len(rows), batch):
        traces = [
            Trace(tenant=t, decided_ms=at, rv=HIGHEST) for at, t in rows[start : start + batch]
        ]
        found += policy.decide(traces).threshold.tolist()
    expected = plainly(budget, {"a": 0.3, "b": 1.0, "c": 1.0}, rows, initial * 100 / 100)
    assert np.array(found, np.float64) == pytest.approx(list(expected), rel=1e-9, abs=1e8)


def test_a_budget_holds_for_the_group_under_a_random_load() -> None:
    random = Random(7)
    policy = tenants("budget: {traces_per_second: 60}", partitions=12)
    kept = dict.fromkeys(("small", "middle", "large"), 0)
    for second in range(200):
        rows = [
            Trace(tenant=name, rv=f"{random.getrandbits(56):014x}", decided_ms=1000 * second)
            for name, mean in (("small", 5), ("middle", 30), ("large", 300))
            for _ in range(round(random.gauss(mean, mean**0.5)))
        ]
        where = [random.randrange(12) for _ in rows]
        for row, yes in zip(rows, policy.keeps(rows, where), strict=True):
            kept[row.tenant] += yes if second >= 40 else 0
    seconds = 160
    assert sum(kept.values()) <= 60 * seconds * 1.05
    assert sum(kept.values()) >= 60 * seconds * 0.8
    assert kept["small"] >= 5 * seconds * 0.9
    assert kept["middle"] <= kept["large"] * 1.1


class WithControlPlane:
    """A policy whose rates the control plane tells, every five seconds."""

    def __init__(self, written: str, partitions: int) -> None:
        self.policy = tenants(written, partitions)
        self.partitions = partitions
        self.rates = Rates()
        self.random = Random(7)
        self.kept: list[Counter[str]] = []

    def run(self, means: dict[str, float], seconds: int) -> None:
        for second in range(len(self.kept), len(self.kept) + seconds):
            names = [
                n for n, mean in means.items() for _ in range(int(mean + self.random.random()))
            ]
            self.random.shuffle(names)
            rows = [
                Trace(
                    tenant=name,
                    rv=f"{self.random.getrandbits(56):014x}",
                    decided_ms=1000 * second + 1000 * place // len(names),
                )
                for place, name in enumerate(names)
            ]
            where = [self.random.randrange(self.partitions) for _ in rows]
            kept = self.policy.keeps(rows, where)
            self.kept.append(
                Counter(row.tenant for row, yes in zip(rows, kept, strict=True) if yes)
            )
            if second % 5 == 4:
                self.hear(second // 5 + 1)

    def hear(self, interval: int) -> None:
        for partition in range(self.partitions):
            for state in self.policy.compilation.learned.of(partition):
                assert isinstance(state, Asking)
                for summary in state.tell(partition, interval, 0):
                    identity = Entry(b"d", 0, partition, summary.interval, 0)
                    self.rates.put(identity, unpack(pack(summary)))
        for value in self.rates.tables().values():
            table = tables.unpack(value)
            assert isinstance(table, RateTable)
            self.policy.compilation.rates.tables[table.policy] = table

    def per_second(self, name: str, seconds: int) -> float:
        return sum(one[name] for one in self.kept[-seconds:]) / seconds


def test_the_control_plane_shares_what_a_partition_sees_too_little_of() -> None:
    fleet = WithControlPlane("budget: {traces_per_second: 60, initial_percentage: 10}", 50)
    fleet.run({"rare": 0.5, "small": 5, "large": 300}, 40)
    fleet.run({"rare": 0.5, "small": 5, "large": 300}, 120)
    assert fleet.policy.compilation.rates.by_table > 0
    assert fleet.per_second("rare", 120) >= 0.5 * 0.8
    # With 1.2 traces a second to each partition, its account lowers all rates now and then.
    assert fleet.per_second("small", 120) >= 5 * 0.85
    total = sum(fleet.per_second(name, 120) for name in ("rare", "small", "large"))
    assert total == pytest.approx(60, rel=0.05)


def test_the_control_plane_keeps_to_weights_percentages_and_always_keep() -> None:
    fleet = WithControlPlane(
        "budget: {traces_per_second: 90, weights: {a: 3}}, tenants: {never: 0, tenth: 10}, always_keep: [vip]",
        4,
    )
    offered = {"a": 300.0, "b": 300.0, "never": 50.0, "tenth": 100.0, "vip": 20.0}
    fleet.run(offered, 60)
    fleet.run(offered, 60)
    assert fleet.per_second("never", 120) == 0
    assert fleet.per_second("vip", 120) == 20
    assert fleet.per_second("tenth", 60) == pytest.approx(10, rel=0.3)
    assert fleet.per_second("a", 60) == pytest.approx(60, rel=0.1)
    assert fleet.per_second("b", 60) == pytest.approx(20, rel=0.15)


# What is refused, and what is remarked on.


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("budget: {}", "budget is a mapping: it has no rate; set one of traces_per_second, spans_per_second or bytes_per_second."),
        ("budget: {traces_per_second: 1, bytes_per_second: 1}", "budget is a mapping: it has two rates; set one of traces_per_second, spans_per_second or bytes_per_second."),
        ("budget: {traces_per_second: 5, weights: {'': 1}}", "budget.weights is a mapping: a tenant's name is empty; traces without a tenant get what other says."),
        ("budget: {traces_per_second: 5, initial_percentage: 101}", "budget.initial_percentage is 101: expected a percentage from 0 to 100, or always."),
        ("budget: {traces_per_second: 5}, tenants: {a: always}", 'tenants.a is "always": there is a budget; give the percentage that is the most, or list it in always_keep.'),
        ("budget: {traces_per_second: 5}, other: always", 'other is "always": there is a budget; give the percentage that is the most, or list it in always_keep.'),
        ("always_keep: [a], tenants: {a: 5}", 'always_keep is a list: "a" has a percentage, too; keep one of the two.'),
        ("always_keep: ['']", "always_keep is a list: a tenant's name is empty; leave it out."),
        ("always_keep: a", 'always_keep is "a": expected a list of tenants; write [a].'),
    ],
)  # fmt: skip
def test_what_is_refused(written: str, problem: str) -> None:
    with pytest.raises(PolicyError) as refused:
        tenants(written)
    (sentence,) = refused.value.problems
    assert sentence.endswith(f": policies[0].tenant.{problem}")


@pytest.mark.parametrize(
    ("written", "warnings"),
    [("other: 0", 1), ("always_keep: [a]", 0), ("budget: {traces_per_second: 5}", 0),
     ("budget: {traces_per_second: 5}, other: 0", 1)],
)  # fmt: skip
def test_what_keeps_nothing_is_remarked_on(written: str, warnings: int) -> None:
    policy_set = load_policy_set(text_of("tenant", f"{{{written}}}"), "t")
    assert len(policy_set.warnings) == warnings


@pytest.mark.parametrize(
    ("written", "grounds"),
    [
        ("tenants: {a: 5}", "its tenant's percentage"),
        ("budget: {spans_per_second: 500}", "its tenant's share of 500 spans per second"),
    ],
)
def test_grounds(written: str, grounds: str) -> None:
    (policy,) = load_policy_set(text_of("tenant", f"{{{written}}}"), "t").policies
    assert grounds_of(policy) == grounds


def test_a_set_is_written_as_it_is_read() -> None:
    written = "budget: {traces_per_second: 5.5, weights: {a: 2}}, tenants: {a: 5}, always_keep: [b]"
    policy_set = load_policy_set(text_of("tenant", f"{{{written}}}"), "t")
    again = load_policy_set(str(policy_set.document()).replace("False", "false"), "t")
    assert (again.policies, again.version) == (policy_set.policies, policy_set.version)
