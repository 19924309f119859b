"""The policies topic, record by record: the last good set of each name is in force."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamsampler.kafka.policy_in_force import (
    MOST_REFUSALS,
    PolicyInForce,
    Refusal,
    checked_policy_set,
)
from streamsampler.policies import PolicyError, TenantNumbers, load_policy_set
from streamsampler.policies.policy_type import Compilation
from streamsampler.policies.sets import MOST_SETS, PolicySets
from streamsampler.policies.together import compile_sets

GOOD = b"policies: [{name: all, type: always_sample}]"
OTHER = b"decision_wait: 5s\npolicies: [{name: all, type: always_sample}]"
BAD = b"policies: [{name: slow, type: latency, latency: {threshold_ms: -1}}]"

V1, V2 = (checked_policy_set(value, "test").version for value in (GOOD, OTHER))

Record = tuple[bytes | None, bytes | None]


def asking(*keys: int) -> bytes:
    """A set that asks a question for each of the keys."""
    policies = [
        {
            "name": f"has {key}",
            "type": "string_attribute",
            "string_attribute": {"key": f"k{key}", "values": ["yes"]},
        }
        for key in keys
    ]
    return json.dumps({"policies": policies}).encode()


def after(*records: Record) -> PolicyInForce:
    in_force = PolicyInForce("policies")
    for offset, (key, value) in enumerate(records):
        in_force.take(key, value, offset)
    return in_force


def versions(*records: Record) -> dict[str, str] | None:
    policies = after(*records).policies
    return policies.versions if policies else None


@pytest.mark.parametrize(
    ("records", "in_force"),
    [
        ([(b"default", GOOD)], {"default": V1}),
        ([(b"default", GOOD), (b"default", OTHER)], {"default": V2}),
        ([(b"default", GOOD), (b"default", BAD)], {"default": V1}),
        ([(b"default", GOOD), (b"default", b"\xff\xfe")], {"default": V1}),
        ([(b"default", GOOD), (b"default", None)], {"default": V1}),
        ([(b"default", GOOD), (b"acme", OTHER)], {"default": V1, "acme": V2}),
        ([(b"acme", OTHER), (b"default", GOOD)], {"default": V1, "acme": V2}),
        ([(b"default", GOOD), (b"acme", OTHER), (b"acme", BAD)], {"default": V1, "acme": V2}),
        ([(b"default", GOOD), (b"acme", OTHER), (b"default", BAD)], {"default": V1, "acme": V2}),
        ([(b"default", GOOD), (b"acme", OTHER), (b"acme", None)], {"default": V1}),
        ([(b"default", GOOD), (b"acme", None)], {"default": V1}),
        ([(b"acme", OTHER), (b"acme", None), (b"default", GOOD)], {"default": V1}),
        ([(b"default", GOOD), (b"DEFAULT", OTHER)], {"default": V1, "DEFAULT": V2}),
        ([(b"default", GOOD), (None, OTHER), (b"", OTHER), (b"\xff", OTHER)], {"default": V1}),
    ],
)
def test_the_last_good_set_of_each_name_is_in_force(
    records: list[Record], in_force: dict[str, str]
) -> None:
    assert versions(*records) == in_force


@pytest.mark.parametrize("value", [BAD, b"", b"\xff", None])
def test_without_a_good_default_there_is_none(value: bytes | None) -> None:
    assert versions((b"default", value)) is None
    assert versions((b"acme", GOOD), (b"default", value)) is None


def test_only_other_sets_are_a_change() -> None:
    in_force = PolicyInForce("policies")
    assert not in_force.take(b"acme", GOOD, 0)
    assert in_force.take(b"default", GOOD, 1)
    assert not in_force.take(b"default", GOOD + b"\n# the same\n", 2)
    assert not in_force.take(b"default", BAD, 3)
    assert in_force.take(b"default", OTHER, 4)
    assert in_force.take(b"acme", OTHER, 5)
    assert in_force.take(b"acme", None, 6)
    assert not in_force.take(b"acme", None, 7)


def test_a_refusal_is_logged_with_its_place_and_its_sentence() -> None:
    in_force = after((b"default", GOOD))
    with capture_logs() as logs:
        in_force.take(b"default", BAD, 7)
    (entry,) = logs
    assert entry["event"] == "policy_set_refused"
    assert entry["log_level"] == "error"
    assert entry["set"] == "default"
    assert entry["place"] == "policies offset 7"
    assert "threshold_ms" in entry["problem"]
    assert entry["in_force"] == V1


def test_a_refusal_is_kept_until_its_name_has_a_good_set_again() -> None:
    in_force = after((b"default", GOOD), (b"acme", BAD), (b"default", BAD))
    assert [(one.key, one.offset, one.kind) for one in in_force.refused] == [
        ("acme", 1, "tenant"),
        ("default", 2, "default"),
    ]
    assert "policies offset 1:1:" in in_force.refused[0].sentence
    in_force.take(b"acme", BAD, 3)
    assert [(one.key, one.offset) for one in in_force.refused] == [("default", 2), ("acme", 3)]
    in_force.take(b"default", OTHER, 4)
    in_force.take(b"acme", None, 5)
    assert in_force.refused == ()


def test_every_refusal_is_told_and_the_latest_are_kept() -> None:
    told: list[Refusal] = []
    in_force = PolicyInForce("policies", told.append)
    for number in range(MOST_REFUSALS + 5):
        in_force.take(b"tenant %d" % number, BAD, number)
    assert [one.offset for one in told] == list(range(MOST_REFUSALS + 5))
    assert in_force.refused == tuple(told[5:])


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (None, "policies offset 0: no key; it must be default, or a tenant's name."),
        (b"", "policies offset 0: no key; it must be default, or a tenant's name."),
        (b"ab\xff", "policies offset 0: byte 2 of the key is not UTF-8."),
        (b"x" * 300, "policies offset 0: the set name xxxxxxxxxxxxxxxxxxxx… has 300 characters; "),
    ],
)
def test_a_key_that_can_be_no_name_is_refused(key: bytes | None, sentence: str) -> None:
    (refusal,) = after((key, GOOD)).refused
    assert refusal.sentence.startswith(sentence)
    assert len(refusal.key) <= 255


def test_a_refusal_with_several_problems_says_the_first_and_how_many_more() -> None:
    two = b"policies: [{name: a, type: no_such}, {name: b, type: no_such}]"
    (refusal,) = after((b"default", two)).refused
    assert refusal.sentence.endswith("(and 1 more)")
    assert "\n" not in refusal.sentence


def test_sets_may_not_ask_too_much_together() -> None:
    in_force = after((b"default", asking(*range(40))), (b"acme", asking(*range(30, 70))))
    (refusal,) = in_force.refused
    assert refusal.key == "acme"
    assert refusal.sentence == (
        "policies offset 1: with the set acme, all sets together ask 70 different questions of "
        "each span, and at most 64 can be asked; merge policies that test the same key, or leave "
        "some out."
    )
    assert in_force.policies is not None
    assert in_force.policies.names == ("default",)
    assert in_force.take(b"acme", asking(*range(30, 64)), 2)
    assert in_force.refused == ()


def test_tenants_sets_that_wait_for_the_default_count_too() -> None:
    in_force = after((b"acme", asking(*range(40))), (b"default", asking(*range(40, 80))))
    assert in_force.policies is None
    assert [one.key for one in in_force.refused] == ["default"]


@given(st.lists(st.integers(0, 64), min_size=1, max_size=4))
@settings(max_examples=10)
def test_together_is_refused_what_cannot_be_compiled_together(counts: list[int]) -> None:
    values = [asking(*range(n * 1_000, n * 1_000 + count)) for n, count in enumerate(counts)]
    values = [value if count else GOOD for value, count in zip(values, counts, strict=True)]
    names = ["default", *(f"t{n}" for n in range(1, len(values)))]
    in_force = after(*[(name.encode(), value) for name, value in zip(names, values, strict=True)])
    loaded = [load_policy_set(value.decode(), "test") for value in values]
    sets = PolicySets(loaded[0], dict(zip(names[1:], loaded[1:], strict=True)))
    try:
        compile_sets(sets, Compilation(TenantNumbers()))
    except PolicyError:
        assert in_force.refused
    else:
        assert not in_force.refused
    assert in_force.policies is not None
    compile_sets(in_force.policies, Compilation(TenantNumbers()))


def test_there_may_not_be_too_many_sets() -> None:
    names = [b"default", *(b"t%d" % number for number in range(MOST_SETS))]
    in_force = after(*[(name, GOOD) for name in names])
    assert in_force.policies is not None
    assert len(in_force.policies.names) == MOST_SETS
    (refusal,) = in_force.refused
    assert refusal.key == f"t{MOST_SETS - 1}"
    assert "at most 200" in refusal.sentence


def test_a_deletion_is_logged() -> None:
    with capture_logs() as logs:
        after((b"default", None), (b"acme", GOOD), (b"acme", None), (b"acme", None))
    assert [entry["event"] for entry in logs] == ["policy_set_deleted", "tenant_policy_set_deleted"]


def test_what_a_tenants_set_cannot_say_is_warned_of_once() -> None:
    with capture_logs() as logs:
        after((b"default", GOOD), (b"acme", OTHER), (b"zeta", GOOD))
    (entry,) = logs
    assert entry["warning"] == (
        "acme: decision_wait is 5s and has no effect in a tenant's own set: the default's 30s "
        "holds for all."
    )


def test_text_in_another_encoding_is_named() -> None:
    with pytest.raises(PolicyError, match="mine: byte 2 is not UTF-8"):
        checked_policy_set(b"# \xe9", "mine")
