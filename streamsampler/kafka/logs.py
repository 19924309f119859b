"""Where log lines go: to stderr, each a constant event with key=value fields."""

import logging
import sys

import structlog

from streamsampler.config import Log

QUIET = Log(level="error", format="text")
"""For commands that say what they did on the terminal and raise what went wrong."""


def configure_logging(log: Log) -> None:
    """Set up logging for this process.

    Args:
        log: Level and format.
    """
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if log.format == "text":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log.level.upper()]
        ),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
