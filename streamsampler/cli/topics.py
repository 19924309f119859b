"""`streamsampler topics create`: the topics that the sampler needs."""

from collections.abc import Sequence
from pathlib import Path

import click

from streamsampler.config import load_settings
from streamsampler.kafka.topics import DEFAULT_PARTITIONS, create_topics
from streamsampler.logs import QUIET, configure_logging


@click.group()
def topics() -> None:
    """Create the topics the sampler needs."""


@topics.command()
@click.option(
    "--config",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings, YAML.",
)
@click.option(
    "--partitions",
    type=click.IntRange(1, 100_000),
    help="Of input, output and decisions. Default: as many as an existing one has, "
    f"else {DEFAULT_PARTITIONS}.",
)
@click.option(
    "--replication-factor",
    type=click.IntRange(1, 100),
    help="Of each new topic. Default: the brokers'.",
)
@click.option(
    "--set",
    "flags",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, over file and environment.",
)
def create(
    config: Path, partitions: int | None, replication_factor: int | None, flags: Sequence[str]
) -> None:
    """Create the topics that are missing; leave the others as they are."""
    configure_logging(QUIET)
    for report in create_topics(load_settings(config, flags), partitions, replication_factor):
        state = "created" if report.created else "exists"
        plural = "s" if report.partitions > 1 else ""
        click.echo(f"{state:<8} {report.name}: {report.partitions} partition{plural}")
        for note in report.notes:
            click.echo(f"Warning: {report.name}: {note}", err=True)
