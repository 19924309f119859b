"""What text makes which policy set: shapes of the block, defaults, warnings, versions."""

import json
from pathlib import Path

import pytest

from streamsampler.policies import (
    AlwaysSampleSettings,
    LatencySettings,
    Policy,
    PolicySet,
    ProbabilisticSettings,
    StatusCodeSettings,
    StringAttributeSettings,
    TenantSettings,
    TenantSource,
    load_policy_set,
)
from streamsampler.policies.block import INSTEAD

REAL = Path(__file__).parent.parent.parent / "data" / "real"

BARE = "policies: [{name: all, type: always_sample}]\ndecision_wait: 8s\n"
ALL = Policy("all", "always_sample", AlwaysSampleSettings())


def indented(text: str, by: int = 2) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


def loaded(text: str) -> PolicySet:
    return load_policy_set(text, "p.yaml")


@pytest.mark.parametrize(
    "text",
    [
        BARE,
        f"tail_sampling:\n{indented(BARE)}",
        f"tail_sampling/mine:\n{indented(BARE)}",
        f"processors:\n  tail_sampling:\n{indented(BARE, 4)}",
        f"processors:\n  batch:\n  tail_sampling/mine:\n{indented(BARE, 4)}",
        f"receivers: {{}}\nprocessors:\n  tail_sampling:\n{indented(BARE, 4)}service: {{}}\n",
        '{"policies": [{"name": "all", "type": "always_sample"}], "decision_wait": "8s"}',
    ],
)
def test_a_block_is_found_bare_or_in_a_collectors_configuration(text: str) -> None:
    assert loaded(text) == PolicySet((ALL,), decision_wait_ms=8000)


def test_a_collectors_block_is_taken_unchanged() -> None:
    policy_set = load_policy_set((REAL / "policies.yaml").read_text(), "policies.yaml")
    assert policy_set == PolicySet(
        policies=(
            Policy("errors", "status_code", StatusCodeSettings(status_codes=("ERROR",))),
            Policy("slow", "latency", LatencySettings(threshold_ms=700)),
            Policy(
                "globex",
                "string_attribute",
                StringAttributeSettings(key="tenant.id", values=("globex",)),
            ),
            Policy("baseline", "probabilistic", ProbabilisticSettings(sampling_percentage=10)),
        ),
        decision_wait_ms=8000,
        warnings=(
            (
                "policies.yaml:4:5: num_traces has no meaning here: the buffer lies on disk, "
                "and the worker's limits bound it in bytes."
            ),
        ),
    )


def test_defaults() -> None:
    policy_set = loaded("policies: [{name: all, type: always_sample}]")
    assert policy_set == PolicySet((ALL,), 30_000, 6_000, 600_000, sample_on_first_match=False)
    assert policy_set.tenant == TenantSource("tenant.id", "any")
    assert policy_set.warnings == ()


def test_every_setting_of_a_set() -> None:
    policy_set = loaded(
        f"{BARE}completion_grace: 500ms\ndecision_ttl: 1h\nsample_on_first_match: true\n"
        "tenant: {key: x-tenant, source: header}\n"
    )
    assert policy_set == PolicySet(
        (ALL,),
        decision_wait_ms=8000,
        completion_grace_ms=500,
        decision_ttl_ms=3_600_000,
        sample_on_first_match=True,
        tenant=TenantSource("x-tenant", "header"),
    )


def test_settings_of_a_tenant_policy() -> None:
    policy_set = loaded(
        "policies: [{name: t, type: tenant, tenant: {tenants: {a: always, b: 5}, other: 0.5}}]"
    )
    settings = policy_set.policies[0].settings
    assert settings == TenantSettings(tenants={"a": 100.0, "b": 5.0}, other=0.5)


def test_an_empty_value_leaves_the_default() -> None:
    text = "policies: [{name: l, type: latency, latency: {threshold_ms: 5, upper_threshold_ms: }}]"
    assert loaded(text).policies[0].settings == LatencySettings(threshold_ms=5)
    assert loaded(f"{BARE}decision_ttl:\ntenant:\n") == loaded(BARE)


POLICY = "policies: [{{name: p, type: {}, {}: {}}}]"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        *(
            (f"{BARE}{option}: 1\n", f"p.yaml:3:1: {option} has no meaning here: {instead}.")
            for option, instead in INSTEAD.items()
        ),
        (
            f"{BARE}completion_grace: 8s\n",
            (
                "p.yaml:3:1: completion_grace is not shorter than decision_wait, "
                "so no trace is decided early."
            ),
        ),
        (
            "policies: [{name: p, type: always_sample, latency: {threshold_ms: 5}, and: {}}]",
            (
                "p.yaml:1:43: policies[0].latency is not read, "
                "as the policy's type is always_sample.\n"
                "p.yaml:1:71: policies[0].and is not read, as the policy's type is always_sample."
            ),
        ),
        (
            POLICY.format(*["probabilistic"] * 2, "{}"),
            (
                "p.yaml:1:43: policies[0].probabilistic keeps no trace, "
                "as sampling_percentage is not above 0."
            ),
        ),
        (
            POLICY.format(*["latency"] * 2, "{}"),
            (
                "p.yaml:1:37: policies[0].latency keeps every trace that lasts at all; "
                "set threshold_ms."
            ),
        ),
        (
            POLICY.format(*["latency"] * 2, "{threshold_ms: 9, upper_threshold_ms: 9}"),
            (
                "p.yaml:1:37: policies[0].latency keeps no trace, "
                "as none lasts more than 9 and at most 9 ms."
            ),
        ),
        (
            POLICY.format(*["string_attribute"] * 2, "{key: k}"),
            (
                "p.yaml:1:46: policies[0].string_attribute keeps no trace, "
                "as without values nothing matches."
            ),
        ),
        (
            POLICY.format(*["string_attribute"] * 2, "{key: k, values: [''], invert_match: true}"),
            (
                "p.yaml:1:46: policies[0].string_attribute keeps every trace, "
                "as without values nothing matches."
            ),
        ),
        (
            POLICY.format(*["tenant"] * 2, "{tenants: {a: 0}}"),
            "p.yaml:1:36: policies[0].tenant keeps no trace, as no percentage is above 0.",
        ),
    ],
)
def test_warnings(text: str, warning: str) -> None:
    assert "\n".join(loaded(text).warnings) == warning


SETTINGS = {
    "policies": [
        {"name": "s", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "l", "type": "latency", "latency": {"threshold_ms": 5, "upper_threshold_ms": 9}},
    ],
    "decision_wait": "30s",
}


def version(text: str) -> str:
    return loaded(text).version


def test_the_version_is_of_the_content() -> None:
    block = """
        # formatting, order of keys, defaults spelt out, ignored options: all the same
        num_traces: 5
        sample_on_first_match: false
        decision_wait: 0m30.0s
        policies:
          - type: status_code
            status_code:
              status_codes: ["ERROR"]
            name: s
          - {name: l, latency: {upper_threshold_ms: 9, threshold_ms: 0x5}, type: latency}
    """
    assert version(block) == version(json.dumps(SETTINGS))
    assert len(version(block)) == 12
    assert int(version(block), 16) >= 0


def test_the_version_is_stable() -> None:
    # decisions already written name their version: a change here is a change of the format
    assert version(BARE) == "cf78a1984ef6"


@pytest.mark.parametrize(
    "changed",
    [
        SETTINGS | {"decision_wait": "31s"},
        SETTINGS | {"completion_grace": "1s"},
        SETTINGS | {"decision_ttl": "1s"},
        SETTINGS | {"sample_on_first_match": True},
        SETTINGS | {"tenant": {"key": "t"}},
        SETTINGS | {"tenant": {"source": "span"}},
        SETTINGS | {"policies": SETTINGS["policies"][::-1]},
        SETTINGS | {"policies": SETTINGS["policies"][:1]},
        SETTINGS | {"policies": [{"name": "all", "type": "always_sample"}]},
        SETTINGS | {"policies": [{"name": "any", "type": "always_sample"}]},
    ],
)
def test_another_content_has_another_version(changed: dict[str, object]) -> None:
    others = [json.dumps(SETTINGS), BARE]
    assert version(json.dumps(changed)) not in map(version, others)


def test_a_set_made_in_code_has_the_version_of_its_text() -> None:
    assert PolicySet((ALL,), decision_wait_ms=8000).version == version(BARE)
