"""One kept trace drawn in the terminal: the tree of its spans, each with a bar on the time line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from streamsampler.report.layout import Row, layout
from streamsampler.report.readable import duration_text
from streamsampler.report.spans import ShownSpan

_COLOURS: Final = ("cyan", "magenta", "blue", "green", "yellow", "bright_cyan", "bright_magenta")
_DURATION_WIDTH: Final = 8
_MIN_LABEL: Final = 16
_MAX_LABEL: Final = 60


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A trace that rich can draw, at any width of 40 columns or more.

    Attributes:
        spans: Of one trace, at least one, in any order.
        title: A line above it, such as the trace's id.
        most: How many spans are drawn; the rest is counted in a line below.
    """

    spans: Sequence[ShownSpan]
    title: str = ""
    most: int = 60

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw a line for each span, and one for what each error says."""
        placed = layout(self.spans)
        shown = placed.rows[: self.most]
        label_width = _label_width(shown, options.max_width)
        bar_width = max(8, options.max_width - label_width - _DURATION_WIDTH - 2)
        block = "=" if options.ascii_only else "█"
        colours = _colours(self.spans)
        if self.title:
            yield Text(self.title, "bold", overflow="fold")
        yield _scale(label_width, bar_width, placed.duration_ns)
        for row in shown:
            yield _line(row, label_width, bar_width, block, colours[row.span.service])
            if row.span.error and row.span.message:
                yield _message(row, options.max_width)
        if len(placed.rows) > len(shown):
            yield Text(f"and {len(placed.rows) - len(shown):,} more spans", "dim")


def label_text(row: Row) -> str:
    """Name a span in a waterfall.

    Args:
        row: The span in its place.

    Returns:
        Its service and operation; an error begins with an exclamation mark, so that it shows
        without colours, and a span without its parent with an ellipsis.
    """
    operation = row.span.name or "(no name)"
    names = f"{row.span.service} · {operation}" if row.span.service else operation
    return f"{'! ' if row.span.error else ''}{'… ' if row.orphan else ''}{names}"


def _label_width(rows: Sequence[Row], width: int) -> int:
    longest = max(len(label_text(row)) + _indent(row, width) for row in rows)
    return min(max(longest, _MIN_LABEL), _MAX_LABEL, max(_MIN_LABEL, width * 9 // 20))


def _indent(row: Row, width: int) -> int:
    return min(2 * row.depth, width // 5)


def _colours(spans: Iterable[ShownSpan]) -> dict[str, str]:
    services = dict.fromkeys(span.service for span in sorted(spans, key=lambda span: span.start_ns))
    return {service: _COLOURS[at % len(_COLOURS)] for at, service in enumerate(services)}


def _scale(label_width: int, bar_width: int, duration_ns: int) -> Text:
    end = duration_text(duration_ns)
    line = " " * (label_width + _DURATION_WIDTH + 2) + "0" + end.rjust(bar_width - 1)
    return Text(line, "dim", no_wrap=True, overflow="crop")


def _line(row: Row, label_width: int, bar_width: int, block: str, colour: str) -> Text:
    style = "red" if row.span.error else colour
    label = Text(" " * _indent(row, 2 * label_width), no_wrap=True)
    label.append(label_text(row), "bold red" if row.span.error else "")
    label.truncate(label_width, overflow="ellipsis", pad=True)
    duration = duration_text(row.span.duration_ns).rjust(_DURATION_WIDTH)
    label.append(f" {duration} ", "red" if row.span.error else "dim")
    first = min(round(row.left * bar_width), bar_width - 1)
    cells = max(1, round((row.left + row.width) * bar_width) - first)
    label.append(" " * first).append(block * cells, style)
    label.overflow = "crop"
    return label


def _message(row: Row, width: int) -> Text:
    message = Text(" " * (_indent(row, width) + 2), "red dim", no_wrap=True)
    message.append(row.span.message)
    message.truncate(width, overflow="ellipsis")
    return message
