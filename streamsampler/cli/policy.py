"""`streamsampler policy`: check policy sets, import them, and put them in force for the group."""

import importlib
from typing import Final

import click

from streamsampler.cli import Listing

_FILES: Final = "streamsampler.cli.policy_files"
_TOPIC: Final = "streamsampler.cli.policy_topic"
SUBCOMMANDS: Final = {
    "validate": Listing(_FILES, "validate", "Check policy sets; nothing is published."),
    "import": Listing(_FILES, "import_", "Turn another sampler's rules into a policy set."),
    "schema": Listing(_FILES, "schema", "Print the JSON Schema of policy sets, for editors."),
    "apply": Listing(_TOPIC, "apply", "Put a policy set in force for the whole group."),
    "get": Listing(_TOPIC, "get", "Print the policy set that is in force."),
    "diff": Listing(_TOPIC, "diff", "Show what a file would change."),
    "history": Listing(_TOPIC, "history", "List the policy sets that the topic still has."),
}
"""Files are dealt with without a Kafka client, so each family is imported by itself."""


class PolicyCommands(click.Group):
    """The group: imports each family of commands when one of it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the commands, those that need no broker first."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command; None for a name that is none."""
        listing = SUBCOMMANDS.get(cmd_name)
        if listing is None:
            return None
        command = getattr(importlib.import_module(listing.module), listing.name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands, a line each, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, listing.line) for name, listing in SUBCOMMANDS.items()])


@click.group(cls=PolicyCommands)
def policy() -> None:
    """Check policy sets, import them, and put them in force."""
