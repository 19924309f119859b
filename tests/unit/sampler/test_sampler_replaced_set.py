"""A set that replaces another: it decides all that is undecided, whatever came before it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.policies import PolicyError, PolicySet, load_policy_set
from streamsampler.sampler import Decision, Emission, Limits, Sampler
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import Headers, join
from streamsampler.store import BlockStore

TRACE, OTHER = b"t" * 16, b"u" * 16


def policy_set(policy: str, more: str = "") -> PolicySet:
    return load_policy_set(f"{{policies: [{{name: p, {policy}}}]{more}}}", "table")


def on_key(key: str, more: str = "") -> PolicySet:
    return policy_set(
        f"type: string_attribute, string_attribute: {{key: {key}, values: [v]}}", more
    )


NEVER = policy_set("type: latency, latency: {threshold_ms: 1000000}")
ALWAYS = policy_set("type: always_sample")
ERRORS = policy_set("type: status_code, status_code: {status_codes: [ERROR]}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("replaced")
    with BlockStore(path / "blocks") as opened:
        yield opened


def span(
    number: int,
    trace: bytes = TRACE,
    status: int = 0,
    attributes: dict[str, str] | None = None,
    resource: dict[str, str] | None = None,
    parent: bytes = b"parent..",
) -> bytes:
    """One record of one span, whose parent never comes unless it is none."""
    data = new_traces()
    group = data.resource_spans.add()
    made = group.scope_spans.add().spans.add()
    made.trace_id, made.span_id, made.parent_span_id = trace, number.to_bytes(8), parent
    made.status.code = status
    for target, pairs in ((made.attributes, attributes), (group.resource.attributes, resource)):
        for key, value in (pairs or {}).items():
            pair = target.add()
            pair.key, pair.value.string_value = key.encode(), value.encode()
    return data.SerializeToString()


@dataclass
class Engine:
    """An engine over one partition, and what came out of it."""

    sampler: Sampler
    offset: int = 0
    decisions: dict[bytes, Decision] = field(default_factory=dict)
    emissions: list[Emission] = field(default_factory=list)

    def submit(
        self, *values: bytes, time_ms: int = 1000, headers: Sequence[Headers | None] | None = None
    ) -> None:
        n = len(values)
        offsets = range(self.offset, self.offset + n)
        nothing = [None] * n
        self.offset += n
        outcome = self.sampler.submit(
            join([0] * n, offsets, [time_ms] * n, nothing, values, headers or nothing)
        )
        self.decisions |= {one.trace_id: one for one in outcome.decisions}
        self.emissions += outcome.emissions
        assert self.sampler.counts(0).conserved()

    def advance(self, time_ms: int) -> None:
        outcome = self.sampler.advance(0, time_ms)
        self.decisions |= {one.trace_id: one for one in outcome.decisions}
        self.emissions += outcome.emissions

    def use(self, policies: PolicySet) -> None:
        self.sampler.use(policies)
        while self.sampler.replacing:
            self.sampler.go_on()

    def finish(self) -> dict[bytes, Decision]:
        outcome = self.sampler.finish()
        self.decisions |= {one.trace_id: one for one in outcome.decisions}
        self.emissions += outcome.emissions
        assert self.sampler.counts(0).conserved()
        return self.decisions


def engine_of(store: BlockStore, policies: PolicySet, block_bytes: int = 100) -> Engine:
    sampler = Sampler(policies, store, Limits(block_bytes=block_bytes))
    sampler.assign(0)
    return Engine(sampler)


@pytest.mark.parametrize("block_bytes", [1, 100, 100_000])
@pytest.mark.parametrize("place", ["attributes", "resource"])
def test_buffered_spans_are_read_again_for_what_the_new_set_reads(
    store: BlockStore, block_bytes: int, place: str
) -> None:
    engine = engine_of(store, on_key("a"), block_bytes)
    engine.submit(span(1, attributes={"a": "v"}), span(2, OTHER, **{place: {"b": "v"}}))  # type: ignore[arg-type]  # one of two names
    engine.submit(span(3, OTHER), span(4, attributes={"b": "w"}))
    new = on_key("b")
    engine.use(new)
    decisions = engine.finish()
    assert {trace: one.decision for trace, one in decisions.items()} == {
        TRACE: "not_sampled", OTHER: "sampled",
    }  # fmt: skip
    assert {one.policy_version for one in decisions.values()} == {new.version}
    assert sum(emission.spans for emission in engine.emissions) == 2


@pytest.mark.parametrize("first", [ALWAYS, NEVER, ERRORS, on_key("a")])
@pytest.mark.parametrize(
    ("then", "sampled"),
    [(ALWAYS, True), (NEVER, False), (ERRORS, True), (on_key("a"), True), (on_key("b"), False)],
)
def test_only_the_set_in_force_decides(
    store: BlockStore,
    first: PolicySet,
    then: PolicySet,
    sampled: bool,  # noqa: FBT001
) -> None:
    engine = engine_of(store, first)
    engine.submit(span(1, status=2), span(2, attributes={"a": "v"}))
    engine.use(then)
    engine.submit(span(3))
    assert engine.finish()[TRACE].decision == ("sampled" if sampled else "not_sampled")


def test_spans_that_come_after_a_new_set_count_too(store: BlockStore) -> None:
    engine = engine_of(store, on_key("a"))
    engine.submit(span(1))
    engine.use(on_key("b"))
    engine.submit(span(2, attributes={"b": "v"}))
    assert engine.finish()[TRACE].decision == "sampled"


def test_sets_may_follow_each_other(store: BlockStore) -> None:
    engine = engine_of(store, ALWAYS)
    engine.submit(span(1, attributes={"a": "v"}))
    for policies in (on_key("b"), ALWAYS, NEVER, on_key("c"), on_key("a")):
        engine.use(policies)
    assert engine.finish()[TRACE].decision == "sampled"


def test_decided_traces_stay_decided(store: BlockStore) -> None:
    engine = engine_of(store, NEVER)
    engine.submit(span(1))
    engine.advance(1000 + NEVER.decision_wait_ms)
    engine.use(ALWAYS)
    engine.submit(span(2, status=2), time_ms=2000 + NEVER.decision_wait_ms)
    assert engine.finish()[TRACE].decision == "not_sampled"
    assert engine.emissions == []
    assert engine.sampler.counts(0).late_errors == 1


# Tenants.


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [
        ("{key: tenant.id, source: any}", "a"),
        ("{key: tenant.id, source: span}", "b"),
        ("{key: tenant.id, source: resource}", "a"),
        ("{key: other, source: any}", "o"),
        ("{key: tenant.id, source: header}", "h"),
        ("{key: missing, source: any}", None),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 100_000])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_tenant_is_read_anew(
    store: BlockStore, tenant: str, expected: str | None, order: tuple[int, ...], block_bytes: int
) -> None:
    engine = engine_of(store, ALWAYS, block_bytes)
    values = [
        span(1, attributes={"tenant.id": "c"}),
        span(2, attributes={"tenant.id": "b"}, resource={"tenant.id": "a"}),
        span(3, attributes={"other": "o"}),
    ]
    headers: list[Headers | None] = [[("tenant.id", b"i")], [("tenant.id", b"h")], None]
    engine.submit(*[values[one] for one in order], headers=[headers[one] for one in order])
    engine.use(policy_set("type: always_sample", f", tenant: {tenant}"))
    assert engine.finish()[TRACE].tenant == expected


def test_a_tenants_percentage_is_that_of_the_new_set(store: BlockStore) -> None:
    def tenants(rates: str) -> PolicySet:
        return policy_set(f"type: tenant, tenant: {{tenants: {rates}}}")

    engine = engine_of(store, tenants("{silver: 0, gold: always}"))
    engine.submit(span(1, attributes={"tenant.id": "gold"}))
    engine.submit(span(1, OTHER, attributes={"tenant.id": "silver"}))
    engine.use(tenants("{bronze: always, silver: always, gold: 0}"))
    decisions = engine.finish()
    assert {trace: (one.decision, one.tenant) for trace, one in decisions.items()} == {
        TRACE: ("not_sampled", "gold"), OTHER: ("sampled", "silver"),
    }  # fmt: skip


# Waits.


@pytest.mark.parametrize("wait_ms", [100, 30_000, 3_600_000])
def test_traces_that_begin_after_it_wait_as_the_new_set_says(
    store: BlockStore, wait_ms: int
) -> None:
    engine = engine_of(store, NEVER)
    engine.submit(span(1))
    engine.use(policy_set("type: always_sample", f", decision_wait: {wait_ms}ms"))
    engine.submit(span(1, OTHER), time_ms=2000)
    engine.advance(min(2000 + wait_ms, 1000 + NEVER.decision_wait_ms) - 1)
    assert engine.decisions == {}
    engine.advance(2000 + wait_ms - 1)
    assert OTHER not in engine.decisions
    engine.advance(max(2000 + wait_ms, 1000 + NEVER.decision_wait_ms))
    assert set(engine.decisions) == {TRACE, OTHER}
    assert engine.decisions[TRACE].decided_at_ms == 1000 + NEVER.decision_wait_ms
    assert engine.decisions[OTHER].decided_at_ms == 2000 + wait_ms


def test_a_trace_that_grows_waits_as_the_new_set_says(store: BlockStore) -> None:
    engine = engine_of(store, NEVER)
    engine.submit(span(1))
    engine.use(policy_set("type: always_sample", ", decision_wait: 2s"))
    engine.submit(span(2), time_ms=1500)
    engine.advance(2999)
    assert engine.decisions == {}
    engine.advance(3000)
    assert engine.decisions[TRACE].decided_at_ms == 3000


# The same set again.


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize(
    "records",
    [
        [span(1), span(1, status=2) + span(2)],
        [span(1), span(2) + span(1, status=2)],
        [span(1) + span(1, status=2)],
        [span(1), span(1, attributes={"tenant.id": "a"}) + span(2)],
    ],
)
def test_a_duplicate_does_not_count(
    store: BlockStore,
    records: list[bytes],
    renewed: bool,  # noqa: FBT001
) -> None:
    engine = engine_of(store, ERRORS)
    for record in records:
        engine.submit(record)
        if renewed:
            engine.use(ERRORS)
    decision = engine.finish()[TRACE]
    assert (decision.decision, decision.tenant) == ("not_sampled", None)


def test_spans_of_a_forgotten_decision_do_not_count(store: BlockStore) -> None:
    policies = policy_set(
        "type: status_code, status_code: {status_codes: [ERROR]}",
        ", decision_wait: 30s, completion_grace: 1s, decision_ttl: 1s",
    )
    engine = engine_of(store, policies, block_bytes=100_000)
    # TRACE is complete with an error; OTHER, in the same block, waits for a parent.
    engine.submit(span(1, status=2, parent=b""), span(1, OTHER), time_ms=0)
    engine.advance(1000)
    assert engine.decisions[TRACE].decision == "sampled"
    # A third trace is decided, and the decision on the first forgotten.
    engine.submit(span(1, b"v" * 16, parent=b""), time_ms=5000)
    engine.advance(6000)
    # It begins anew, without an error.
    engine.submit(span(2), time_ms=6000)
    engine.use(policies)
    decisions = engine.finish()
    assert decisions[TRACE].decision == decisions[OTHER].decision == "not_sampled"


SPANS = [span(n, trace, status=s) for n in (1, 2, 3) for trace in (TRACE, OTHER) for s in (0, 2)]
TENANTS = [
    span(4, TRACE, attributes={"tenant.id": "b"}),
    span(4, OTHER, resource={"tenant.id": "a"}),
]


@given(
    st.integers(1, 20).flatmap(
        lambda n: st.lists(
            st.lists(st.sampled_from(SPANS + TENANTS), min_size=1, max_size=3),
            min_size=n,
            max_size=n,
        )
    ),
    st.sets(st.integers(0, 19)),
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_set_that_replaces_itself_changes_nothing(
    store: BlockStore, records: list[list[bytes]], renewals: set[int]
) -> None:
    once = engine_of(store, ERRORS)
    for at, record in enumerate(records):
        once.submit(b"".join(record), time_ms=1000 + 3000 * at)
    expected = once.finish()
    renewed = engine_of(store, ERRORS)
    for at, record in enumerate(records):
        renewed.submit(b"".join(record), time_ms=1000 + 3000 * at)
        if at in renewals:
            renewed.sampler.use(ERRORS)
    assert renewed.finish() == expected
    assert renewed.emissions == once.emissions


# What goes wrong.


def test_a_set_that_cannot_be_compiled_changes_nothing(store: BlockStore) -> None:
    policies = [replace(on_key(f"k{n}").policies[0], name=f"p{n}") for n in range(65)]
    too_many = PolicySet(tuple(policies))
    engine = engine_of(store, on_key("a"))
    engine.submit(span(1, attributes={"a": "v"}))
    with pytest.raises(PolicyError):
        engine.use(too_many)
    engine.submit(span(1, OTHER, attributes={"a": "v"}))
    decisions = engine.finish()
    assert {one.decision for one in decisions.values()} == {"sampled"}
    assert {one.policy_version for one in decisions.values()} == {on_key("a").version}


def test_a_new_set_without_partitions_or_traces_is_no_work(store: BlockStore) -> None:
    sampler = Sampler(NEVER, store)
    sampler.use(ALWAYS)
    sampler.assign(0)
    engine = Engine(sampler)
    sampler.use(ERRORS)
    engine.submit(span(1, status=2))
    assert engine.finish()[TRACE].decision == "sampled"


def test_every_partition_gets_the_new_set(store: BlockStore) -> None:
    sampler = Sampler(on_key("a"), store)
    for partition in (0, 1, 2):
        sampler.assign(partition)
    values = [span(1, bytes([n]) * 16, attributes={"b": "v"}) for n in (1, 2, 3)]
    sampler.submit(join([0, 1, 2], [0, 0, 0], [1000] * 3, [None] * 3, values, [None] * 3))
    sampler.use(on_key("b"))
    while sampler.replacing:
        sampler.go_on()
    assert [(one.partition, one.decision) for one in sampler.finish().decisions] == [
        (partition, "sampled") for partition in (0, 1, 2)
    ]
