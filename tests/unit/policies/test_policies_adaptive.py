"""`adaptive` through its type: the goal in each unit, and how it is shared."""

from dataclasses import replace

import numpy as np
import pytest

from streamsampler.estimates import tables
from streamsampler.estimates.summaries import INTERVAL_MS
from streamsampler.estimates.tables import RateTable
from streamsampler.policies.demands import Asking, joined
from streamsampler.policies.groups import GroupNumbers
from streamsampler.policies.memory import Memory
from streamsampler.policies.roots import RootNumbers
from tests.conformance.due_traces import Span, Trace, due_traces
from tests.conformance.one_policy import OnePolicy, text_of
from topologies.entries import Entry
from topologies.rates import Rates

SECONDS, SETTLED = 120, 40


def hear(policy: OnePolicy, rates: Rates, now_ms: int) -> None:
    """Let the rates app hear of what was asked for, and the policy of its rates."""
    for state in policy.compilation.learned.of(0):
        if isinstance(state, Asking):
            for one in joined(list(state.tell(0, now_ms // INTERVAL_MS, 0))):
                rates.put(Entry(b"d", 0, 0, one.interval, 0), one)
    for value in rates.tables().values():
        table = tables.unpack(value)
        assert isinstance(table, RateTable)
        policy.compilation.rates.tables[table.policy] = table


def kept_a_second(
    settings: str, offered: dict[bytes, int], rates: Rates | None = None
) -> dict[bytes, float]:
    """Traces of 4 spans and 800 bytes, so many a second of each root's name; how many are kept."""
    policy, rng = OnePolicy(text_of("adaptive", settings)), np.random.default_rng(5)
    known = RootNumbers()
    groups = GroupNumbers(policy.tenants, known)
    policy.compilation = replace(policy.compilation, groups=groups, learned=Memory())
    policy.compiled = policy.compile()
    roots = [known.number(b"s", name) for name in offered]
    numbers = groups.of(np.zeros(len(roots), np.uint32), np.array(roots, np.uint32))
    of_trace = np.repeat(numbers, list(offered.values()))
    kept = np.zeros(len(of_trace))
    for second in range(SECONDS):
        order = rng.permutation(len(of_trace))
        times = 1_000_000 + second * 1_000 + np.arange(len(order)) * 1_000 // len(order)
        traces = [
            Trace((Span(),) * 4, rng.bytes(16), decided_ms=at_ms, size_bytes=800)
            for at_ms in times.tolist()
        ]
        due = replace(due_traces(traces, policy.compiled, policy.tenants), group=of_trace[order])
        decided = policy.compiled.decide(due).decision == 1
        kept[order] += decided * (second >= SETTLED)
        if rates is not None:
            hear(policy, rates, 1_001_000 + second * 1_000)
    mine = {
        name: kept[of_trace == number].sum() for name, number in zip(offered, numbers, strict=True)
    }
    return {name: float(total) / (SECONDS - SETTLED) for name, total in mine.items()}


@pytest.mark.parametrize(
    ("goal", "traces"),
    [
        ("traces_per_second: 20", 20),
        ("spans_per_second: 40", 10),
        ("bytes_per_second: 12000", 15),
    ],
)
def test_the_goal_is_held_in_its_unit(goal: str, traces: float) -> None:
    found = kept_a_second(f"{{{goal}}}", {b"buy": 60})
    assert found[b"buy"] == pytest.approx(traces, rel=0.15)


@pytest.mark.parametrize("control_plane", [False, True])
def test_fair_keeps_the_rare_whole(control_plane: bool) -> None:  # noqa: FBT001 - parametrized
    rates = Rates() if control_plane else None
    found = kept_a_second("{spans_per_second: 80}", {b"look": 90, b"buy": 9}, rates)
    assert found == pytest.approx({b"buy": 9, b"look": 11}, rel=0.1)


def test_log_shares_by_logarithms_where_the_control_plane_tells_rates() -> None:
    # Of 400 spans in 5 s, buy's part is 164 of the 180 it asks for: of each two one, so 90;
    # look is given 300 of 1,800, and what is left over goes to both alike.
    found = kept_a_second("{spans_per_second: 80, balance: log}", {b"look": 90, b"buy": 9}, Rates())
    assert found == pytest.approx({b"buy": 4.75, b"look": 15.25}, rel=0.1)
