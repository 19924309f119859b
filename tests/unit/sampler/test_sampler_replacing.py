"""While other policies come into force, batches go on, and each trace has one set deciding it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamsampler.policies import PolicyError, PolicySet, load_policy_set
from streamsampler.policies.sets import PolicySets
from streamsampler.sampler import Decision, Limits, Sampler
from streamsampler.spans.payload import new_traces
from streamsampler.spans.records import join
from streamsampler.store import BlockStore

WAIT_MS = 30_000
KEYS = ("a", "b", "c", "d")


def asking(*keys: str, wait: str = "30s") -> PolicySet:
    """A set that samples whatever has one of these keys with the value v."""
    policies = [
        f"{{name: {key}, type: string_attribute, string_attribute: {{key: {key}, values: [v]}}}}"
        for key in keys
    ] or ["{name: never, type: latency, latency: {threshold_ms: 1000000}}"]
    return load_policy_set(f"{{policies: [{', '.join(policies)}], decision_wait: {wait}}}", "table")


def span(trace: int, number: int, keys: str = "", tenant: str = "") -> bytes:
    data = new_traces()
    made = data.resource_spans.add().scope_spans.add().spans.add()
    made.trace_id, made.span_id = trace.to_bytes(16), number.to_bytes(8)
    made.parent_span_id = b"parent.."
    for key, value in [*((key, "v") for key in keys), *([("tenant.id", tenant)] * bool(tenant))]:
        pair = made.attributes.add()
        pair.key, pair.value.string_value = key.encode(), value.encode()
    return data.SerializeToString()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("replacing")
    with BlockStore(path / "blocks") as opened:
        yield opened


class Engine:
    """An engine over one partition, with blocks of one record each."""

    def __init__(self, store: BlockStore, policies: PolicySet | PolicySets) -> None:
        self.sampler = Sampler(policies, store, Limits(block_bytes=1))
        self.sampler.assign(0)
        self.offset = 0
        self.decisions: dict[int, Decision] = {}

    def submit(self, *values: bytes, time_ms: int = 1000) -> None:
        n = len(values)
        offsets = range(self.offset, self.offset + n)
        self.offset += n
        nothing = [None] * n
        outcome = self.sampler.submit(
            join([0] * n, offsets, [time_ms] * n, nothing, values, nothing)
        )
        self._note(outcome.decisions)

    def finish(self) -> dict[int, Decision]:
        self._note(self.sampler.finish().decisions)
        assert self.sampler.counts(0).conserved()
        return self.decisions

    def _note(self, decisions: list[Decision]) -> None:
        for one in decisions:
            trace = int.from_bytes(one.trace_id)
            assert trace not in self.decisions
            self.decisions[trace] = one

    def read_on(self) -> int:
        steps = 0
        while self.sampler.replacing:
            self.sampler.go_on()
            steps += 1
        return steps


def test_until_all_is_read_the_policies_in_force_decide(store: BlockStore) -> None:
    old, new = asking("a"), asking("b")
    engine = Engine(store, old)
    engine.submit(span(1, 1, "b"), span(2, 1, "a"))
    assert not engine.sampler.use(new)
    assert engine.sampler.policies.default == old
    engine.submit(span(3, 1, "b"), time_ms=1000 + WAIT_MS)
    assert {1: old.version, 2: old.version} == {
        trace: one.policy_version for trace, one in engine.decisions.items()
    }
    assert [engine.decisions[trace].decision for trace in (1, 2)] == ["not_sampled", "sampled"]
    engine.read_on()
    assert engine.sampler.policies.default == new
    assert engine.finish()[3].decision == "sampled"
    assert engine.decisions[3].policy_version == new.version


def test_buffered_spans_are_read_a_block_at_a_time(store: BlockStore) -> None:
    engine = Engine(store, asking("a"))
    engine.submit(*(span(trace, 1, "b") for trace in range(1, 21)))
    engine.sampler.use(asking("b"))
    assert engine.read_on() >= 20
    assert {one.decision for one in engine.finish().values()} == {"sampled"}


@pytest.mark.parametrize("new", [asking("a", "b"), asking("a"), asking("b", "a"), asking()])
def test_what_is_asked_already_need_not_be_read_again(store: BlockStore, new: PolicySet) -> None:
    engine = Engine(store, asking("a", "b"))
    engine.submit(span(1, 1, "ab"))
    assert engine.sampler.use(new)
    assert not engine.sampler.replacing
    assert engine.finish()[1].policy_version == new.version


def test_what_was_asked_for_a_set_that_never_came_into_force_is_forgotten(
    store: BlockStore,
) -> None:
    engine = Engine(store, asking("a"))
    engine.submit(span(1, 1, "b"), span(2, 1, "c"))
    engine.sampler.use(asking("b"))
    engine.sampler.go_on()
    engine.sampler.use(asking("c"))
    engine.submit(span(3, 1, "b"))
    engine.read_on()
    decisions = engine.finish()
    assert [decisions[trace].decision for trace in (1, 2, 3)] == [
        "not_sampled",
        "sampled",
        "not_sampled",
    ]


def test_a_set_that_asks_too_much_beside_the_old_one_is_taken_in_one_go(store: BlockStore) -> None:
    many = [f"k{number}" for number in range(60)]
    engine = Engine(store, asking(*many))
    engine.submit(span(1, 1, "a"))
    assert engine.sampler.use(asking("a", *(f"l{number}" for number in range(60))))
    assert engine.finish()[1].decision == "sampled"


def test_a_set_that_asks_too_much_by_itself_is_refused(store: BlockStore) -> None:
    old = asking("a")
    engine = Engine(store, old)
    engine.submit(span(1, 1, "a"))
    too_much = PolicySets(
        asking(*(f"k{n}" for n in range(40))), {"acme": asking(*(f"l{n}" for n in range(40)))}
    )
    with pytest.raises(PolicyError, match="64"):
        engine.sampler.use(too_much)
    assert engine.finish()[1].decision == "sampled"
    assert engine.decisions[1].policy_version == old.version


def test_a_tenant_with_a_set_of_its_own_is_decided_by_that(store: BlockStore) -> None:
    sets = PolicySets(asking("a"), {"acme": asking("b"), "globex": asking("a", "b")})
    engine = Engine(store, sets)
    for trace, (keys, tenant) in enumerate(
        [("a", ""), ("b", ""), ("a", "acme"), ("b", "acme"), ("b", "globex"), ("a", "other")]
    ):
        engine.submit(span(trace + 1, 1, keys, tenant))
    decisions = engine.finish()
    assert [decisions[trace].decision for trace in range(1, 7)] == [
        "sampled", "not_sampled", "not_sampled", "sampled", "sampled", "sampled",
    ]  # fmt: skip
    assert decisions[4].policy_version == sets.tenants["acme"].version
    assert decisions[6].policy_version == sets.default.version
    counts = engine.sampler.policy_counts()
    assert counts["default", "a"].named == 2
    assert counts["acme", "b"].named == 1
    assert counts["globex", "b"].named == 1


steps = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.sets(st.sampled_from(KEYS), max_size=3)),
        st.tuples(st.just("go_on"), st.integers(1, 3)),
        st.tuples(
            st.just("submit"),
            st.lists(
                st.tuples(st.integers(1, 6), st.sets(st.sampled_from(KEYS), max_size=2)),
                min_size=1,
                max_size=4,
            ),
        ),
        st.tuples(st.just("wait"), st.integers(1, 25)),
    ),
    max_size=15,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_whatever_changes_when_each_trace_has_the_verdict_of_the_set_it_names(
    store: BlockStore, plan: list[tuple[str, object]]
) -> None:
    store.clear(0)
    sets: dict[frozenset[str], PolicySet] = {frozenset(): asking()}
    engine = Engine(store, sets[frozenset()])
    now_ms, keys_of, number = 1000, dict[int, set[str]](), 0
    for what, given_to_it in plan:
        if what == "use":
            chosen = frozenset(given_to_it)  # type: ignore[call-overload]
            sets[chosen] = asking(*sorted(chosen))
            engine.sampler.use(sets[chosen])
        elif what == "go_on":
            for _ in range(given_to_it):  # type: ignore[call-overload]
                engine.sampler.go_on()
        elif what == "wait":
            now_ms += 1000 * given_to_it  # type: ignore[operator]
        else:
            for trace, keys in given_to_it:  # type: ignore[attr-defined]
                decided = set(engine.decisions)
                number += 1
                engine.submit(span(trace, number, "".join(sorted(keys))), time_ms=now_ms)
                # What this record made due had not the record's span.
                if trace not in engine.decisions or trace in decided:
                    keys_of.setdefault(trace, set()).update(keys if trace not in decided else ())
    by_version = {policies.version: chosen for chosen, policies in sets.items()}
    for trace, decision in engine.finish().items():
        asked = by_version[decision.policy_version]
        expected = "sampled" if asked & keys_of.get(trace, set()) else "not_sampled"
        assert decision.decision == expected


def test_a_policys_counts_go_on_while_it_stays_and_go_with_it(store: BlockStore) -> None:
    store.clear(0)
    engine = Engine(store, asking("a", "b"))
    engine.submit(span(1, 1, "ab"))
    engine.submit(span(2, 1), time_ms=1000 + WAIT_MS)
    assert engine.sampler.policy_counts()["default", "a"].votes == 1
    engine.sampler.use(asking("a"))
    assert engine.sampler.policy_counts().keys() == {("default", "a")}
    engine.submit(span(3, 1, "a"), time_ms=1000 + WAIT_MS)
    engine.finish()
    assert engine.sampler.policy_counts()["default", "a"].votes == 2
