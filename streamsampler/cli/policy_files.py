"""`streamsampler policy validate`, `import` and `schema`: what is done with files alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from streamsampler.cli import FAILED, REFUSED
from streamsampler.policies import PolicyError, PolicySet, load_policy_set
from streamsampler.policies.advice import advice
from streamsampler.policies.document import Document, read_document
from streamsampler.policies.importing import Imported
from streamsampler.policies.importing_otel import import_otel
from streamsampler.policies.importing_refinery import import_refinery
from streamsampler.policies.json_schema import json_schema
from streamsampler.policies.written import to_yaml

FILE: Final = click.Path(dir_okay=False, path_type=Path)
_OUTPUT = click.option("--output", type=FILE, help="Where to write the set. Default: stdout.")


@click.command()
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Exit with 1 where there are warnings.")
@click.pass_context
def validate(context: click.Context, files: Sequence[Path], *, strict: bool) -> None:
    """Check the policy set in each FILE; nothing is published.

    Says all that is wrong at once, each with its line and column, and warns of rules that can do
    nothing. Exits with 2 where a set is not valid.
    """
    valid = True
    warned = False
    for file in files:
        try:
            policy_set = load_policy_set(read_text(file), str(file))
        except PolicyError as error:
            valid = False
            for problem in error.problems:
                click.echo(f"Error: {problem}", err=True)
            continue
        warned |= warn(policy_set, str(file))
        click.echo(f"{file}: valid, {described(policy_set)}")
    context.exit(REFUSED if not valid else FAILED if strict and warned else 0)


def read_text(file: Path) -> str:
    """Read a file of policies.

    Args:
        file: UTF-8.

    Returns:
        The text.

    Raises:
        PolicyError: It cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError([f"{file}: cannot be read: {error.strerror}."]) from error
    except UnicodeDecodeError as error:
        raise PolicyError(
            [f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8."]
        ) from error


def warn(policy_set: PolicySet, source: str) -> bool:
    """Say what is valid in a set and not likely to be meant.

    Args:
        policy_set: The set.
        source: What it is called.

    Returns:
        Whether there was anything.
    """
    warnings = [*policy_set.warnings, *(f"{source}: {each}" for each in advice(policy_set))]
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    return bool(warnings)


def described(policy_set: PolicySet) -> str:
    """A set in a few words: how many policies, which version.

    Args:
        policy_set: The set.
    """
    count = len(policy_set.policies)
    return f"{count} polic{'y' if count == 1 else 'ies'}, version {policy_set.version}"


@click.command()
def schema() -> None:
    """Print the JSON Schema of policy sets, for editors that check while one types."""
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@click.group(name="import")
def import_() -> None:
    """Turn another sampler's rules into a policy set.

    What has no counterpart is said line by line on standard error, and the exit code is 1 then;
    the set is printed all the same.
    """


@import_.command()
@click.argument("file", type=FILE)
@click.option("--processor", help="The block's name, where the configuration has several.")
@_OUTPUT
@click.pass_context
def otel(context: click.Context, file: Path, processor: str | None, output: Path | None) -> None:
    """Take the tail_sampling block out of a Collector's configuration in FILE."""
    document = read_document(read_text(file), str(file))
    context.exit(_finish(import_otel(document, processor), document, output))


@import_.command()
@click.argument("file", type=FILE)
@click.option("--environment", help="Whose sampler is wanted. Default: __default__.")
@_OUTPUT
@click.pass_context
def refinery(
    context: click.Context, file: Path, environment: str | None, output: Path | None
) -> None:
    """Turn the rules of Refinery in FILE (rules.yaml, version 2) into a policy set."""
    document = read_document(read_text(file), str(file))
    context.exit(_finish(import_refinery(document, environment), document, output))


def _finish(imported: Imported, source: Document, output: Path | None) -> int:
    """Print or write what was imported, and say what was not.

    Returns:
        The exit code.
    """
    for remark in imported.remarks:
        click.echo(f"{'Not imported' if remark.lost else 'Note'}: {remark.sentence}", err=True)
    text = f"# Imported from {Path(source.source).name}.\n{to_yaml(imported.document)}"
    _write(text, output)
    try:
        load_policy_set(text, str(output) if output else "the imported set")
    except PolicyError as error:
        for problem in error.problems:
            click.echo(f"Error: {problem}", err=True)
        return FAILED
    return FAILED if any(remark.lost for remark in imported.remarks) else 0


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--output {output} cannot be written: {error.strerror}.") from error
