"""Which rules of a valid set can do nothing, or not what they seem to."""

import pytest

from streamsampler.policies import load_policy_set
from streamsampler.policies.advice import advice

ALL = "{name: all, type: always_sample}"
SLOW = "{name: slow, type: latency, latency: {threshold_ms: 700}}"
ERRORS = "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}"
TENTH = "{name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}"
NONE = "{name: none, type: probabilistic, probabilistic: {sampling_percentage: 0}}"
NOT_A = (
    "{{name: not a, type: string_attribute, "
    "string_attribute: {{key: k, values: [a], invert_match: true{}}}}}"
)


def drop(*parts: str, name: str = "gone", scope: str = "") -> str:
    own = f"scope: {scope}, " if scope else ""
    return f"{{name: {name}, type: drop, drop: {{{own}drop_sub_policy: [{', '.join(parts)}]}}}}"


def both(*parts: str, name: str = "both", scope: str = "") -> str:
    own = f"scope: {scope}, " if scope else ""
    return f"{{name: {name}, type: and, and: {{{own}and_sub_policy: [{', '.join(parts)}]}}}}"


def dry(policy: str) -> str:
    return policy.replace("{", "{dry_run: true, ", 1)


def advised(*policies: str, more: str = "") -> tuple[str, ...]:
    return advice(load_policy_set(f"policies: [{', '.join(policies)}]\n{more}", "p"))


NEGATIVE = (
    'policy "not a" is true, too, of a trace in which no span has "k", as invert_match is asked '
    "of the whole trace; set its scope (any_span if that is meant, else same_span or root)."
)


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ((ERRORS, SLOW, TENTH), []),
        ((ERRORS, ALL), []),
        ((SLOW, drop(ERRORS)), []),
        ((drop(ALL), SLOW), ['policy "gone" drops every trace, so "slow" can keep none.']),
        (
            (SLOW, ERRORS, drop(ALL)),
            ['policy "gone" drops every trace, so "slow" and "errors" can keep none.'],
        ),
        (
            (drop(ERRORS), SLOW, ERRORS.replace("errors", "again")),
            ['policy "again" keeps no trace, as "gone" drops all that it would keep.'],
        ),
        (
            (drop(ERRORS), both(SLOW, ERRORS)),
            ['policy "both" keeps no trace, as "gone" drops all that it would keep.'],
        ),
        ((drop(ERRORS, SLOW), ERRORS), []),
        (
            (drop(ERRORS, ALL), ERRORS),
            ['policy "errors" keeps no trace, as "gone" drops all that it would keep.'],
        ),
        (
            (ALL, SLOW),
            [
                (
                    'policy "slow" changes nothing and is never named, as "all" before it keeps '
                    "every trace."
                )
            ],
        ),
        (
            (TENTH.replace("10}", "100}"), SLOW),
            [
                (
                    'policy "slow" changes nothing and is never named, as "tenth" before it keeps '
                    "every trace."
                )
            ],
        ),
        ((ALL, drop(ERRORS)), []),
        ((dry(ALL), SLOW), []),
        ((ALL, dry(SLOW)), []),
        ((dry(drop(ALL)), SLOW), []),
        (
            (SLOW, ERRORS, SLOW.replace("slow", "late")),
            ['policies "slow" and "late" say the same; keep one.'],
        ),
        ((SLOW, dry(SLOW.replace("slow", "late"))), []),
        (
            (both(SLOW, NONE), ERRORS),
            ['policy "both" keeps no trace, as its part "none" has a percentage of 0.'],
        ),
        (
            (drop(SLOW, NONE), ERRORS),
            ['policy "gone" drops no trace, as its part "none" has a percentage of 0.'],
        ),
        ((NOT_A.format(""),), [NEGATIVE]),
        ((NOT_A.format(", scope: any_span"),), []),
        ((NOT_A.format(", scope: same_span"),), []),
        ((both(NOT_A.format(""), SLOW),), [NEGATIVE]),
        ((both(NOT_A.format(""), ERRORS, scope="same_span"),), []),
        ((drop(ERRORS),), ["no policy samples, as all of them drop, so no trace is kept."]),
        ((dry(SLOW),), ["no policy acts, as all are dry runs, so no trace is kept."]),
    ],
)
def test_advice(policies: tuple[str, ...], expected: list[str]) -> None:
    assert list(advised(*policies)) == expected


def test_parts_asked_of_one_span_are_not_parted() -> None:
    together = (ERRORS, NOT_A.format(""))
    assert advised(drop(ERRORS), both(*together, scope="same_span")) == ()
    assert advised(drop(*together, scope="same_span"), both(*together, name="x")) == (NEGATIVE,)
