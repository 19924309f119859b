"""The policies topic, record by record: the last good set named default is in force."""

import pytest
from structlog.testing import capture_logs

from streamsampler.kafka.policy_topic import PolicyInForce, checked_policy_set
from streamsampler.policies import PolicyError

GOOD = b"policies: [{name: all, type: always_sample}]"
OTHER = b"decision_wait: 5s\npolicies: [{name: all, type: always_sample}]"
BAD = b"policies: [{name: slow, type: latency, latency: {threshold_ms: -1}}]"


def versions(*records: tuple[bytes | None, bytes | None]) -> list[str | None]:
    in_force = PolicyInForce("policies")
    seen = []
    for offset, (key, value) in enumerate(records):
        in_force.take(key, value, offset)
        seen.append(in_force.policies.version if in_force.policies else None)
    return seen


def test_the_last_good_set_is_in_force() -> None:
    first, bad, garbage, deleted, second = versions(
        (b"default", GOOD),
        (b"default", BAD),
        (b"default", b"\xff\xfe"),
        (b"default", None),
        (b"default", OTHER),
    )
    assert first is not None
    assert first == bad == garbage == deleted
    assert second not in {None, first}


@pytest.mark.parametrize("value", [BAD, b"", b"\xff", None])
def test_without_a_good_set_there_is_none(value: bytes | None) -> None:
    assert versions((b"default", value)) == [None]


@pytest.mark.parametrize("key", [None, b"", b"canary", b"DEFAULT"])
def test_sets_of_other_names_are_not_in_force(key: bytes | None) -> None:
    assert versions((key, GOOD)) == [None]


def test_only_another_set_is_a_change() -> None:
    in_force = PolicyInForce("policies")
    assert in_force.take(b"default", GOOD, 0)
    assert not in_force.take(b"default", GOOD + b"\n# the same\n", 1)
    assert not in_force.take(b"default", BAD, 2)
    assert in_force.take(b"default", OTHER, 3)


def test_a_refusal_is_logged_with_its_place_and_its_sentence() -> None:
    in_force = PolicyInForce("policies")
    in_force.take(b"default", GOOD, 6)
    with capture_logs() as logs:
        in_force.take(b"default", BAD, 7)
    (entry,) = logs
    assert entry["event"] == "policy_set_refused"
    assert entry["log_level"] == "error"
    assert entry["place"] == "policies offset 7"
    assert "threshold_ms" in entry["problem"]
    assert in_force.policies is not None
    assert entry["in_force"] == in_force.policies.version


def test_a_deletion_is_logged() -> None:
    with capture_logs() as logs:
        PolicyInForce("policies").take(b"default", None, 3)
    assert [entry["event"] for entry in logs] == ["policy_set_deleted"]


def test_text_in_another_encoding_is_named() -> None:
    with pytest.raises(PolicyError, match="mine: byte 2 is not UTF-8"):
        checked_policy_set(b"# \xe9", "mine")
