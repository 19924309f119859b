"""Runs an app in this process, until it is told to stop."""

import asyncio
import logging
import sys
from typing import Final

import faust
import structlog

from streamsampler.config import Log, Settings
from streamsampler.logs import LEFT_OUT, RateLimit, make_renderer, shorten_exception
from topologies.app import TABLE, app_id, make_app
from topologies.preparing import changelog_name, prepare

MODULES: Final = {
    "thresholds": "topologies.thresholds",
    "rates": "topologies.rates",
    "health": "topologies.health",
}
"""Each has a `make_app`."""


def run(settings: Settings, name: str) -> None:
    """Run an app until SIGINT or SIGTERM.

    Args:
        settings: The settings.
        name: One of `MODULES`.

    Raises:
        ConfigError: Something in the settings has no counterpart in Faust.
        TopologyError: No broker answered, or topics are missing or do not fit.
        SystemExit: Always at the end, as Faust's worker has it; 0 after a signal.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # Faust's services look for it
    app = make_app(MODULES[name], settings)
    # Once here, where an error becomes a sentence; the app looks again when it starts.
    prepare(settings, name, changelog_name(app_id(app), TABLE))
    log_like_workers(settings.log)
    worker = faust.Worker(
        app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False
    )
    worker.spinner = None  # it writes to the terminal, quiet or not
    worker.execute_from_commandline()


def log_like_workers(log: Log) -> None:
    """Send what Faust logs where the workers' lines go, in their form.

    Args:
        log: Level, format and how often one event is told; `structlog` itself has been configured.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=[LEFT_OUT]),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RateLimit(log.lines_per_minute))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                shorten_exception(text=log.level == "debug"),
                make_renderer(log),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Faust tells of each step at `info`; that is what a worker's `debug` is for.
    level = "debug" if log.level == "debug" else "warning"
    root.setLevel(logging.getLevelNamesMapping()[level.upper()])
