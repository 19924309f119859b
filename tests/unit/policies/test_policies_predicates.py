"""Span predicates: what they match, and that equal ones share a bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.policies import (
    StatusIn,
    StringTest,
    TenantNumbers,
    compile_policies,
    load_policy_set,
)
from streamsampler.policies.predicates import check_pattern, readable


def exact(*values: bytes) -> StringTest:
    return StringTest(b"k", frozenset(values), None)


def regex(*patterns: str) -> StringTest:
    return StringTest(b"k", None, tuple(p.encode() for p in patterns))


@pytest.mark.parametrize(
    ("test", "value", "matches"),
    [
        (exact(b"a", b"b"), b"b", True),
        (exact(b"a"), b"ab", False),
        (exact(b""), b"", False),
        (exact(b"\xff"), b"\xff", True),
        (exact(), b"a", False),
        (regex("b"), b"abc", True),
        (regex("^b"), b"abc", False),
        (regex("x", "c$"), b"abc", True),
        (regex(".*"), b"", False),
        (regex(""), b"a", True),
        (regex("^.$"), "\u00e9".encode(), True),
        (regex("\u00e9"), "caf\u00e9".encode(), True),
        # bytes that are no UTF-8 look like U+FFFD, one each, as they do in Go
        (regex("^a.b$"), b"a\xffb", True),
        (regex("^a..b$"), b"a\xe2\x82b", True),
        (regex("^a.b$"), b"a\xe2\x82b", False),
        (regex("\ufffd"), b"\x80", True),
        (regex("z"), b"\xff\xfe", False),
    ],
)
def test_string_tests(test: StringTest, value: bytes, *, matches: bool) -> None:
    assert test.matches(value) == matches


@given(st.binary())
def test_no_bytes_raise(value: bytes) -> None:
    assert regex("(?s)^.+$").matches(value) == (value != b"")
    assert readable(value).decode() == value.decode(errors="surrogateescape").translate(
        {0xDC00 + byte: "\ufffd" for byte in range(128, 256)}
    )


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "(?<!a)b", r"\1", "a{2000}", "[b-a]"])
def test_what_re2_refuses_is_told(pattern: str) -> None:
    assert check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", "a+", r"\d{3}", "(?i)x", r"\p{L}", "(?P<n>a)"])
def test_what_re2_takes(pattern: str) -> None:
    assert check_pattern(pattern) is None


def test_a_pattern_that_takes_others_exponential_time() -> None:
    assert not regex("^(a+)+$").matches(b"a" * 100_000 + b"b")


POLICIES = """
policies:
  - {name: a, type: status_code, status_code: {status_codes: [ERROR, OK]}}
  - {name: b, type: string_attribute, string_attribute: {key: k, values: [x, y, '']}}
  - {name: c, type: status_code, status_code: {status_codes: [OK, ERROR, OK]}}
  - name: d
    type: string_attribute
    string_attribute: {key: k, values: [y, x], invert_match: true}
  - name: e
    type: string_attribute
    string_attribute: {key: k, values: [x], enabled_regex_matching: true}
  - {name: f, type: string_attribute, string_attribute: {key: j, values: [x]}}
  - {name: g, type: always_sample}
"""


def test_equal_predicates_share_a_bit() -> None:
    compiled = compile_policies(load_policy_set(POLICIES, "p"), TenantNumbers())
    assert compiled.predicates == {
        0: StatusIn(frozenset({1, 2})),
        1: StringTest(b"k", frozenset({b"x", b"y"}), None),
        2: StringTest(b"k", None, (b"x",)),
        3: StringTest(b"j", frozenset({b"x"}), None),
    }


@pytest.mark.parametrize(
    ("tenant", "wanted"),
    [
        ("", (b"k", b"j", b"tenant.id")),
        ("tenant: {key: j, source: span}", (b"k", b"j")),
        ("tenant: {key: t, source: resource}", (b"k", b"j", b"t")),
        ("tenant: {key: t, source: header}", (b"k", b"j")),
    ],
)
def test_wanted_is_what_the_policies_and_the_tenant_read(
    tenant: str, wanted: tuple[bytes, ...]
) -> None:
    compiled = compile_policies(load_policy_set(POLICIES + tenant, "p"), TenantNumbers())
    assert compiled.wanted == wanted
