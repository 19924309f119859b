"""The waterfall of a trace: whom it puts under whom, where the bars are, how it fits a terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streamsampler.report.layout import layout
from streamsampler.report.spans import ShownSpan, spans_shown
from streamsampler.report.waterfall import Waterfall
from streamsampler.spans.payload import new_traces

MS = 1_000_000


def span(
    number: int,
    parent: int = 0,
    start_ms: int = 0,
    end_ms: int = 100,
    name: str = "work",
    *,
    service: str = "shop",
    error: bool = False,
    message: str = "",
) -> ShownSpan:
    return ShownSpan(
        span_id=number.to_bytes(8, "big"),
        parent_id=parent.to_bytes(8, "big") if parent else b"",
        kind=1,
        start_ns=start_ms * MS,
        end_ns=end_ms * MS,
        service=service,
        name=name,
        error=error,
        message=message,
    )


def drawn(waterfall: Waterfall, width: int = 80, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=width, color_system=None).print(waterfall)
    file.seek(0)
    return [line.rstrip() for line in file]


def test_children_stand_under_their_parent_by_start_and_bars_on_the_trace_s_time_line() -> None:
    lines = drawn(
        Waterfall(
            [
                span(3, 1, 50, 100, "POST /pay", service="payment", error=True),
                span(1, 0, 0, 100, "GET /checkout", service="front"),
                span(2, 1, 0, 50, "GET /cart", service="cart"),
            ],
            title="trace 0af7",
        ),
        width=60,
    )
    assert lines == [
        "trace 0af7",
        "                                 0                    100 ms",
        "front · GET /checkout     100 ms ███████████████████████████",
        "  cart · GET /cart       50.0 ms ██████████████",
        "  ! payment · POST /pay  50.0 ms               █████████████",
    ]


def test_what_an_error_says_stands_below_it() -> None:
    lines = drawn(Waterfall([span(1, error=True, message="card refused")]))
    assert lines[1].startswith("! shop · work")
    assert lines[2].strip() == "card refused"


def test_a_child_that_outlives_its_parent_or_starts_before_it_stays_under_it() -> None:
    rows = layout([span(1, 0, 10, 20), span(2, 1, 15, 40), span(3, 1, 0, 5)]).rows
    assert [(row.depth, row.left, row.width) for row in rows] == [
        (0, 0.25, 0.25),
        (1, 0.0, 0.125),
        (1, 0.375, 0.625),
    ]


def test_a_span_whose_parent_is_not_there_stands_on_top_and_is_marked() -> None:
    lines = drawn(Waterfall([span(1), span(2, parent=99, start_ms=10, name="lost")]))
    assert lines[1].startswith("shop · work")
    assert lines[2].startswith("… shop · lost")


def test_a_span_that_ends_before_it_starts_has_a_bar_and_a_negative_duration() -> None:
    (row,) = layout([span(1, start_ms=50, end_ms=20)]).rows
    assert (row.left, row.width) == (0.0, 0.0)
    assert "-30.0 ms █" in drawn(Waterfall([span(1, start_ms=50, end_ms=20)]))[1]


def test_only_so_many_spans_are_drawn_and_the_rest_is_counted() -> None:
    lines = drawn(Waterfall([span(n, start_ms=n) for n in range(1, 31)], most=10))
    assert len(lines) == 12
    assert lines[-1] == "and 20 more spans"


def test_a_terminal_without_unicode_gets_other_bars() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    Console(file=file, width=80, color_system=None).print(Waterfall([span(1)]))
    file.seek(0)
    assert "=====" in file.read()


@given(
    st.lists(
        st.builds(
            span,
            number=st.integers(1, 6),
            parent=st.integers(0, 6),
            start_ms=st.integers(0, 2**43),
            end_ms=st.integers(0, 2**43),
            name=st.sampled_from(
                ["", "GET /a/very/long/route/{with}/{parameters}", "日本語の名前"]
            ),
            service=st.sampled_from(["", "a-service-with-a-rather-long-name", "書店"]),
            error=st.booleans(),
            message=st.sampled_from(["", "it went wrong " * 20]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(40, 200),
)
def test_no_line_is_wider_than_the_terminal_and_no_span_is_missing(
    spans: list[ShownSpan], width: int
) -> None:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(Waterfall(spans))
    assert len(layout(spans).rows) == len(spans)
    for line in capture.get().splitlines():
        assert console.render_str(line, markup=False).cell_len <= width


def test_spans_are_read_as_they_are_and_broken_text_is_made_printable() -> None:
    traces = new_traces()
    resource_spans = traces.resource_spans.add()
    attribute = resource_spans.resource.attributes.add()
    attribute.key, attribute.value.string_value = b"service.name", b"caf\xff"
    one = resource_spans.scope_spans.add().spans.add()
    one.span_id, one.parent_span_id, one.name = b"\1" * 8, bytes(8), b"a\x1bb"
    one.start_time_unix_nano, one.end_time_unix_nano = 5, 9
    one.status.code, one.status.message, one.kind = 2, b"no", 3

    assert spans_shown([traces.SerializeToString()]) == [
        ShownSpan(
            span_id=b"\1" * 8, parent_id=b"", kind=3, start_ns=5, end_ns=9, service="caf�",
            name="a�b", error=True, message="no",
        )
    ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_a_chain_of_many_spans_is_drawn_without_recursion(width: int) -> None:
    chain = [span(n, n - 1, n, 3000, name=f"step {n}") for n in range(1, 3000)]
    assert len(drawn(Waterfall(chain, most=5000), width)) == 3000
