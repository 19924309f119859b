"""`streamsampler config show`: the settings in effect, and where each came from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import yaml
from pydantic import BaseModel

from streamsampler.config import is_secret, trace_settings

MASK: Final = "***"


@click.group()
def config() -> None:
    """Show the settings in effect."""


@config.command()
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings, YAML. Default: the environment's.",
)
@click.option(
    "--set",
    "flags",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, over file and environment.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON: value and origin by setting.")
def show(file: Path | None, flags: Sequence[str], *, as_json: bool) -> None:
    """Show every setting, secrets masked, and where its value came from."""
    traced = trace_settings(file, flags)
    rows = [(path, value, traced.origin(path)) for path, value in leaves(traced.settings)]
    if as_json:
        found = {".".join(path): {"value": value, "origin": origin} for path, value, origin in rows}
        click.echo(json.dumps(found, indent=2))
        return
    lines = list(written(rows))
    width = max(len(line) for line, _ in lines)
    for line, origin in lines:
        click.echo(f"{line:<{width}}  # {origin}" if origin else line)


Row = tuple[tuple[str, ...], Any, str]


def leaves(model: BaseModel, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Walk through settings.

    Args:
        model: The settings, or a section of them.
        above: Its path.

    Yields:
        The path and value of each, secrets masked.
    """
    for name in type(model).model_fields:
        value, path = getattr(model, name), (*above, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, path)
        elif isinstance(value, Mapping):
            for key in sorted(value):
                yield (*path, key), MASK if is_secret((*path, key)) else value[key]
        else:
            yield path, MASK if value and is_secret(path) else _plain(value)


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def written(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Write settings as YAML, a line each.

    Args:
        rows: Path, value and origin of each, in order.

    Yields:
        The lines of a document that reads back as the same settings, and the origin of what is in
        it; empty for the name of a section.
    """
    section: tuple[str, ...] = ()
    for path, value, origin in rows:
        above = path[:-1]
        for depth, name in enumerate(above):
            if section[: depth + 1] != above[: depth + 1]:
                yield f"{'  ' * depth}{name}:", ""
        section = above
        scalar = yaml.safe_dump(value, default_flow_style=True, width=1_000).split("\n")[0]
        yield f"{'  ' * len(above)}{path[-1]}: {scalar}", origin
