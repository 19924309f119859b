"""The right verdict of a trace, in plain Python over the model's spans.

Written from the definitions of the policies alone. Nothing of the engine's evaluation may come in
here: the two are held against each other.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import re2

from streamsampler.policies import Policy, PolicySet, TenantSource
from streamsampler.traffic.model import ERROR, OK, UNSET, Attribute, Span, Trace

_STATUS_CODES = {"UNSET": UNSET, "OK": OK, "ERROR": ERROR}
_RANDOMNESS_BITS = 56
_ALL_RANDOMNESS = 1 << _RANDOMNESS_BITS
_HEX = frozenset("0123456789abcdef")
_FNV_OFFSET, _FNV_PRIME, _UINT64 = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must become of a trace.

    Attributes:
        trace_id: 16 bytes.
        decision: the verdict.
        policy: the first policy in configured order that samples, or none.
        span_ids: the spans that must come out, late ones included, each once.
        on_time: spans that arrive before the decision, each counted once.
        late: spans that arrive after it.
        duplicates: spans that must be counted as duplicates.
        tenant: the trace's tenant, or none.
        duration_ns: largest end minus smallest start over the spans on time, ns.
        records: how many keyed records carry the trace.
    """

    trace_id: bytes
    decision: Literal["sampled", "not_sampled", "dropped"]
    policy: str | None
    span_ids: tuple[bytes, ...]
    on_time: int
    late: int
    duplicates: int
    tenant: str | None
    duration_ns: int
    records: int

    def line(self) -> dict[str, object]:
        """Gives the expectation as a line of the oracle file has it.

        Returns:
            An object for JSON: ids in hex, `spans` the number that must come out.
        """
        return {
            "trace_id": self.trace_id.hex(),
            "decision": self.decision,
            "policy": self.policy,
            "spans": len(self.span_ids),
            "span_ids": [span_id.hex() for span_id in self.span_ids],
            "on_time": self.on_time,
            "late": self.late,
            "duplicates": self.duplicates,
            "tenant": self.tenant,
            "duration_ns": self.duration_ns,
            "records": self.records,
        }


def judge(trace: Trace, policy_set: PolicySet) -> Expectation:
    """Gives the right verdict of a trace.

    Late spans follow the verdict and have no part in it.

    Args:
        trace: the trace with all its spans.
        policy_set: what to judge by.

    Returns:
        What must become of the trace.

    Raises:
        ValueError: a policy is of a type, or has a setting, that the oracle does not know.
    """
    sampling = (each.name for each in policy_set.policies if _samples(each, trace, policy_set))
    policy = next(sampling, None)
    kept = (*trace.spans, *trace.late_spans) if policy is not None else ()
    return Expectation(
        trace_id=trace.trace_id,
        decision="not_sampled" if policy is None else "sampled",
        policy=policy,
        span_ids=tuple(span.span_id for span in kept),
        on_time=len(trace.spans),
        late=len(trace.late_spans),
        duplicates=trace.duplicate_spans,
        tenant=tenant_of(trace, policy_set.tenant),
        duration_ns=duration_ns(trace.spans),
        records=trace.records,
    )


def unknown_policies(policy_set: PolicySet) -> tuple[str, ...]:
    """Finds the policies that the oracle cannot judge by.

    Args:
        policy_set: the set.

    Returns:
        A sentence for each; none when `judge` can be asked.
    """
    return tuple(
        f"policy {policy.name!r} is of type {policy.type!r}, which the oracle does not know"
        for policy in policy_set.policies
        if policy.type not in _RULES
    )


def duration_ns(spans: Iterable[Span]) -> int:
    """Measures a trace.

    Args:
        spans: of the trace; at least one.

    Returns:
        Largest end minus smallest start, ns, by the clocks that stamped them.
    """
    times = [(span.start_ns, span.end_ns) for span in spans]
    return max(end for _, end in times) - min(start for start, _ in times)


def tenant_of(trace: Trace, source: TenantSource) -> str | None:
    """Finds a trace's tenant.

    Args:
        trace: its spans on time are looked at.
        source: which attribute or header names it, and where it stands.

    Returns:
        The bytewise smallest of the values found, or none.
    """
    if source.source == "header":
        found = [value for name, value in trace.headers if name == source.key]
        return min(found).decode() if found else None
    places = {"any": (True, True), "resource": (True, False), "span": (False, True)}
    on_resources, on_spans = places[source.source]
    named = [
        value
        for span in trace.spans
        for value in (
            *(_strings(span.resource.attributes, source.key) if on_resources else ()),
            *(_strings(span.attributes, source.key) if on_spans else ()),
        )
    ]
    return min(named, key=str.encode) if named else None


def collector_hash(trace_id: bytes, salt: str) -> int:
    """Hashes a trace id as the Collector's tail sampler does.

    Args:
        trace_id: 16 bytes.
        salt: the policy's.

    Returns:
        64-bit FNV-1a of the salt, then the id.
    """
    state = _FNV_OFFSET
    for byte in salt.encode() + trace_id:
        state = (state ^ byte) * _FNV_PRIME & _UINT64
    return state


def randomness(trace: Trace) -> int:
    """Reads a trace's 56 bits of randomness.

    Args:
        trace: its spans on time are looked at.

    Returns:
        The smallest `rv` in an `ot` member of a tracestate, else the id's low 56 bits.

    Source:
        OpenTelemetry, "TraceState: Probability Sampling", explicit randomness.
    """
    states = {span.trace_state for span in trace.spans if span.trace_state}
    explicit = [value for state in states for value in _random_values(state)]
    return min(explicit, default=int.from_bytes(trace.trace_id, "big") % _ALL_RANDOMNESS)


def _random_values(trace_state: str) -> Iterator[int]:
    for member in trace_state.split(","):
        vendor, _, value = member.strip(" \t").partition("=")
        if vendor != "ot":
            continue
        for pair in value.split(";"):
            name, _, digits = pair.partition(":")
            if name == "rv" and len(digits) == 14 and _HEX.issuperset(digits):
                yield int(digits, 16)


def _strings(attributes: tuple[Attribute, ...], key: str) -> Iterator[str]:
    # An attribute of another type reads as the empty string, which never counts.
    for attribute in attributes:
        if attribute.key == key and isinstance(attribute.value, str) and attribute.value:
            yield attribute.value


def _samples(policy: Policy, trace: Trace, policy_set: PolicySet) -> bool:
    rule = _RULES.get(policy.type)
    if rule is None:
        raise ValueError(
            f"policy {policy.name!r} is of type {policy.type!r}, which the oracle does not know: "
            f"it knows {', '.join(_RULES)}"
        )
    return rule(policy.settings, trace, policy_set)


def _always_sample(_settings: Any, _trace: Trace, _set: PolicySet) -> bool:
    return True


def _status_code(settings: Any, trace: Trace, _set: PolicySet) -> bool:
    wanted = {_STATUS_CODES[name] for name in settings.status_codes}
    return any(span.status in wanted for span in trace.spans)


def _latency(settings: Any, trace: Trace, _set: PolicySet) -> bool:
    duration = duration_ns(trace.spans)
    upper = settings.upper_threshold_ms
    return duration > settings.threshold_ms * 1_000_000 and (
        not upper or duration <= upper * 1_000_000
    )


def _string_attribute(settings: Any, trace: Trace, _set: PolicySet) -> bool:
    values = settings.values
    patterns = [re2.compile(value) for value in values if settings.enabled_regex_matching]

    def matches(value: str) -> bool:
        if settings.enabled_regex_matching:
            return any(pattern.search(value) is not None for pattern in patterns)
        return value in values

    resources = {span.resource for span in trace.spans}
    holders = [
        *(resource.attributes for resource in resources),
        *(span.attributes for span in trace.spans),
    ]
    found = any(
        matches(value) for attributes in holders for value in _strings(attributes, settings.key)
    )
    return found is not bool(settings.invert_match)


def _probabilistic(settings: Any, trace: Trace, _set: PolicySet) -> bool:
    if getattr(settings, "mode", "hash_seed") not in ("", "hash_seed"):
        raise ValueError(
            f"probabilistic policy has mode {settings.mode!r}: the oracle knows hash_seed"
        )
    percentage = settings.sampling_percentage
    if percentage <= 0:
        return False
    if percentage >= 100:
        return True
    # The product is exact, as the Collector's is: a double would lose its low bits.
    limit = int(Fraction(percentage / 100) * _UINT64)
    return collector_hash(trace.trace_id, settings.hash_salt) <= limit


def _tenant(settings: Any, trace: Trace, policy_set: PolicySet) -> bool:
    tenant = tenant_of(trace, policy_set.tenant)
    rate = settings.other if tenant is None else settings.tenants.get(tenant, settings.other)
    if rate is None:
        return False
    share = (100.0 if rate == "always" else rate) / 100
    if share <= 0:
        return False
    threshold = _ALL_RANDOMNESS - round(min(share, 1.0) * _ALL_RANDOMNESS)
    return randomness(trace) >= threshold


_RULES: dict[str, Callable[[Any, Trace, PolicySet], bool]] = {
    "always_sample": _always_sample,
    "status_code": _status_code,
    "latency": _latency,
    "string_attribute": _string_attribute,
    "probabilistic": _probabilistic,
    "tenant": _tenant,
}
