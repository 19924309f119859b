"""`streamsampler policy apply`, `get`, `diff` and `history`: the sets on the policies topic."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

import click
import structlog

from streamsampler.cli import FAILED
from streamsampler.cli.policy_files import FILE, read_text, warn
from streamsampler.config import Settings, load_settings
from streamsampler.kafka.errors import FailStopError, NotYetError
from streamsampler.kafka.policy_in_force import PolicyInForce, Refusal, checked_policy_set
from streamsampler.kafka.policy_records import PolicyRecord, read_policy_records
from streamsampler.kafka.policy_topic import publish_policy_set
from streamsampler.kafka.status import WorkerStatus, read_status
from streamsampler.logs import QUIET, configure_logging
from streamsampler.policies import PolicyError, PolicySet, load_policy_set
from streamsampler.policies.sets import DEFAULT
from streamsampler.policies.written import to_yaml

_LOOK_SECONDS: Final = 0.25
_ROW: Final = "{:<8} {:<20} {:<12} {}"


@dataclass(frozen=True, slots=True)
class Judged:
    """A record of the topic, and whether workers take it.

    Attributes:
        record: The record.
        policy_set: The set; None where it is refused or was deleted.
        problem: Why it is refused; None where it is not.
    """

    record: PolicyRecord
    policy_set: PolicySet | None = None
    problem: str | None = None


def judged(records: Iterable[PolicyRecord], name: str, topic: str) -> list[Judged]:
    """Judge the records of a set as workers do: each alone, and together with the other sets.

    Args:
        records: What the topic has, of all names.
        name: The name of the set; the others are left out.
        topic: What sentences call it.

    Returns:
        In the order of the records.
    """
    refusals: list[Refusal] = []
    workers = PolicyInForce(topic, refusals.append)
    sets: list[Judged] = []
    for record in records:
        refusals.clear()
        workers.take(record.key, record.value, record.offset)
        if record.name == name:
            sets.append(_judged(record, refusals, topic))
    return sets


def _judged(record: PolicyRecord, refusals: Sequence[Refusal], topic: str) -> Judged:
    if refusals:
        return Judged(record, problem=refusals[0].sentence)
    if record.value is None:
        return Judged(record)
    return Judged(record, checked_policy_set(record.value, f"{topic} offset {record.offset}"))


def in_force(sets: Iterable[Judged]) -> Judged | None:
    """Find the set in force: the last that is valid, unless a tenant's was deleted after it.

    Args:
        sets: What the topic has of a name.

    Returns:
        None where there is none.
    """
    current: Judged | None = None
    for each in sets:
        deleted = each.record.value is None and each.record.name != DEFAULT
        if each.policy_set is not None or (deleted and each.problem is None):
            current = None if deleted else each
    return current


def difference(before: Judged | None, after: PolicySet, topic: str, source: str) -> list[str]:
    """What changes, as a unified diff of the sets with every setting written out.

    Args:
        before: What is in force.
        after: What would be.
        topic: What the one is called.
        source: What the other is called.

    Returns:
        Lines; none where the sets say the same.
    """
    old = before.policy_set if before else None
    place = f"{topic} offset {before.record.offset}" if before else topic
    return list(
        unified_diff(
            to_yaml(old.document()).splitlines() if old else [],
            to_yaml(after.document()).splitlines(),
            place,
            source,
            lineterm="",
        )
    )


def history_lines(sets: Sequence[Judged]) -> list[str]:
    """A table of what the topic has.

    Args:
        sets: What it has.

    Returns:
        Lines, a heading first.
    """
    current = in_force(sets)
    rows = [_ROW.format("OFFSET", "TIME", "VERSION", "")]
    for each in sets:
        version = each.policy_set.version if each.policy_set else "-"
        moment = datetime.fromtimestamp(each.record.time_ms / 1000, UTC)
        said = _said(each, is_current=each is current)
        rows.append(_ROW.format(each.record.offset, f"{moment:%Y-%m-%dT%H:%M:%SZ}", version, said))
    return [row.rstrip() for row in rows]


def _said(each: Judged, *, is_current: bool) -> str:
    if each.policy_set is not None:
        count = _counted(len(each.policy_set.policies))
        return f"valid, {count}, in force" if is_current else f"valid, {count}"
    if each.problem is not None:
        return f"refused: {' '.join(each.problem.split())}"
    if each.record.name == DEFAULT:
        return "deleted; the set before it stays in force"
    return f"deleted; {DEFAULT} decides"


def _counted(policies: int) -> str:
    return f"{policies} polic{'y' if policies == 1 else 'ies'}"


_Command = Callable[..., None]


def _on_topic(command: _Command) -> _Command:
    """The options of every command that reads the topic."""
    for option in (
        click.option(
            "--name",
            default=DEFAULT,
            show_default=True,
            help="Of the set: default, or the tenant whose own it is.",
        ),
        click.option(
            "--set",
            "flags",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting, over file and environment.",
        ),
        click.option("--config", type=FILE, help="Settings, YAML. Default: the environment's."),
    ):
        command = option(command)
    return command


def _settings(config: Path | None, flags: Sequence[str]) -> Settings:
    configure_logging(QUIET)
    # What workers log of a refused set, these commands say themselves.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return load_settings(config, flags)


def _sets(settings: Settings, name: str) -> list[Judged]:
    return judged(read_policy_records(settings), name, settings.topics.policies)


@click.command()
@_on_topic
@click.pass_context
def get(context: click.Context, config: Path | None, flags: Sequence[str], name: str) -> None:
    """Print the policy set that is in force, as it was written."""
    settings = _settings(config, flags)
    sets = _sets(settings, name)
    current = in_force(sets)
    for each in sets[sets.index(current) + 1 :] if current else sets:
        offset = f"{settings.topics.policies} offset {each.record.offset}"
        click.echo(f"Warning: {offset}: {_said(each, is_current=False)}", err=True)
    if current is None:
        click.echo(f"Error: {settings.topics.policies} has no valid set called {name}.", err=True)
        context.exit(FAILED)
    text = (current.record.value or b"").decode()
    click.echo(text, nl=not text.endswith("\n"))


@click.command()
@click.argument("file", type=FILE)
@_on_topic
@click.pass_context
def diff(
    context: click.Context, file: Path, config: Path | None, flags: Sequence[str], name: str
) -> None:
    """Show what the set in FILE would change, every setting written out.

    Exits with 0 where nothing would change, else with 1.
    """
    settings = _settings(config, flags)
    policy_set = load_policy_set(read_text(file), str(file))
    current = in_force(_sets(settings, name))
    lines = difference(current, policy_set, settings.topics.policies, str(file))
    for line in lines:
        click.echo(line)
    context.exit(FAILED if lines else 0)


@click.command()
@_on_topic
def history(config: Path | None, flags: Sequence[str], name: str) -> None:
    """List the policy sets that the topic still has, valid or refused.

    The topic is compacted: Kafka keeps the last set, and those before it for a while.
    """
    for line in history_lines(_sets(_settings(config, flags), name)):
        click.echo(line)


@click.command()
@click.argument("file", type=FILE)
@_on_topic
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the workers.",
)
@click.option("--yes", is_flag=True, help="Do not ask; nothing is asked without a terminal.")
@click.pass_context
def apply(context: click.Context, /, *, file: Path, timeout: float, yes: bool, **on: Any) -> None:
    """Put the policy set in FILE in force, and wait until every worker runs it."""
    settings = _settings(on["config"], on["flags"])
    topic, name = settings.topics.policies, on["name"]
    text = read_text(file)
    policy_set = load_policy_set(text, str(file))
    warn(policy_set, str(file))
    try:
        records = read_policy_records(settings)
    except FailStopError as error:
        raise FailStopError(f"the policy set was not written to {topic}: {error}") from error
    refuse_what_workers_would(records, name, text, topic, str(file))
    for line in difference(in_force(judged(records, name, topic)), policy_set, topic, str(file)):
        click.echo(line)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Put it in force on {topic} at {settings.bootstrap}?", abort=True)
    publish_policy_set(settings, text, str(file), name)
    count = len(policy_set.policies)
    whose = "" if name == DEFAULT else f" for {name}"
    click.echo(
        f"{topic}: version {policy_set.version}, {_counted(count)} "
        f"{'is' if count == 1 else 'are'} in force{whose}"
    )
    context.exit(_wait(settings, name, policy_set.version, timeout))


def refuse_what_workers_would(
    records: Sequence[PolicyRecord], name: str, text: str, topic: str, source: str
) -> None:
    """Check that a valid set can be in force together with the others on the topic.

    Args:
        records: What the topic has.
        name: The name of the set.
        text: The set.
        topic: What sentences call the topic.
        source: What they call the set.

    Raises:
        PolicyError: Workers would refuse it.
    """
    offset = records[-1].offset + 1 if records else 0
    new = PolicyRecord(offset, 0, name.encode(), text.encode())
    problem = judged([*records, new], name, topic)[-1].problem
    if problem is not None:
        raise PolicyError([f"{source}: workers would refuse this set: {problem}"])


def _wait(settings: Settings, name: str, version: str, seconds: float) -> int:
    """Wait until every live worker runs a version, and say who does.

    Returns:
        The exit code.
    """
    deadline = time.monotonic() + seconds
    while True:
        workers = _live_workers(settings)
        behind = [] if workers is None else laggards(workers, name, version)
        if (workers is not None and not behind) or time.monotonic() >= deadline:
            break
        time.sleep(_LOOK_SECONDS)
    if not workers:
        topic = settings.topics.status
        click.echo(f"No worker says on {topic} that it runs; who starts next begins with this set.")
        return 0
    for sentence in behind:
        click.echo(f"Error: {sentence}", err=True)
    running, plural = len(workers) - len(behind), "" if len(workers) == 1 else "s"
    click.echo(f"{running} of {len(workers)} worker{plural} run{'s' * (not plural)} it")
    return FAILED if behind else 0


def _live_workers(settings: Settings) -> list[WorkerStatus] | None:
    """The workers that run; None where no broker can tell at the moment."""
    try:
        statuses = read_status(settings, settings.startup_timeout_ms / 1000)
    except NotYetError:
        return None
    now_ms = time.time_ns() // 1_000_000
    live = [each for each in statuses.values() if each.live(now_ms, settings.status_interval_ms)]
    return sorted(live, key=lambda status: status.worker)


def laggards(workers: Iterable[WorkerStatus], name: str, version: str) -> list[str]:
    """Which workers do not run a version.

    Args:
        workers: What each says of itself.
        name: The name of the set.
        version: Of the set that they should run.

    Returns:
        A sentence for each.
    """
    behind = []
    for status in workers:
        runs = status.policy_versions.get(name)
        if runs == version:
            continue
        reasons = [refusal.sentence for refusal in status.refused if refusal.key == name]
        reason = f": {reasons[-1]}" if reasons else "."
        what = f"runs version {runs}" if runs else f"runs no set called {name}"
        behind.append(f"worker {status.worker} {what}, and not {version}{reason}")
    return behind
