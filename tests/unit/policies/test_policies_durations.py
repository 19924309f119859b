"""Durations in Go's form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.policies.durations import format_ms, parse_duration

MS = 1_000_000
SECOND = 1000 * MS


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("30s", 30 * SECOND),
        ("1m30s", 90 * SECOND),
        ("500ms", 500 * MS),
        ("1.5h", 5400 * SECOND),
        (".5s", 500 * MS),
        ("1.s", SECOND),
        ("1h2m3s4ms5us6ns", 3723 * SECOND + 4 * MS + 5006),
        ("1s1s", 2 * SECOND),
        ("3\u00b5s", 3000),
        ("3\u03bcs", 3000),
        ("0.0000000019s", 1),
        ("0", 0),
        ("0s", 0),
        ("+5s", 5 * SECOND),
        ("-5s", -5 * SECOND),
        ("2562047h47m16.854775807s", 2**63 - 1),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", ".s", "1 s", "1s ", "1d", "1S", "1e3s", "--1s", "1,5s", "\u0663s", "5s\n"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_what_go_cannot_hold() -> None:
    with pytest.raises(ValueError, match="longer than 292 years"):
        parse_duration("2562048h")


@given(st.integers(0, 10**12))
def test_what_is_written_is_read_again(milliseconds: int) -> None:
    assert parse_duration(format_ms(milliseconds)) == milliseconds * MS
