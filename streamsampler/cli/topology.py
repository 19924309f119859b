"""`streamsampler topology`: the control plane, one Faust app in this process."""

from collections.abc import Sequence
from pathlib import Path

import click

from streamsampler.config import load_settings
from streamsampler.logs import configure_logging


@click.command()
@click.argument("name", type=click.Choice(["thresholds", "rates", "health"]))
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
def topology(name: str, config: Path, flags: Sequence[str]) -> None:
    """Run an app of the control plane, until SIGTERM or Ctrl-C.

    thresholds joins the workers' latency sketches, rates their demands on shared budgets, health
    what they saw of traces and services. Workers go on without: with the tables they have, and
    with what they see themselves.
    """
    # Faust and its clients take a second to import; the settings are checked before that.
    settings = load_settings(config, flags)
    from topologies.command import run  # noqa: PLC0415

    configure_logging(settings.log)
    run(settings, name)
