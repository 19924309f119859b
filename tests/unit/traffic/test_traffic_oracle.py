"""The oracle, rule by rule, on traces made by hand."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from streamsampler.policies import Policy, PolicySet, TenantSource, load_policy_set
from streamsampler.traffic import Span, Trace, judge, unknown_policies
from streamsampler.traffic.model import ERROR, OK, UNSET, Attribute, Resource, Scope
from streamsampler.traffic.oracle import collector_hash, randomness, tenant_of

_SCOPE = Scope("hand", "1")
_TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
_MS = 1_000_000
_numbers: Iterator[int] = count(1)


def span(
    *,
    start: int = 0,
    end: int = 0,
    status: int = UNSET,
    state: str = "",
    resource: dict[str, Any] | None = None,
    **attributes: Any,
) -> Span:
    def made(values: dict[str, Any]) -> tuple[Attribute, ...]:
        return tuple(Attribute(key.replace("_", "."), value) for key, value in values.items())

    return Span(
        _TRACE_ID,
        next(_numbers).to_bytes(8, "big"),
        b"",
        "op",
        1,
        start,
        end,
        status,
        "",
        made(attributes),
        (),
        (),
        state,
        0x100,
        Resource("service", made(resource or {}), 0, False),
        _SCOPE,
    )


def trace(*spans: Span, late: tuple[Span, ...] = (), headers: Any = ()) -> Trace:
    return Trace(_TRACE_ID, spans, late, len(spans) + len(late), 0, headers)


def policy_set(*policies: str, **settings: str) -> PolicySet:
    lines = [f"{name}: {value}" for name, value in settings.items()]
    lines += ["policies:", *(f"  - {{name: p{n}, {text}}}" for n, text in enumerate(policies))]
    return load_policy_set("\n".join(lines), "test")


def sampled(policy: str, *spans: Span) -> bool:
    return judge(trace(*spans), policy_set(policy)).decision == "sampled"


def test_without_a_policy_that_samples_a_trace_is_not_sampled() -> None:
    errors = "type: status_code, status_code: {status_codes: [ERROR]}"
    found = judge(trace(span()), policy_set(errors))
    assert (found.decision, found.policy, found.span_ids) == ("not_sampled", None, ())


def test_always_sample_samples_and_all_spans_come_out() -> None:
    on_time, late = span(), span()
    found = judge(trace(on_time, late=(late,)), policy_set("type: always_sample"))
    assert found.decision == "sampled"
    assert found.span_ids == (on_time.span_id, late.span_id)
    assert (found.on_time, found.late) == (1, 1)


def test_the_first_policy_in_configured_order_is_named() -> None:
    errors = "type: status_code, status_code: {status_codes: [ERROR]}"
    both = policy_set(errors, "type: always_sample")
    assert judge(trace(span(status=ERROR)), both).policy == "p0"
    assert judge(trace(span()), both).policy == "p1"


@pytest.mark.parametrize(
    ("codes", "statuses", "samples"),
    [
        ("ERROR", (UNSET, ERROR), True),
        ("ERROR", (UNSET, OK), False),
        ("OK", (ERROR, OK), True),
        ("UNSET", (OK, ERROR), False),
        ("OK, ERROR", (UNSET,), False),
        ("UNSET", (UNSET,), True),
    ],
)
def test_status_code_needs_one_span(codes: str, statuses: tuple[int, ...], samples: bool) -> None:  # noqa: FBT001 - a table's column
    policy = f"type: status_code, status_code: {{status_codes: [{codes}]}}"
    assert sampled(policy, *(span(status=status) for status in statuses)) is samples


@pytest.mark.parametrize(
    ("threshold", "upper", "duration_ns", "samples"),
    [
        (5, 0, 5 * _MS, False),
        (5, 0, 5 * _MS + 1, True),
        (5, 10, 10 * _MS, True),
        (5, 10, 10 * _MS + 1, False),
        (5, 10, 5 * _MS, False),
        (0, 0, 0, False),
        (0, 0, 1, True),
    ],
)
def test_latency_is_exact_to_the_nanosecond(
    threshold: int,
    upper: int,
    duration_ns: int,
    samples: bool,  # noqa: FBT001 - a table's column
) -> None:
    bounds = f"threshold_ms: {threshold}, upper_threshold_ms: {upper}"
    whole = 1_800_000_000_000_000_000
    first, second = span(start=whole, end=whole), span(start=whole, end=whole + duration_ns)
    assert sampled(f"type: latency, latency: {{{bounds}}}", first, second) is samples


def test_duration_goes_from_the_smallest_start_to_the_largest_end() -> None:
    skewed = trace(span(start=40, end=90), span(start=10, end=50), span(start=60, end=70))
    assert judge(skewed, policy_set("type: always_sample")).duration_ns == 80


_PROD = {"env": "prod"}


@pytest.mark.parametrize(
    ("settings", "spans", "samples"),
    [
        ("key: env, values: [prod]", [span(env="prod")], True),
        ("key: env, values: [prod]", [span(), span(resource=_PROD)], True),
        ("key: env, values: [prod]", [span(env="production")], False),
        ("key: env, values: [prod]", [span(other="prod")], False),
        ("key: env, values: [a, prod]", [span(env="x"), span(env="prod")], True),
        ("key: env, values: ['']", [span(env="")], False),
        ("key: env, values: ['.*'], enabled_regex_matching: true", [span(env="")], False),
        ("key: env, values: ['ro'], enabled_regex_matching: true", [span(env="prod")], True),
        ("key: env, values: ['^ro'], enabled_regex_matching: true", [span(env="prod")], False),
        ("key: env, values: ['^ü+$'], enabled_regex_matching: true", [span(env="üü")], True),
        ("key: env, values: ['7'], enabled_regex_matching: true", [span(env=7)], False),
        ("key: env, values: ['7']", [span(env=7)], False),
        ("key: env, values: [prod], invert_match: true", [span(env="prod")], False),
        ("key: env, values: [prod], invert_match: true", [span(env="x"), span(env="prod")], False),
        ("key: env, values: [prod], invert_match: true", [span(resource=_PROD)], False),
        ("key: env, values: [prod], invert_match: true", [span()], True),
        ("key: env, values: [prod], invert_match: true", [span(env="")], True),
    ],
)
def test_string_attribute(settings: str, spans: list[Span], samples: bool) -> None:  # noqa: FBT001 - a table's column
    assert sampled(f"type: string_attribute, string_attribute: {{{settings}}}", *spans) is samples


@pytest.mark.parametrize(
    ("salt", "trace_id", "expected"),
    [
        ("", b"", 0xCBF29CE484222325),
        ("a", b"", 0xAF63DC4C8601EC8C),
        ("foo", b"bar", 0x85944171F73967E8),
    ],
)
def test_the_collectors_hash_is_fnv_1a(salt: str, trace_id: bytes, expected: int) -> None:
    assert collector_hash(trace_id, salt) == expected


@pytest.mark.parametrize("side", [-1, 1])
def test_probabilistic_compares_the_hash_with_the_percentage(side: int) -> None:
    point = collector_hash(_TRACE_ID, "grain") / 2**64 * 100
    settings = f"sampling_percentage: {point + side * 1e-9!r}, hash_salt: grain"
    assert sampled(f"type: probabilistic, probabilistic: {{{settings}}}", span()) is (side > 0)


@pytest.mark.parametrize(
    ("percentage", "samples"), [(-1, False), (0, False), (100, True), (250, True)]
)
def test_probabilistic_knows_never_and_always(percentage: int, samples: bool) -> None:  # noqa: FBT001 - a table's column
    settings = f"{{sampling_percentage: {percentage}}}"
    assert sampled(f"type: probabilistic, probabilistic: {settings}", span()) is samples


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), 0xCE929D0E0E4736),
        (("ot=rv:00000000000001",), 1),
        (("vendor=x, ot=th:8;rv:0000000000000a",), 10),
        (("ot=rv:00000000000009", "ot=rv:00000000000002"), 2),
        (("ot=rv:01",), 0xCE929D0E0E4736),
        (("ot=rv:0000000000000A",), 0xCE929D0E0E4736),
        (("xot=rv:00000000000001",), 0xCE929D0E0E4736),
        (("ot=th:8",), 0xCE929D0E0E4736),
    ],
)
def test_randomness_is_explicit_or_of_the_id(states: tuple[str, ...], expected: int) -> None:
    assert randomness(trace(span(), *(span(state=state) for state in states))) == expected


@pytest.mark.parametrize(
    ("settings", "spans", "samples"),
    [
        # R of the trace id is 0xce92…: kept at thresholds 8 and c, not at e666….
        ("tenants: {acme: 50}", [span(tenant_id="acme")], True),
        ("tenants: {acme: 25}", [span(tenant_id="acme")], True),
        ("tenants: {acme: 10}", [span(tenant_id="acme")], False),
        ("tenants: {acme: always}", [span(tenant_id="acme", state="ot=rv:00000000000000")], True),
        ("tenants: {acme: 100}", [span(tenant_id="acme", state="ot=rv:00000000000000")], True),
        ("tenants: {acme: 0}", [span(tenant_id="acme", state="ot=rv:ffffffffffffff")], False),
        ("tenants: {acme: 10}", [span(tenant_id="acme", state="ot=rv:e6666666666666")], True),
        ("tenants: {acme: 10}", [span(tenant_id="acme", state="ot=rv:e6666666666665")], False),
        ("tenants: {acme: always}", [span(tenant_id="globex")], False),
        ("tenants: {acme: always}", [span()], False),
        ("tenants: {acme: 0}, other: 50", [span(tenant_id="globex")], True),
        ("tenants: {acme: 0}, other: 50", [span()], True),
        ("tenants: {acme: 0}, other: 50", [span(tenant_id="acme")], False),
    ],
)
def test_tenant_rates(settings: str, spans: list[Span], samples: bool) -> None:  # noqa: FBT001 - a table's column
    assert sampled(f"type: tenant, tenant: {{{settings}}}", *spans) is samples


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (TenantSource(), "alpha"),
        (TenantSource(source="resource"), "alpha"),
        (TenantSource(source="span"), "beta"),
        (TenantSource(key="x-tenant", source="header"), "gamma"),
        (TenantSource(key="customer"), None),
    ],
)
def test_the_tenant_is_the_smallest_where_the_source_says(
    source: TenantSource, expected: str | None
) -> None:
    spans = (
        span(tenant_id="zeta", resource={"tenant_id": "alpha"}),
        span(tenant_id="beta"),
        span(tenant_id=""),
        span(tenant_id=1),
    )
    assert tenant_of(trace(*spans, headers=(("x-tenant", b"gamma"),)), source) == expected


def test_tenants_are_compared_by_bytes() -> None:
    # UTF-16 order would put the second one first.
    spans = (span(tenant_id="\uff5e"), span(tenant_id="\U0001f600"))
    assert tenant_of(trace(*spans), TenantSource()) == "\uff5e"


@pytest.mark.parametrize(
    "policy",
    [
        "type: status_code, status_code: {status_codes: [ERROR]}",
        "type: latency, latency: {threshold_ms: 5}",
        "type: string_attribute, string_attribute: {key: env, values: [prod]}",
        "type: tenant, tenant: {tenants: {acme: always}}",
    ],
)
def test_what_a_late_span_says_changes_no_verdict(policy: str) -> None:
    loud = span(status=ERROR, end=10**12, env="prod", tenant_id="acme")
    found = judge(trace(span(), late=(loud,)), policy_set(policy))
    assert (found.decision, found.tenant, found.duration_ns) == ("not_sampled", None, 0)
    assert judge(trace(span(), loud), policy_set(policy)).decision == "sampled"


def test_a_policy_that_the_oracle_does_not_know_is_refused_by_name() -> None:
    (known,) = policy_set("type: always_sample").policies
    strange = PolicySet((Policy("odd", "tarot", known.settings),))
    (sentence,) = unknown_policies(strange)
    assert sentence == "policy 'odd' is of type 'tarot', which the oracle does not know"
    with pytest.raises(ValueError, match="'odd' is of type 'tarot'"):
        judge(trace(span()), strange)


def test_a_line_of_the_oracle_file_has_ids_in_hex_and_counts() -> None:
    one = span(end=7, tenant_id="acme")
    assert judge(trace(one), policy_set("type: always_sample")).line() == {
        "trace_id": _TRACE_ID.hex(),
        "decision": "sampled",
        "policy": "p0",
        "spans": 1,
        "span_ids": [one.span_id.hex()],
        "on_time": 1,
        "late": 0,
        "duplicates": 0,
        "tenant": "acme",
        "duration_ns": 7,
        "records": 1,
    }
