"""The command line: one file for each command, and the one place where errors become exit codes.

Only click is imported here, so that ``--help`` answers at once; a command's module, and with it
NumPy, Numba and the Kafka client, is imported when the command runs. Nothing of the sampling
itself comes in.

Exit codes: 0 done, 1 failed, 2 bad usage or bad input to start with, 130 interrupted.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Final

import click

from streamsampler import __version__

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Listing:
    """A command before its module is imported.

    Attributes:
        module: Where it is defined.
        name: The name of the click command in that module.
        line: What ``--help`` says of it.
    """

    module: str
    name: str
    line: str


COMMANDS: Final = {
    "demo": Listing(
        "streamsampler.cli.demo", "demo", "Show the whole thing on an embedded broker."
    ),
    "run": Listing("streamsampler.cli.run", "run", "Run a worker of a Kafka consumer group."),
    "forward": Listing(
        "streamsampler.cli.forward", "forward", "Send kept traces to an OTLP endpoint."
    ),
    "replay": Listing(
        "streamsampler.cli.replay", "replay", "Sample the traces of files, without Kafka."
    ),
    "generate": Listing(
        "streamsampler.cli.generate", "generate", "Write realistic traffic to a topic or a file."
    ),
    "config": Listing("streamsampler.cli.config", "config", "Show the settings in effect."),
    "warm-up": Listing(
        "streamsampler.cli.warm_up", "warm_up", "Compile the kernels, for an image or a start."
    ),
    "topics": Listing("streamsampler.cli.topics", "topics", "Create the topics the sampler needs."),
    "policy": Listing("streamsampler.cli.policy", "policy", "Check policy sets and publish them."),
    "topology": Listing(
        "streamsampler.cli.topology", "topology", "Run an app of the control plane (Faust)."
    ),
}


class Commands(click.Group):
    """The group of all commands: imports each one late, names each error once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the commands in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command; None for a name that is none."""
        listing = COMMANDS.get(cmd_name)
        if listing is None:
            return None
        command = getattr(importlib.import_module(listing.module), listing.name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands, a line each, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, listing.line) for name, listing in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors that the package names become a sentence and an exit code.

        An error that has no name here is a bug: its traceback is shown.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            click.echo(f"Error: {error}", err=True)
            ctx.exit(code)


NAMED_ERRORS: Final = {
    "streamsampler.config.loading.ConfigError": REFUSED,
    "streamsampler.policies.errors.PolicyError": REFUSED,
    "streamsampler.spans.files.InputFileError": REFUSED,
    "streamsampler.kafka.errors.FailStopError": FAILED,
    "streamsampler.store.opening.StoreError": FAILED,
    "topologies.errors.TopologyError": FAILED,
}
"""Errors whose text is a sentence for the user, by the place of their class, and what they exit
with. By name, as an import of the classes would make every command pay for all packages."""


def exit_code(error: Exception) -> int | None:
    """Find what to exit with after an error.

    Args:
        error: What a command raised.

    Returns:
        The exit code; None where the error is none of the package's named ones.
    """
    for kind in type(error).__mro__:
        code = NAMED_ERRORS.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="streamsampler %(version)s")
def main() -> None:
    """A tail sampler for OpenTelemetry traces that lives in Kafka."""
