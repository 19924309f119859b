"""Text and values as Go has them, where Python has them otherwise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.policies.ottl.go_values import (
    format_double,
    int_of_double,
    lower,
    parse_double,
    parse_duration,
    parse_int,
    unquote,
    upper,
)

H = 3600 * 10**9


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("", b""),
        ("aé", "aé".encode()),
        (r"\a\b\f\n\r\t\v\\\"", b'\a\b\f\n\r\t\v\\"'),
        (r"\x41\101\u00e9\U0001F600", b"AA" + "é😀".encode()),
        (r"\xff", b"\xff"),
        (r"a\d", 1),
        (r"\'", 0),
        (r"\400", 0),
        (r"\ud800", 0),
        (r"\U00110000", 0),
        ("ab\n", 2),
    ],
)
def test_strings(inside: str, found: bytes | int) -> None:
    assert unquote(inside) == found


@given(st.text().filter(lambda text: not set(text) & {"\\", "\n"}))
def test_a_string_without_escapes_is_itself(text: str) -> None:
    assert unquote(text) == text.encode(errors="replace")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0", 0),
        (b"+007", 7),
        (b"-9223372036854775808", -(2**63)),
        (b"9223372036854775808", None),
        (b"", None),
        (b"1_0", None),
        (b" 1", None),
        (b"1.0", None),
        ("٣".encode(), None),
        (b"1" * 5000, None),
    ],
)
def test_whole_numbers(text: bytes, number: int | None) -> None:
    assert parse_int(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"1", 1.0),
        (b".5", 0.5),
        (b"5.", 5.0),
        (b"-1.5e3", -1500.0),
        (b"0x1p-2", 0.25),
        (b"-0X.8P1", -1.0),
        (b"Inf", math.inf),
        (b"-infinity", -math.inf),
        (b"1e999", None),
        (b"0x1p99999", None),
        (b"0x1", None),
        (b"1_0", None),
        (b" 1", None),
        (b".", None),
        (b"", None),
        (b"+nan", None),
        (b"1" * 5000, None),
    ],
)
def test_numbers(text: bytes, number: float | None) -> None:
    assert parse_double(text) == number


def test_no_number_is_read_by_its_name() -> None:
    number = parse_double(b"NaN")
    assert number is not None
    assert math.isnan(number)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, b"1"),
        (-0.0, b"-0"),
        (0.1, b"0.1"),
        (1e21, b"1000000000000000000000"),
        (1.5e-7, b"0.00000015"),
        (math.inf, b"+Inf"),
        (-math.inf, b"-Inf"),
        (math.nan, b"NaN"),
    ],
)
def test_numbers_written(number: float, text: bytes) -> None:
    assert format_double(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_written_in_full_is_read_again(number: float) -> None:
    text = format_double(number)
    assert b"e" not in text
    assert float(text) == number


@pytest.mark.parametrize(
    ("number", "whole"),
    [(1.9, 1), (-1.9, -1), (2.0**63, -(2**63)), (-math.inf, -(2**63)), (math.nan, -(2**63))],
)
def test_doubles_cut_to_whole_numbers(number: float, whole: int) -> None:
    assert int_of_double(number) == whole


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("1s", 10**9),
        ("1.5s", 15 * 10**8),
        ("-1h15m30.918s", -(H + 15 * 60 * 10**9 + 30_918 * 10**6)),
        ("+5us", 5_000),
        ("5µs", 5_000),
        ("5μs", 5_000),
        (".5ms", 500_000),
        ("1.ns", 1),
        ("1.9ns", 1),
        ("2562047h", 2_562_047 * H),
        ("2562048h", None),
        ("", None),
        ("-", None),
        ("1", None),
        (".s", None),
        ("s", None),
        ("1s ", None),
        ("1d", None),
        ("1e3s", None),
    ],
)
def test_durations(text: str, ns: int | None) -> None:
    assert parse_duration(text.encode()) == ns


def test_a_duration_is_text() -> None:
    assert parse_duration(b"1\xff") is None


@pytest.mark.parametrize(
    ("text", "small", "large"),
    [
        ("aBc", "abc", "ABC"),
        ("ÄöΣ", "äöσ", "ÄÖΣ"),
        ("ß", "ß", "ß"),
        ("İ", "i", "İ"),
        ("ᾳ", "ᾳ", "ᾼ"),
    ],
)
def test_letters_change_their_case_one_by_one(text: str, small: str, large: str) -> None:
    assert (lower(text.encode()), upper(text.encode())) == (small.encode(), large.encode())


@given(st.binary())
def test_what_is_no_text_becomes_text(value: bytes) -> None:
    letters = len(value.decode(errors="replace"))
    assert len(lower(value).decode()) == len(upper(value).decode()) == letters
