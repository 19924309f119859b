"""`streamsampler forward`: kept traces to an OTLP endpoint."""

from collections.abc import Sequence
from pathlib import Path

import click

from streamsampler.cli.stopping import stop_on_signals
from streamsampler.config import load_settings
from streamsampler.forward import run_forwarder
from streamsampler.logs import configure_logging


@click.command()
@click.option(
    "--config",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings, YAML.",
)
@click.option(
    "--set",
    "flags",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, over file and environment.",
)
def forward(config: Path, flags: Sequence[str]) -> None:
    """Send kept traces to an OTLP endpoint, until SIGTERM or Ctrl-C.

    Records count as sent once the endpoint has answered: at least once.
    """
    settings = load_settings(config, flags)
    configure_logging(settings.log)
    run_forwarder(settings, stop_on_signals())
