"""Traces as plain objects, and the columns that the compiled form of a policy set sees of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamsampler.estimates import randomness
from streamsampler.policies import (
    CompiledSet,
    DueTraces,
    PolicySet,
    SpanPredicate,
    TenantNumbers,
    Verdicts,
    compile_policies,
    load_policy_set,
)
from streamsampler.policies.predicates import (
    AllOf,
    AnyOf,
    BoolTest,
    Condition,
    ConditionFails,
    FlagsTest,
    HasKey,
    IsRoot,
    Negated,
    NumberTest,
    StateTest,
    StatusIn,
    StringTest,
)

MS = 1_000_000

Value = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Span:
    """A span; which OTTL conditions are true of it, or of its events, is the test's to say."""

    status: int = 0
    attributes: Mapping[str, Value] = field(default_factory=dict)
    resource: Mapping[str, Value] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0
    root: bool = False
    state: str = ""
    flags: int = 0
    true_of: frozenset[str] = frozenset()
    fails_of: frozenset[str] = frozenset()

    def values(self, key: bytes) -> list[Value]:
        """What it has of a key, itself and on its resource."""
        name = key.decode()
        return [held[name] for held in (self.attributes, self.resource) if name in held]


@dataclass(frozen=True, slots=True)
class Trace:
    spans: tuple[Span, ...] = (Span(),)
    trace_id: bytes = bytes(15) + b"\x01"
    rv: str | None = None
    tenant: str = ""
    decided_ms: int = 0
    size_bytes: int = 0

    @property
    def duration_ns(self) -> int:
        return max(s.end_ns for s in self.spans) - min(s.start_ns for s in self.spans)


def meets(span: Span, predicate: SpanPredicate) -> bool:  # noqa: C901, PLR0911, PLR0912 - one each
    match predicate:
        case StatusIn():
            return span.status in predicate.codes
        case StringTest():
            texts = [value for value in span.values(predicate.key) if isinstance(value, str)]
            return any(predicate.matches(text.encode()) for text in texts)
        case NumberTest(key, least, most):
            return any(
                (least is None or value >= least) and (most is None or value <= most)
                for value in span.values(key)
                if isinstance(value, int) and not isinstance(value, bool)
            )
        case BoolTest():
            return any(value is predicate.value for value in span.values(predicate.key))
        case HasKey():
            return bool(span.values(predicate.key))
        case StateTest():
            return predicate.matches(span.state.encode())
        case FlagsTest():
            return span.flags & predicate.mask != 0
        case IsRoot():
            return span.root
        case AllOf():
            return all(meets(span, test) for test in predicate.tests)
        case AnyOf():
            return any(meets(span, test) for test in predicate.tests)
        case Negated():
            return not meets(span, predicate.test)
        case Condition(text):
            return text in span.true_of
        case ConditionFails(text):
            return text in span.fails_of


def matched(trace: Trace, predicates: Mapping[int, SpanPredicate]) -> int:
    return sum(
        any(meets(span, predicate) for span in trace.spans) << bit
        for bit, predicate in predicates.items()
    )


def due_traces(traces: Sequence[Trace], compiled: CompiledSet, tenants: TenantNumbers) -> DueTraces:
    n = len(traces)
    return DueTraces(
        id_hi=np.array([int.from_bytes(t.trace_id[:8], "big") for t in traces], np.uint64),
        id_lo=np.array([int.from_bytes(t.trace_id[8:], "big") for t in traces], np.uint64),
        duration_ns=np.array([t.duration_ns for t in traces], np.int64),
        spans=np.array([len(t.spans) for t in traces], np.int64),
        size_bytes=np.array([t.size_bytes for t in traces], np.int64),
        matched=np.array([matched(t, compiled.predicates) for t in traces], np.uint64),
        tenant=np.array([tenants.number(t.tenant.encode()) for t in traces], np.int32),
        group=np.zeros(n, np.int32),
        randomness=np.array([randomness(t.trace_id, t.rv) for t in traces], np.uint64),
        incoming=np.zeros(n, np.uint64),
        partition=np.zeros(n, np.int32),
        decided_ms=np.array([t.decided_ms for t in traces], np.int64),
    )


def decide(policy_set: PolicySet, traces: Sequence[Trace]) -> Verdicts:
    tenants = TenantNumbers()
    compiled = compile_policies(policy_set, tenants)
    return compiled.decide(due_traces(traces, compiled, tenants))


def decided_by(
    policy_type: str, settings: str | Mapping[str, object], traces: Sequence[Trace]
) -> list[int]:
    """What one policy decides on each trace; its settings in YAML's flow form, or as data."""
    if isinstance(settings, str):
        text = f"policies: [{{name: p, type: {policy_type}, {policy_type}: {settings}}}]"
    else:
        text = json.dumps({"policies": [{"name": "p", "type": policy_type, policy_type: settings}]})
    decisions: list[int] = decide(load_policy_set(text, "table"), traces).decision.tolist()
    return decisions


def sampled_by(
    policy_type: str, settings: str | Mapping[str, object], traces: Sequence[Trace]
) -> list[bool]:
    """Whether one policy samples each trace."""
    return [decision == 1 for decision in decided_by(policy_type, settings, traces)]
