"""bytes_limiting: as rate_limiting, and a trace costs the bytes of its records."""

import pytest

from streamsampler.policies import load_policy_set
from streamsampler.policies.grounds import grounds_of
from tests.conformance.due_traces import Span, Trace
from tests.conformance.one_policy import OnePolicy, letters, text_of


@pytest.mark.parametrize(
    ("settings", "traces", "sampled"),
    [
        ("{bytes_per_second: 500}", [(0, 1000), (0, 1), (2, 1)], "yny"),
        ("{bytes_per_second: 500}", [(0, 1001), (0, 999), (0, 1)], "nyy"),
        ("{bytes_per_second: 500, burst_capacity: 600}", [(0, 601), (0, 600)], "ny"),
        ("{bytes_per_second: 1000000}", [(0, 2_000_000), (10, 10_001), (10, 10_000)], "yny"),
        ("{bytes_per_second: 100000000000}", [(0, 2**40), (0, 10**11)], "ny"),
        ("{}", [(0, 1)], "n"),
    ],
)
def test_the_bucket(settings: str, traces: list[tuple[int, int]], sampled: str) -> None:
    policy = OnePolicy(text_of("bytes_limiting", settings))
    rows = [Trace((Span(),) * 3, decided_ms=at, size_bytes=size) for at, size in traces]
    assert letters(policy.keeps(rows)) == sampled


def test_each_partition_has_its_share() -> None:
    text = text_of("bytes_limiting", "{bytes_per_second: 30000, burst_capacity: 30000}")
    rows = [Trace(size_bytes=1000) for _ in range(40)]
    kept = OnePolicy(text, partitions=10).keeps(rows, [number % 2 for number in range(40)])
    assert letters(kept) == "yyyyyy" + "n" * 34


def test_a_rate_of_nothing_is_remarked_on() -> None:
    (warning,) = load_policy_set(text_of("bytes_limiting", "{}"), "t").warnings
    assert "keeps next to no trace, as bytes_per_second is 0." in warning


def test_grounds() -> None:
    text = text_of("bytes_limiting", "{bytes_per_second: 5000}")
    (policy,) = load_policy_set(text, "t").policies
    assert grounds_of(policy) == "within 5000 bytes per second"
