"""Policy sets together: whose set decides, one version for all, and what tenants cannot say."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.policies import AlwaysSampleSettings, Policy, PolicyError, PolicySet
from streamsampler.policies.schema import TenantSource
from streamsampler.policies.sets import LONGEST_NAME, MOST_SETS, PolicySets, sets_of

ALL = PolicySet((Policy("all", "always_sample", AlwaysSampleSettings()),))
NONE = PolicySet(())
SHORT = replace(NONE, decision_wait_ms=5_000)

TENANTS = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "default"),
    st.sampled_from([ALL, NONE, SHORT]),
    min_size=1,
    max_size=5,
)


def test_a_tenants_own_set_decides_and_the_default_for_all_others() -> None:
    sets = PolicySets(ALL, {"acme": NONE})
    assert sets.of("acme") is NONE
    assert sets.of("other") is ALL
    assert sets.of("") is ALL


def test_one_set_alone_is_the_default_and_gives_its_version() -> None:
    sets = sets_of(ALL)
    assert sets.default is ALL
    assert sets.names == ("default",)
    assert sets.version == ALL.version
    assert sets_of(sets) is sets


def test_sets_are_named_in_order_the_default_first() -> None:
    sets = PolicySets(ALL, {"zeta": NONE, "acme": SHORT})
    assert sets.names == ("default", "acme", "zeta")
    assert sets.versions == {
        "default": ALL.version,
        "acme": SHORT.version,
        "zeta": NONE.version,
    }
    assert list(sets.versions) == list(sets.names)


@given(TENANTS)
def test_the_version_is_twelve_hex_digits_and_knows_no_order(tenants: dict[str, PolicySet]) -> None:
    version = PolicySets(ALL, tenants).version
    assert len(version) == 12
    assert int(version, 16) >= 0
    assert PolicySets(ALL, dict(reversed(tenants.items()))).version == version


def test_whatever_is_another_set_is_another_version() -> None:
    sets = [
        PolicySets(ALL),
        PolicySets(NONE),
        PolicySets(ALL, {"acme": ALL}),
        PolicySets(ALL, {"acme": NONE}),
        PolicySets(NONE, {"acme": ALL}),
        PolicySets(ALL, {"acme2": NONE}),
        PolicySets(ALL, {"acme": NONE, "zeta": NONE}),
    ]
    assert len({one.version for one in sets}) == len(sets)


@pytest.mark.parametrize(
    ("tenants", "sentence"),
    [
        ({"default": ALL}, "no tenant's own set can be named default"),
        ({"": ALL}, "a set has no name"),
        ({"x" * (LONGEST_NAME + 1): ALL}, "has 256 characters; at most 255 are allowed"),
        (
            {str(number): ALL for number in range(MOST_SETS)},
            "there are 201 policy sets, and at most 200 may be in force together",
        ),
    ],
)
def test_what_cannot_be_in_force_is_refused(tenants: dict[str, PolicySet], sentence: str) -> None:
    with pytest.raises(PolicyError, match=sentence):
        PolicySets(ALL, tenants)


def test_as_many_sets_as_are_allowed_go_together() -> None:
    sets = PolicySets(ALL, {str(number): ALL for number in range(MOST_SETS - 1)})
    assert len(sets.names) == MOST_SETS


@pytest.mark.parametrize(
    ("own", "warnings"),
    [
        (NONE, ()),
        (SHORT, ()),  # says what the default says
        (
            replace(NONE, decision_wait_ms=7_000),
            (
                (
                    "acme: decision_wait is 7s and has no effect in a tenant's own set: the "
                    "default's 5s holds for all."
                ),
            ),
        ),
        (
            replace(NONE, tenant=TenantSource("team", "header")),
            (
                (
                    "acme: tenant reads team (header) and has no effect in a tenant's own set: "
                    "all are told by the default's tenant.id (any)."
                ),
            ),
        ),
        (replace(NONE, sample_on_first_match=True), ()),
    ],
)
def test_what_only_the_default_may_say_is_warned_of(
    own: PolicySet, warnings: tuple[str, ...]
) -> None:
    assert PolicySets(SHORT, {"acme": own}).warnings == warnings


def test_every_wait_is_the_defaults() -> None:
    own = replace(NONE, decision_wait_ms=1_000, completion_grace_ms=100, decision_ttl_ms=2_000)
    warnings = PolicySets(ALL, {"acme": own}).warnings
    assert [warning.split()[1] for warning in warnings] == [
        "decision_wait",
        "completion_grace",
        "decision_ttl",
    ]
