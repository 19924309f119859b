"""Where log lines go: to stderr, one for each event, with a constant name and key=value fields.

Whatever happens often is said seldom: of one event so many lines a minute get through, and the next
one tells how many were left out. What a span holds is never in a line: an exception's text may
quote it, so that only its type and the places that it came through are told, but at the level
debug.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from streamsampler.config import Log

QUIET: Final = Log(level="error", format="text")
"""For commands that say what they did on the terminal and raise what went wrong."""

WINDOW_SECONDS: Final = 60.0
MOST_EVENTS: Final = 1_000
"""Libraries make events of their own; those beyond so many share one count."""
LEFT_OUT: Final = "left_out"
_OTHERS: Final = ""


class RateLimit:
    """Counts the lines of each event; any thread may ask.

    Args:
        most: Lines of one event that are let through within a minute from its first; 0: all.
        seconds: A monotonic clock.
    """

    def __init__(self, most: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[float, int]] = {}  # since when, and how many came

    def admit(self, event: str) -> int | None:
        """Tell whether a line may be written.

        Args:
            event: Its name.

        Returns:
            How many of the same name were left out before it; None: it is to be left out, too.
        """
        if not self._most:
            return 0
        now = self._seconds()
        with self._lock:
            if event not in self._windows and len(self._windows) >= MOST_EVENTS:
                event = _OTHERS
            since, came = self._windows.get(event, (now, 0))
            if now - since >= WINDOW_SECONDS:
                self._windows[event] = (now, 1)
                return max(came - self._most, 0)
            self._windows[event] = (since, came + 1)
            return 0 if came < self._most else None

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        """Let a line through or drop it, as a processor of structlog.

        Raises:
            structlog.DropEvent: It is left out.
        """
        left_out = self.admit(str(line.get("event")))
        if left_out is None:
            raise structlog.DropEvent
        return {**line, LEFT_OUT: left_out} if left_out else line

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record of the standard library through, as one of its filters.

        Args:
            record: The record; told how many were left out before it.

        Returns:
            Whether it is let through.
        """
        left_out = self.admit(str(record.msg))  # before its arguments are put in
        if left_out:
            setattr(record, LEFT_OUT, left_out)
        return left_out is not None


def shorten_exception(*, text: bool) -> Processor:
    """Make what tells of an exception on one line.

    Args:
        text: Whether what it says may be told, which may quote what a span holds.

    Returns:
        A processor of structlog: the fields `raised` and `through` in the place of `exc_info`.
    """

    def shorten(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        given = line.pop("exc_info", None)
        if not given:
            return line
        if isinstance(given, BaseException):
            error: BaseException | None = given
        else:
            error = given[1] if isinstance(given, tuple) else sys.exception()
        if error is not None:
            said = traceback.format_exception_only(error)[-1].strip()
            line["raised"] = said if text else type(error).__name__
            line["through"] = _places(error.__traceback__)
        return line

    return shorten


def _places(trace: TracebackType | None) -> list[str]:
    """The places that an exception came through, the outermost first."""
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(trace)
    ]


def make_renderer(log: Log) -> Processor:
    """Make what writes a line.

    Args:
        log: Its format.

    Returns:
        The last processor of a chain.
    """
    if log.format == "text":
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer()


def configure_logging(log: Log) -> None:
    """Set up logging for this process.

    Args:
        log: Level, format and how often one event is told.
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log.level.upper()]
        ),
        processors=[
            RateLimit(log.lines_per_minute),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            shorten_exception(text=log.level == "debug"),
            make_renderer(log),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
