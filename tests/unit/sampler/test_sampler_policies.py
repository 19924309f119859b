"""Verdicts by each type of policy, from records to decision, through the whole engine."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.policies import PolicySet, load_policy_set
from streamsampler.sampler import Decision, Sampler
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import Headers, join
from streamsampler.store import BlockStore

MS = 1_000_000
TRACE = b"t" * 16
HALF = 2**55


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("policies")
    with BlockStore(path / "blocks") as opened:
        yield opened


def policy_set(*policies: str, more: str = "") -> PolicySet:
    named = ", ".join(f"{{name: p{n}, {policy}}}" for n, policy in enumerate(policies))
    return load_policy_set(f"{{policies: [{named}]{more}}}", "table")


def span(
    number: int = 1,
    trace: bytes = TRACE,
    status: int = 0,
    times: tuple[int, int] = (0, 0),
    state: str = "",
    attributes: dict[str, str | int] | None = None,
    resource: dict[str, str | int] | None = None,
) -> bytes:
    """One record of one span; times in ns."""
    data = new_traces()
    group = data.resource_spans.add()
    made = group.scope_spans.add().spans.add()
    made.trace_id, made.span_id, made.trace_state = trace, number.to_bytes(8), state.encode()
    made.start_time_unix_nano, made.end_time_unix_nano = times
    made.status.code = status
    for target, pairs in ((made.attributes, attributes), (group.resource.attributes, resource)):
        for key, value in (pairs or {}).items():
            pair = target.add()
            pair.key = key.encode()
            if isinstance(value, str):
                pair.value.string_value = value.encode()
            else:
                pair.value.int_value = value
    return data.SerializeToString()


def decided(
    store: BlockStore,
    policies: PolicySet,
    values: Sequence[bytes],
    headers: Sequence[Headers | None] | None = None,
) -> dict[bytes, Decision]:
    """Decide traces, each record in a batch of its own."""
    sampler = Sampler(policies, store)
    sampler.assign(0)
    for at, value in enumerate(values):
        pairs = headers[at] if headers else None
        sampler.submit(join([0], [at], [1000], [None], [value], [pairs]))
    outcome = sampler.finish()
    kept = {emission.trace_id for emission in outcome.emissions}
    assert kept == {one.trace_id for one in outcome.decisions if one.decision == "sampled"}
    assert sampler.counts(0).conserved()
    return {one.trace_id: one for one in outcome.decisions}


def verdict(store: BlockStore, policies: PolicySet, values: Sequence[bytes]) -> Decision:
    return decided(store, policies, values)[TRACE]


STATUS = "type: status_code, status_code: {status_codes: [ERROR]}"
LATENCY = "type: latency, latency: {threshold_ms: 10}"
BAND = "type: latency, latency: {threshold_ms: 10, upper_threshold_ms: 20}"
STRING = "type: string_attribute, string_attribute: {key: k, values: [v]}"
NOT_STRING = "type: string_attribute, string_attribute: {key: k, values: [v], invert_match: true}"
RULES: dict[str, tuple[str, list[bytes], bool]] = {
    "one error among many": (STATUS, [span(1), span(2, status=2), span(3, status=1)], True),
    "no error": (STATUS, [span(1), span(2, status=1)], False),
    "exactly at the threshold": (LATENCY, [span(times=(0, 10 * MS))], False),
    "a nanosecond slower": (LATENCY, [span(times=(0, 10 * MS + 1))], True),
    "slow over its spans": (
        LATENCY, [span(1, times=(5 * MS, 6 * MS)), span(2, times=(15 * MS, 16 * MS))], True),
    "slow spans back to back": (
        LATENCY, [span(1, times=(0, 5 * MS)), span(2, times=(3 * MS, 9 * MS))], False),
    "ends before it starts": (LATENCY, [span(times=(50 * MS, 0))], False),
    "within the band": (BAND, [span(times=(0, 15 * MS))], True),
    "at the top of the band": (BAND, [span(times=(0, 20 * MS))], True),
    "above the band": (BAND, [span(times=(0, 20 * MS + 1))], False),
    "an attribute of a span": (STRING, [span(1), span(2, attributes={"k": "v"})], True),
    "an attribute of a resource": (STRING, [span(1, resource={"k": "v"}), span(2)], True),
    "another value": (STRING, [span(attributes={"k": "vv"})], False),
    "a number": (STRING, [span(attributes={"k": 1})], False),
    "no span has it": (NOT_STRING, [span(1), span(2)], True),
    "some span has it": (NOT_STRING, [span(1), span(2, attributes={"k": "v"})], False),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rules(store: BlockStore, name: str) -> None:
    policy, values, sampled = RULES[name]
    for ordered in (values, values[::-1]):
        decision = verdict(store, policy_set(policy), ordered)
        assert decision.decision == ("sampled" if sampled else "not_sampled")
        assert decision.policy == ("p0" if sampled else None)
        assert decision.threshold == ("0" if sampled else None)
        assert decision.adjusted_count == (1.0 if sampled else None)


def test_a_decision_says_what_it_rests_on(store: BlockStore) -> None:
    values = [
        span(1, times=(5 * MS, 6 * MS), status=2),
        span(2, times=(2 * MS, 4 * MS), attributes={"tenant.id": "gold"}),
    ]
    policies = policy_set(LATENCY, STATUS)
    decision = verdict(store, policies, values)
    assert len({decision.spans_out[:8], decision.spans_out[8:]} - {b""}) == 2
    assert decision == Decision(
        partition=0, trace_id=TRACE, decision="sampled", policy="p1", trigger="shutdown",
        threshold="0", adjusted_count=1.0, spans=2, size_bytes=sum(map(len, values)),
        duration_ns=4 * MS, tenant="gold", error=True, decided_at_ms=1000, first_offset=0,
        policy_version=policies.version, spans_out=decision.spans_out,
        grounds="status ERROR",
    )  # fmt: skip


def test_each_trace_is_decided_by_its_own_spans(store: BlockStore) -> None:
    traces = [bytes([n]) * 16 for n in range(1, 30)]
    values = [span(1, trace=trace, status=2 * (n % 3 == 0)) for n, trace in enumerate(traces)]
    found = decided(store, policy_set(STATUS), values)
    assert {trace: one.decision == "sampled" for trace, one in found.items()} == {
        trace: n % 3 == 0 for n, trace in enumerate(traces)
    }


# The Collector's hash: golden values from the definition, FNV-1a over salt and id.


def _fnv(data: bytes) -> int:
    word = 0xCBF29CE484222325
    for byte in data:
        word = (word ^ byte) * 0x100000001B3 % 2**64
    return word


@pytest.mark.parametrize("percentage", [0, 1, 25, 50, 99.5, 100])
def test_chance_is_a_function_of_the_trace_id(store: BlockStore, percentage: float) -> None:
    policy = f"type: probabilistic, probabilistic: {{sampling_percentage: {percentage}}}"
    traces = [(n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).to_bytes(16) for n in range(1, 200)]
    found = decided(store, policy_set(policy), [span(trace=trace) for trace in traces])
    limit = int(percentage / 100 * (2**64 - 1)) if percentage < 100 else 2**64
    assert {trace for trace in traces if found[trace].decision == "sampled"} == {
        trace for trace in traces if percentage and _fnv(b"default-hash-seed" + trace) <= limit
    }
    for one in found.values():
        assert one.threshold is None or percentage == 100
        if one.decision == "sampled":
            assert one.adjusted_count == pytest.approx(100 / percentage)


# Tenants.

TENANT = "type: tenant, tenant: {tenants: {gold: always, half: 50, none: 0}}"
LOW, HIGH = HALF - 1, HALF


def id_of(randomness: int) -> bytes:
    return b"\xff" * 9 + randomness.to_bytes(7)


def rv(randomness: int) -> str:
    return f"ot=rv:{randomness:014x}"


@pytest.mark.parametrize(
    ("tenant", "randomness", "sampled", "threshold", "adjusted"),
    [
        ("gold", 0, True, "0", 1.0),
        ("half", LOW, False, None, None),
        ("half", HIGH, True, "8", 2.0),
        ("none", 2**56 - 1, False, None, None),
        ("unheard of", 2**56 - 1, False, None, None),
        ("", 2**56 - 1, False, None, None),
    ],
)
def test_a_tenant_has_its_percentage(
    store: BlockStore,
    tenant: str,
    randomness: int,
    sampled: bool,  # noqa: FBT001
    threshold: str | None,
    adjusted: float | None,
) -> None:
    attributes: dict[str, str | int] = {"tenant.id": tenant} if tenant else {}
    trace = id_of(randomness)
    values = [span(1, trace=trace), span(2, trace=trace, attributes=attributes)]
    decision = decided(store, policy_set(TENANT), values)[trace]
    assert (decision.decision == "sampled") is sampled
    assert (decision.threshold, decision.adjusted_count) == (threshold, adjusted)
    assert decision.tenant == (tenant or None)


@pytest.mark.parametrize(
    ("states", "randomness", "sampled"),
    [
        ([""], LOW, False),
        ([""], HIGH, True),
        ([rv(HIGH)], LOW, True),
        ([rv(LOW)], HIGH, False),
        # One span of a trace is enough, wherever it stands.
        (["", rv(HIGH)], LOW, True),
        ([rv(LOW), ""], HIGH, False),
        # Where spans contradict each other the smallest counts, in any order.
        ([rv(HIGH), rv(LOW)], HIGH, False),
        ([rv(LOW), rv(HIGH)], HIGH, False),
        # What is none does not count.
        (["ot=rv:12"], HIGH, True),
        (["vendor=rv:00000000000000"], HIGH, True),
    ],
)
def test_randomness_is_what_the_tracestate_says(
    store: BlockStore,
    states: list[str],
    randomness: int,
    sampled: bool,  # noqa: FBT001
) -> None:
    trace = id_of(randomness)
    values = [
        span(number, trace=trace, state=state, attributes={"tenant.id": "half"})
        for number, state in enumerate(states, 1)
    ]
    assert (decided(store, policy_set(TENANT), values)[trace].decision == "sampled") is sampled


NAMES = ["10", "9", "A", "a", "ab", "gold", "z", "é"]


@given(st.lists(st.tuples(*[st.sampled_from(["", *NAMES])] * 2), min_size=1, max_size=5))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_of_several_tenants_the_first_by_bytes_counts(
    store: BlockStore, tenants: list[tuple[str, str]]
) -> None:
    values = [
        span(
            number,
            attributes={"tenant.id": own} if own else None,
            resource={"tenant.id": shared} if shared else None,
        )
        for number, (own, shared) in enumerate(tenants, 1)
    ]
    expected = min((one.encode() for pair in tenants for one in pair if one), default=b"")
    for ordered in (values, values[::-1]):
        decision = verdict(store, policy_set(TENANT), ordered)
        assert decision.tenant == (expected.decode() or None)


def test_a_tenant_that_is_no_text_is_shown_as_well_as_may_be(store: BlockStore) -> None:
    value = span(attributes={"tenant.id": "cafe"}).replace(b"cafe", b"caf\xe9")
    assert verdict(store, policy_set(TENANT), [value]).tenant == "caf\ufffd"


def test_a_tenant_may_stand_in_a_header(store: BlockStore) -> None:
    policies = policy_set(TENANT, more=", tenant: {key: x-tenant, source: header}")
    traces = [bytes([n]) * 16 for n in (1, 2, 3)]
    headers: list[Headers | None] = [[("x-tenant", b"gold")], None, [("x-tenant", b"none")]]
    values = [span(trace=trace, attributes={"x-tenant": "gold"}) for trace in traces]
    found = decided(store, policies, values, headers)
    assert [found[trace].tenant for trace in traces] == ["gold", None, "none"]
    assert [found[trace].decision for trace in traces] == ["sampled", "not_sampled", "not_sampled"]


# Several policies.


def test_the_least_strict_policy_is_named(store: BlockStore) -> None:
    policies = policy_set(TENANT, STATUS)
    half: dict[str, str | int] = {"tenant.id": "half"}
    trace = id_of(HIGH)
    calm = decided(store, policies, [span(trace=trace, attributes=half)])[trace]
    error = decided(store, policies, [span(trace=trace, attributes=half, status=2)])[trace]
    assert (calm.policy, calm.threshold) == ("p0", "8")
    assert (error.policy, error.threshold) == ("p1", "0")


def test_with_first_match_the_first_is_named(store: BlockStore) -> None:
    policies = policy_set(TENANT, STATUS, more=", sample_on_first_match: true")
    trace = id_of(HIGH)
    values = [span(trace=trace, attributes={"tenant.id": "half"}, status=2)]
    decision = decided(store, policies, values)[trace]
    assert (decision.policy, decision.threshold, decision.adjusted_count) == ("p0", "8", 2.0)


def test_a_set_of_many_policies_uses_every_bit(store: BlockStore) -> None:
    names = [
        f"type: string_attribute, string_attribute: {{key: k{n}, values: [v]}}" for n in range(64)
    ]
    policies = policy_set(*names)
    for number in (0, 31, 32, 62, 63):
        decision = verdict(store, policies, [span(attributes={f"k{number}": "v"})])
        assert decision.policy == f"p{number}"
