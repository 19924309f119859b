"""Traces that were sampled before: what a kept one stands for, by stage and mode."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.engine.deciding import after_head
from streamsampler.estimates import MODULUS, NO_THRESHOLD, threshold
from streamsampler.policies import TenantNumbers, Verdicts, compile_policies, load_policy_set
from streamsampler.policies.compiled import SAMPLED
from streamsampler.policies.votes import DueTraces

POLICY = """
policies:
  - name: p
    type: probabilistic
    probabilistic: {{sampling_percentage: {percent}, mode: {mode}}}
"""


def due(randomness: list[int], incoming: list[int]) -> DueTraces:
    n = len(randomness)
    ints = np.zeros(n, np.int64)
    return DueTraces(
        id_hi=np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15),
        id_lo=np.arange(n, dtype=np.uint64),
        duration_ns=ints, spans=ints, size_bytes=ints, matched=np.zeros(n, np.uint64),
        tenant=np.zeros(n, np.int32), group=np.zeros(n, np.int32),
        randomness=np.array(randomness, np.uint64), incoming=np.array(incoming, np.uint64),
        partition=np.zeros(n, np.int32), decided_ms=ints,
    )  # fmt: skip


def decided(percent: float, mode: str, traces: DueTraces) -> Verdicts:
    policies = load_policy_set(POLICY.format(percent=percent, mode=mode), "here")
    compiled = compile_policies(policies, TenantNumbers())
    return after_head(compiled.decide(traces), traces.incoming)


@pytest.mark.parametrize(
    ("mode", "head", "percent", "stated"),
    [
        ("equalizing", 1.0, 10, 0.1),
        ("equalizing", 0.5, 10, 0.1),
        ("equalizing", 0.05, 10, 0.05),
        ("proportional", 1.0, 10, 0.1),
        ("proportional", 0.5, 10, 0.05),
        ("proportional", 0.05, 10, 0.005),
        ("equalizing", 0.05, 100, 0.05),
        ("proportional", 0.05, 100, 0.05),
    ],
)
def test_a_kept_trace_stands_for_what_both_stages_left_out(
    mode: str, head: float, percent: float, stated: float
) -> None:
    incoming = threshold(head)
    traces = due([MODULUS - 1, incoming], [incoming, incoming])
    verdicts = decided(percent, mode, traces)
    assert verdicts.decision[0] == SAMPLED
    assert verdicts.threshold[0] == pytest.approx(threshold(stated), rel=1e-12)
    assert verdicts.adjusted[0] == pytest.approx(1 / stated)
    assert (verdicts.decision[1] == SAMPLED) == (threshold(stated) <= incoming)


def test_a_chance_by_the_hash_is_multiplied_by_that_of_the_head() -> None:
    incoming = threshold(0.05)
    verdicts = decided(25, "hash_seed", due([MODULUS - 1] * 400, [incoming] * 400))
    kept = verdicts.decision == SAMPLED
    assert 0.15 < kept.mean() < 0.35
    assert set(verdicts.threshold[kept].tolist()) == {NO_THRESHOLD}
    assert verdicts.adjusted[kept] == pytest.approx(80.0)


@given(
    st.floats(0.01, 100), st.sampled_from(["equalizing", "proportional"]),
    st.lists(st.sampled_from([1.0, 0.5, 0.1, 0.03]), min_size=1, max_size=20), st.integers(0, 99),
)  # fmt: skip
def test_a_threshold_only_ever_rises_and_everyone_kept_has_passed_it(
    percent: float, mode: str, heads: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    incoming = [threshold(head) for head in heads]
    randomness = [int(rng.integers(low, MODULUS)) for low in incoming]
    verdicts = decided(percent, mode, due(randomness, incoming))
    for place, (r, low) in enumerate(zip(randomness, incoming, strict=True)):
        if verdicts.decision[place] == SAMPLED:
            high = int(verdicts.threshold[place])
            assert low <= high <= r
            stands_for = Fraction(MODULUS, MODULUS - high)
            assert verdicts.adjusted[place] == pytest.approx(float(stands_for))
        else:
            assert r < (threshold(percent / 100) if mode == "equalizing" else MODULUS)


@pytest.mark.parametrize("mode", ["equalizing", "proportional"])
def test_counting_up_what_is_kept_after_two_stages_gives_what_there_was(mode: str) -> None:
    rng = np.random.default_rng(17)
    errors = []
    for _ in range(100):
        randomness = rng.integers(0, MODULUS, 4_000)
        heads = rng.choice([threshold(share) for share in (1.0, 0.5, 0.1)], 4_000)
        arrived = randomness >= heads
        traces = due(randomness[arrived].tolist(), heads[arrived].tolist())
        verdicts = decided(20, mode, traces)
        kept = verdicts.adjusted[verdicts.decision == SAMPLED]
        spread = float(np.sqrt((kept * (kept - 1)).sum()))
        errors.append((float(kept.sum()) - 4_000) / spread)
    assert abs(np.mean(errors)) < 4 / np.sqrt(len(errors))
