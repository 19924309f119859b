"""tenant: keeps a percentage of each tenant's traces, those with R >= T."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates import MODULUS, adjusted_count, threshold
from streamsampler.policies import (
    OVERFLOW,
    TenantNumbers,
    compile_policies,
    load_policy_set,
)
from tests.conformance.due_traces import Trace, decide, due_traces, sampled_by

HALF = "80000000000000"
BELOW_HALF = "7fffffffffffff"


def policy(settings: str) -> str:
    return f"policies: [{{name: p, type: tenant, tenant: {settings}}}]"


@pytest.mark.parametrize(
    ("settings", "tenant", "rv", "sampled"),
    [
        ("{tenants: {acme: 50}}", "acme", HALF, True),
        ("{tenants: {acme: 50}}", "acme", BELOW_HALF, False),
        ("{tenants: {acme: 50}}", "globex", "f" * 14, False),
        ("{tenants: {acme: 50}}", "", "f" * 14, False),
        ("{tenants: {acme: 50}, other: 50}", "globex", HALF, True),
        ("{tenants: {acme: 50}, other: 50}", "globex", BELOW_HALF, False),
        ("{tenants: {acme: 50}, other: 50}", "", HALF, True),
        ("{tenants: {acme: 50}, other: always}", "", "0" * 14, True),
        ("{tenants: {acme: always}}", "acme", "0" * 14, True),
        ("{tenants: {acme: 100}}", "acme", "0" * 14, True),
        ("{tenants: {acme: 0}, other: 100}", "acme", "f" * 14, False),
        ("{other: 50}", "acme", HALF, True),
        ("{tenants: {'1234': 100}}", "1234", "0" * 14, True),
        ("{tenants: {1234: 100}}", "1234", "0" * 14, True),
        ("{tenants: {no: 100}}", "no", "0" * 14, True),
    ],
)
def test_percentages(settings: str, tenant: str, rv: str, *, sampled: bool) -> None:
    assert sampled_by("tenant", settings, [Trace(tenant=tenant, rv=rv)]) == [sampled]


def test_randomness_is_the_low_56_bits_of_the_id_without_rv() -> None:
    trace_id = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")  # R = 0xce929d0e0e4736
    traces = [Trace(tenant=tenant, trace_id=trace_id) for tenant in ("half", "quarter", "tenth")]
    settings = "{tenants: {half: 50, quarter: 25, tenth: 10}}"
    assert sampled_by("tenant", settings, traces) == [True, True, False]


def test_the_verdict_carries_the_tenants_threshold() -> None:
    policy_set = load_policy_set(policy("{tenants: {a: 25, b: always}, other: 10}"), "table")
    verdicts = decide(policy_set, [Trace(tenant=t, rv="f" * 14) for t in ("a", "b", "c", "")])
    assert verdicts.threshold.tolist() == [0xC0000000000000, 0, *[0xE6666666666666] * 2]
    assert verdicts.adjusted.tolist() == [4.0, 1.0, 10.0, 10.0]


def test_a_tenant_seen_after_compiling_is_another() -> None:
    tenants = TenantNumbers()
    compiled = compile_policies(
        load_policy_set(policy("{tenants: {acme: 0}, other: always}"), "t"), tenants
    )
    for i in range(50):
        tenants.number(f"new-{i}".encode())
    traces = due_traces([Trace(tenant="new-49"), Trace(tenant="acme")], compiled, tenants)
    assert compiled.decide(traces).decision.tolist() == [1, 0]


def test_a_listed_tenant_keeps_its_rate_when_the_table_of_tenants_is_full() -> None:
    tenants = TenantNumbers(capacity=1)
    tenants.number(b"first")
    compiled = compile_policies(
        load_policy_set(policy("{tenants: {acme: always}, other: 0}"), "t"), tenants
    )
    assert tenants.number(b"unlisted") == OVERFLOW
    traces = due_traces([Trace(tenant=t) for t in ("acme", "unlisted")], compiled, tenants)
    assert compiled.decide(traces).decision.tolist() == [1, 0]


percentages = st.one_of(st.just(0.0), st.floats(0.001, 100))


@given(
    st.dictionaries(st.sampled_from("abc"), percentages),
    st.one_of(st.none(), percentages),
    st.lists(
        st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.integers(0, MODULUS - 1)),
        min_size=1,
    ),
)
def test_compiled_and_plain_agree(
    rates: dict[str, float], other: float | None, rows: list[tuple[str, int]]
) -> None:
    text = policy(
        f"{{tenants: {{{', '.join(f'{t}: {p}' for t, p in rates.items())}}}, "
        f"other: {'null' if other is None else other}}}"
    )
    traces = [Trace(tenant=tenant, rv=f"{r:014x}") for tenant, r in rows]
    verdicts = decide(load_policy_set(text, "table"), traces)
    for i, (tenant, r) in enumerate(rows):
        percentage = rates.get(tenant, other)
        kept = bool(percentage) and r >= threshold((percentage or 0) / 100)
        assert (verdicts.decision[i] == 1) == kept
        if kept:
            assert verdicts.adjusted[i] == adjusted_count(threshold((percentage or 0) / 100))
