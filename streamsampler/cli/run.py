"""`streamsampler run`: one worker in this process, or a supervisor over several."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

import click

from streamsampler.cli import FAILED, REFUSED, exit_code
from streamsampler.cli.stopping import stop_on_signals
from streamsampler.config import ConfigError, Settings, load_settings
from streamsampler.kafka.worker import run_worker
from streamsampler.logs import configure_logging
from streamsampler.observe import AddressError, nth_address

LOOK_SECONDS: Final = 0.2


@click.command()
@click.option(
    "--config",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings, YAML.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="How many processes, each a member of the group; one for each core is right.",
)
@click.option(
    "--policies",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A policy set to use while the policies topic holds none.",
)
@click.option(
    "--set",
    "flags",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, over file and environment.",
)
@click.pass_context
def run(
    context: click.Context,
    config: Path,
    workers: int,
    policies: Path | None,
    flags: Sequence[str],
) -> None:
    """Run a worker of a Kafka consumer group, until SIGTERM or Ctrl-C.

    A stop finishes the batch, commits and leaves; what is buffered stays undecided, and whoever
    takes the partitions over goes on with it.
    """
    settings = load_settings(config, flags)
    if policies is not None:
        settings = settings.model_copy(update={"policies_file": policies})
    stop = stop_on_signals()
    if workers == 1:
        configure_logging(settings.log)
        run_worker(_own(settings, 0, workers), stop)
    else:
        context.exit(_supervise(settings, workers, stop))


def _own(settings: Settings, index: int, workers: int) -> Settings:
    """The settings of one of several workers: a folder and a name of its own."""
    store = settings.store.model_copy(update={"path": settings.store.path / f"worker-{index}"})
    own: dict[str, object] = {"store": store}
    if settings.http.address is not None:
        try:
            address = nth_address(settings.http.address, index)
        except AddressError as error:
            raise ConfigError(str(error)) from error
        own["http"] = settings.http.model_copy(update={"address": address})
    if settings.instance_id is not None and workers > 1:
        own["instance_id"] = f"{settings.instance_id}-{index}"
    return settings.model_copy(update=own)


def _supervise(settings: Settings, workers: int, stop: Callable[[], bool]) -> int:
    """Run workers until told to stop, or until one of them ends by itself.

    Returns:
        The exit code.
    """
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_work, args=(_own(settings, index, workers), os.getpid()))
        for index in range(workers)
    ]
    for process in processes:
        process.start()
    ended: list[SpawnProcess] = []
    while not stop() and not ended:
        ready = wait([process.sentinel for process in processes], LOOK_SECONDS)
        ended = [process for process in processes if process.sentinel in ready]
    for process in processes:
        process.terminate()  # SIGTERM: they finish their batch and commit
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    if REFUSED in codes:
        return REFUSED
    return FAILED if ended or any(codes) else 0


def _work(settings: Settings, supervisor: int) -> None:
    """The life of a worker process."""
    stop = stop_on_signals()
    configure_logging(settings.log)
    try:
        # A supervisor that was killed forwards nothing; its workers must not outlive it.
        run_worker(settings, lambda: stop() or os.getppid() != supervisor)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        click.echo(f"Error: {error}", err=True)
        sys.exit(code)
