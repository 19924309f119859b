"""What is kept stands for what there was: adjusted counts add up to the true count of traces."""

from math import sqrt

import numpy as np
import pytest

from streamsampler.policies import PolicySet, TenantNumbers, load_policy_set
from streamsampler.policies.compiled import SAMPLED, compile_policies
from streamsampler.policies.votes import DueTraces

SEEDS = 100
TRACES = 4_000
SHARES = {b"gold": 1.0, b"silver": 0.25, b"free": 0.01}
SLOW = 0.02
STANDARD_ERRORS = 4

BY_RANDOMNESS = """
policies:
  - name: slow
    type: latency
    latency: {threshold_ms: 1000}
  - name: by tenant
    type: tenant
    tenant: {tenants: {gold: always, silver: 25, free: 1}, other: 0}
  - name: baseline
    type: probabilistic
    probabilistic: {sampling_percentage: 5, mode: equalizing}
"""
BY_THE_COLLECTOR_S_HASH = """
policies:
  - {name: hashed, type: probabilistic, probabilistic: {sampling_percentage: 5}}
"""


def due(rng: np.random.Generator, tenants: TenantNumbers) -> DueTraces:
    numbers = [tenants.number(name) for name in SHARES]
    id_lo = rng.integers(0, 2**64, TRACES, np.uint64)
    slow = rng.random(TRACES) < SLOW
    return DueTraces(
        id_hi=rng.integers(0, 2**64, TRACES, np.uint64),
        id_lo=id_lo,
        duration_ns=np.where(slow, 2_000_000_000, 1_000_000),
        spans=np.ones(TRACES, np.int64),
        size_bytes=np.ones(TRACES, np.int64),
        matched=np.zeros(TRACES, np.uint64),
        tenant=rng.choice(np.array(numbers, np.int32), TRACES, p=[0.1, 0.3, 0.6]),
        group=np.zeros(TRACES, np.int32),
        randomness=id_lo & np.uint64(2**56 - 1),
        incoming=np.zeros(TRACES, np.uint64),
        partition=np.zeros(TRACES, np.int32),
        decided_ms=np.zeros(TRACES, np.int64),
    )


def chances(traces: DueTraces, tenants: TenantNumbers, baseline: float) -> np.ndarray:
    """The probability with which each trace is kept by the set above."""
    by_number = {tenants.number(name): share for name, share in SHARES.items()}
    own = np.array([by_number[number] for number in traces.tenant.tolist()])
    return np.where(traces.duration_ns > 1_000_000_000, 1.0, np.maximum(own, baseline))


@pytest.mark.parametrize("by_randomness", [True, False], ids=["R >= T", "the Collector's hash"])
def test_adjusted_counts_add_up_to_the_true_count(by_randomness: bool) -> None:  # noqa: FBT001
    policies: PolicySet = load_policy_set(
        BY_RANDOMNESS if by_randomness else BY_THE_COLLECTOR_S_HASH, "test"
    )
    tenants = TenantNumbers()
    compiled = compile_policies(policies, tenants)
    errors, variance = [], 0.0
    for seed in range(SEEDS):
        traces = due(np.random.default_rng(seed), tenants)
        verdicts = compiled.decide(traces)
        sampled = verdicts.decision == SAMPLED
        kept = chances(traces, tenants, 0.05) if by_randomness else np.full(TRACES, 0.05)
        errors.append(float(verdicts.adjusted[sampled].sum()) - TRACES)
        variance += float(((1 - kept) / kept).sum())

    assert not np.isnan(errors).any()
    assert any(errors), "chance had no part in it"
    assert abs(sum(errors)) <= STANDARD_ERRORS * sqrt(variance)
