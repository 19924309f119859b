"""probabilistic: keeps the traces whose FNV-1a hash, salt first, is small enough."""

import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamsampler.estimates import NO_THRESHOLD
from streamsampler.policies import load_policy_set
from streamsampler.policies.types.probabilistic import fnv1a, hash_ids, largest_hash
from tests.conformance.due_traces import Trace, decide, sampled_by

IDS = st.binary(min_size=16, max_size=16)


def some_traces(n: int) -> list[Trace]:
    random = Random(1)
    return [Trace(trace_id=random.randbytes(16)) for _ in range(n)]


def plain_hash(data: bytes) -> int:
    state = 14695981039346656037
    for byte in data:
        state = (state ^ byte) * 1099511628211 % 2**64
    return state


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0xCBF29CE484222325),
        (b"a", 0xAF63DC4C8601EC8C),
        (b"foobar", 0x85944171F73967E8),
    ],
)
def test_fnv1a_of_known_texts(data: bytes, expected: int) -> None:
    assert fnv1a(data) == plain_hash(data) == expected


@given(st.binary(max_size=20), st.lists(IDS, max_size=20))
def test_the_columns_hash_as_the_plain_loop_does(salt: bytes, ids: list[bytes]) -> None:
    halves = np.frombuffer(b"".join(ids), dtype=">u8").astype(np.uint64).reshape(-1, 2)
    hashes = hash_ids(salt, halves[:, 0].copy(), halves[:, 1].copy())
    assert hashes.tolist() == [plain_hash(salt + trace_id) for trace_id in ids]


@pytest.mark.parametrize(
    ("percentage", "expected"),
    [(50, 2**63 - 1), (25, 2**62 - 1), (75, 3 * 2**62 - 1), (10, 1844674407370955263)],
)
def test_the_largest_hash_of_known_percentages(percentage: float, expected: int) -> None:
    assert largest_hash(percentage) == expected


@given(st.floats(0, 100, exclude_min=True, exclude_max=True))
@example(5e-324)
@example(math.nextafter(100, 0))
def test_the_largest_hash_is_the_exact_share_but_for_rounding_to_64_digits(pct: float) -> None:
    exact = Fraction(pct / 100) * (2**64 - 1)
    assert abs(largest_hash(pct) - math.floor(exact)) <= 1
    assert 0 <= largest_hash(pct) <= 2**64 - 1


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        ("{sampling_percentage: 0}", False),
        ("{sampling_percentage: -1}", False),
        ("{}", False),
        ("{sampling_percentage: 100}", True),
        ("{sampling_percentage: 1.0e9}", True),
    ],
)
def test_no_chance_and_certainty(settings: str, *, sampled: bool) -> None:
    traces = some_traces(200)
    assert set(sampled_by("probabilistic", settings, traces)) == {sampled}


@given(
    st.floats(0.1, 99.9),
    st.text(max_size=8),
    st.lists(IDS, min_size=1, max_size=20),
)
def test_compiled_and_plain_agree(pct: float, salt: str, ids: list[bytes]) -> None:
    prefix = (salt or "default-hash-seed").encode()
    limit = largest_hash(pct)
    settings = {"sampling_percentage": pct, "hash_salt": salt, "mode": "hash_seed"}
    traces = [Trace(trace_id=trace_id) for trace_id in ids]
    expected = [plain_hash(prefix + trace_id) <= limit for trace_id in ids]
    assert sampled_by("probabilistic", settings, traces) == expected


def test_its_count_is_known_and_its_threshold_is_not() -> None:
    text = "policies: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: 25}}]"
    traces = some_traces(200)
    verdicts = decide(load_policy_set(text, "table"), traces)
    kept = verdicts.decision == 1
    assert 0 < kept.sum() < len(traces)
    assert set(verdicts.threshold.tolist()) == {NO_THRESHOLD}
    assert set(verdicts.adjusted[kept].tolist()) == {4.0}
    assert np.isnan(verdicts.adjusted[~kept]).all()


def test_certainty_has_threshold_zero() -> None:
    text = "policies: [{name: p, type: probabilistic, probabilistic: {sampling_percentage: 100}}]"
    verdicts = decide(load_policy_set(text, "table"), [Trace()])
    assert (verdicts.threshold.tolist(), verdicts.adjusted.tolist()) == ([0], [1.0])


def test_another_salt_makes_another_choice() -> None:
    traces = some_traces(200)
    one, other = (
        sampled_by("probabilistic", f"{{sampling_percentage: 50, hash_salt: {salt}}}", traces)
        for salt in ("one", "other")
    )
    assert one != other
