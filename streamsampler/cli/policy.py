"""`streamsampler policy`: check a policy set, and put it in force for the whole group."""

from collections.abc import Sequence
from pathlib import Path

import click

from streamsampler.config import load_settings
from streamsampler.kafka.logs import QUIET, configure_logging
from streamsampler.kafka.policy_topic import publish_policy_set, read_policies_file
from streamsampler.policies import PolicySet

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def policy() -> None:
    """Check policy sets and publish them."""


@policy.command()
@click.argument("file", type=FILE)
def validate(file: Path) -> None:
    """Check the policy set in FILE; nothing is published."""
    click.echo(f"{file}: {_described(read_policies_file(file))}")


@policy.command()
@click.argument("file", type=FILE)
@click.option("--config", required=True, type=FILE, help="Settings, YAML.")
@click.option(
    "--set",
    "flags",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, over file and environment.",
)
def apply(file: Path, config: Path, flags: Sequence[str]) -> None:
    """Check the policy set in FILE and publish it; workers follow within a second."""
    configure_logging(QUIET)
    settings = load_settings(config, flags)
    read_policies_file(file)
    policies = publish_policy_set(settings, file.read_bytes(), str(file))
    click.echo(f"{settings.topics.policies}: {_described(policies)} is in force")


def _described(policies: PolicySet) -> str:
    for warning in policies.warnings:
        click.echo(f"Warning: {warning}", err=True)
    plural = "y" if len(policies.policies) == 1 else "ies"
    return f"version {policies.version}, {len(policies.policies)} polic{plural}"
