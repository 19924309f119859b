"""Numbers and foreign text as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.report.readable import duration_text, printable, share_text


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (61_100, "61.1 µs"),
        (1_250_000, "1.25 ms"),
        (9_994_999, "9.99 ms"),
        (9_995_000, "10.0 ms"),
        (340_000_000, "340 ms"),
        (1_250_000_000, "1.25 s"),
        (90_000_000_000, "1.50 min"),
        (-2_000_000, "-2.00 ms"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(duration_ns: int, text: str) -> None:
    assert duration_text(duration_ns) == text


@given(st.integers(-(2**63), 2**63))
def test_every_duration_can_be_written(duration_ns: int) -> None:
    assert duration_text(duration_ns).split()[-1] in {"ns", "µs", "ms", "s", "min"}


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 3, "33.3 %"), (0, 5, "0.0 %"), (5, 5, "100.0 %"), (1, 100_000, "<0.1 %"), (0, 0, "-")],
)
def test_a_share_is_in_percent_and_something_never_reads_as_nothing(
    part: int, whole: int, text: str
) -> None:
    assert share_text(part, whole) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /cart", "GET /cart"),
        ("größe 日本", "größe 日本"),
        ("\x1b[2Jgone", "�[2Jgone"),
        ("a\nb\r\tc", "a�b��c"),
        ("nul\0", "nul�"),
        ("right\u202eleft", "right�left"),
        ("lone \ud800", "lone �"),
        ("line\u2028line", "line line"),
    ],
)
def test_foreign_text_cannot_redraw_what_it_is_shown_on(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_printable_text_stays_on_its_line_and_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
