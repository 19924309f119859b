"""probabilistic: keeps the traces whose hash is small enough, or whose randomness large enough."""

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


# By randomness: a trace is kept where R >= T.

EXAMPLE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")  # R = 0xce929d0e0e4736
MODES = pytest.mark.parametrize("mode", ["equalizing", "proportional"])


@MODES
@pytest.mark.parametrize(
    ("percentage", "rv", "sampled"),
    [
        (50, None, True),  # T is 8
        (25, None, True),  # c
        (10, None, False),  # e6666666666666
        (0, None, False),
        (-1, None, False),
        (100, None, True),
        (200, None, True),
        (50, "80000000000000", True),
        (50, "7fffffffffffff", False),
        (50, "8", True),  # no rv, so the id's bits count
        (10, "e6666666666666", True),
        (10, "e6666666666665", False),
        (1e-20, "ffffffffffffff", False),
    ],
)
def test_randomness(mode: str, percentage: float, rv: str | None, *, sampled: bool) -> None:
    settings = {"sampling_percentage": percentage, "mode": mode}
    traces = [Trace(trace_id=EXAMPLE, rv=rv)]
    assert sampled_by("probabilistic", settings, traces) == [sampled]


@MODES
def test_the_threshold_of_what_randomness_kept_is_told(mode: str) -> None:
    settings = f"{{sampling_percentage: 25, mode: {mode}}}"
    text = f"policies: [{{name: p, type: probabilistic, probabilistic: {settings}}}]"
    verdicts = decide(load_policy_set(text, "table"), some_traces(200))
    kept = verdicts.decision == 1
    assert 0 < kept.sum() < 200
    assert set(verdicts.threshold[kept].tolist()) == {0xC0000000000000}
    assert set(verdicts.adjusted[kept].tolist()) == {4.0}


@MODES
def test_a_smaller_percentage_keeps_some_of_the_same(mode: str) -> None:
    traces = some_traces(500)
    few, many = (
        sampled_by("probabilistic", {"sampling_percentage": each, "mode": mode}, traces)
        for each in (5, 50)
    )
    assert 0 < sum(few) < sum(many)
    assert all(also for one, also in zip(few, many, strict=True) if one)


def test_a_chance_too_small_for_a_threshold_is_told() -> None:
    settings = "{sampling_percentage: 1.0e-20, mode: equalizing}"
    text = f"policies: [{{name: p, type: probabilistic, probabilistic: {settings}}}]"
    (warning,) = load_policy_set(text, "table").warnings
    assert warning.endswith("keeps no trace, as the smallest percentage of this mode is 1.4e-15.")
