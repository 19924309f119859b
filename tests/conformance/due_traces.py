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
    StatusIn,
    TenantNumbers,
    Verdicts,
    compile_policies,
    load_policy_set,
)

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Span:
    status: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    resource: Mapping[str, str] = field(default_factory=dict)
    start_ns: int = 0
    end_ns: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    spans: tuple[Span, ...] = (Span(),)
    trace_id: bytes = bytes(15) + b"\x01"
    rv: str | None = None
    tenant: str = ""

    @property
    def duration_ns(self) -> int:
        return max(s.end_ns for s in self.spans) - min(s.start_ns for s in self.spans)


def meets(span: Span, predicate: SpanPredicate) -> bool:
    if isinstance(predicate, StatusIn):
        return span.status in predicate.codes
    key = predicate.key.decode()
    values = [held[key] for held in (span.attributes, span.resource) if key in held]
    return any(predicate.matches(value.encode()) for value in values)


def matched(trace: Trace, predicates: Sequence[SpanPredicate]) -> int:
    met = (any(meets(span, predicate) for span in trace.spans) for predicate in predicates)
    return sum(yes << bit for bit, yes in enumerate(met))


def due_traces(traces: Sequence[Trace], compiled: CompiledSet, tenants: TenantNumbers) -> DueTraces:
    n = len(traces)
    return DueTraces(
        id_hi=np.array([int.from_bytes(t.trace_id[:8], "big") for t in traces], np.uint64),
        id_lo=np.array([int.from_bytes(t.trace_id[8:], "big") for t in traces], np.uint64),
        duration_ns=np.array([t.duration_ns for t in traces], np.int64),
        spans=np.array([len(t.spans) for t in traces], np.int64),
        size_bytes=np.zeros(n, np.int64),
        matched=np.array([matched(t, compiled.predicates) for t in traces], np.uint64),
        tenant=np.array([tenants.number(t.tenant.encode()) for t in traces], np.int32),
        randomness=np.array([randomness(t.trace_id, t.rv) for t in traces], np.uint64),
        partition=np.zeros(n, np.int32),
        due_ms=np.zeros(n, np.int64),
    )


def decide(policy_set: PolicySet, traces: Sequence[Trace]) -> Verdicts:
    tenants = TenantNumbers()
    compiled = compile_policies(policy_set, tenants)
    return compiled.decide(due_traces(traces, compiled, tenants))


def sampled_by(
    policy_type: str, settings: str | Mapping[str, object], traces: Sequence[Trace]
) -> list[bool]:
    """What one policy makes of each trace; its settings in YAML's flow form, or as data."""
    if isinstance(settings, str):
        text = f"policies: [{{name: p, type: {policy_type}, {policy_type}: {settings}}}]"
    else:
        text = json.dumps({"policies": [{"name": "p", "type": policy_type, policy_type: settings}]})
    return [bool(d == 1) for d in decide(load_policy_set(text, "table"), traces).decision]
