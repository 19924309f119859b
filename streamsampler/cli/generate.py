"""`streamsampler generate`: traffic to a file or a topic, with the oracle of its verdicts."""

import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import click
from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streamsampler.config import ConfigError, load_settings
from streamsampler.policies import PolicySet, load_policy_set
from streamsampler.traffic import (
    FORMATS,
    GeneratedRecord,
    Trace,
    Traffic,
    TrafficSettings,
    judge,
    open_output,
    unknown_policies,
    write_topic,
)
from streamsampler.traffic.model import json_text

_MINUTE_MS = 60_000
_INTERRUPTED = 130
_STANDARD_OUTPUT = {"-": "standard output"}
_PROGRESS_STEP = 100
_CONSUMER_ONLY = re.compile(r"^(session|heartbeat|max\.poll|fetch|queued|isolation|check\.crcs)")


@dataclass(slots=True)
class _Tally:
    """What was written so far."""

    traces: int = 0
    records: int = 0
    spans: int = 0
    hostile: int = 0

    def add(self, record: GeneratedRecord) -> None:
        self.records += 1
        self.spans += sum(len(batch.spans) for batch in record.batches)
        self.hostile += record.fault is not None


@dataclass(frozen=True, slots=True)
class _Topic:
    """Where records go when they go to Kafka."""

    name: str
    producer_config: Mapping[str, Any]


def _start_ms(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither milliseconds since the epoch nor a time as 2026-05-01T12:00:00Z."
        ) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)


_SHARE = click.FloatRange(0, 1)
_COUNT = click.IntRange(min=0)


@click.command()
@click.option("--output", metavar="FILE", help="File to write to; - is standard output.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(sorted(FORMATS)),
    default="otlp-json",
    show_default=True,
    help="What the file holds; a name that ends in .gz is compressed.",
)
@click.option("--bootstrap", metavar="HOST:PORT", help="Kafka broker to write to.")
@click.option("--config", metavar="FILE", help="Configuration of a worker; tells of the broker.")
@click.option(
    "--topic", metavar="NAME", help="Topic to write to; by default the input of --config."
)
@click.option(
    "--traces", type=_COUNT, default=1000, show_default=True, help="How many; 0 goes on for ever."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all chance.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SPANS_PER_S",
    help="Spans per second: of the simulated clock in a file (1000); to a topic, of the wall "
    "clock. Without it a topic is written at full speed.",
)
@click.option(
    "--start",
    "start_ms",
    callback=_start_ms,
    metavar="TIME",
    help="When the first trace starts, RFC 3339 or ms since the epoch. Without it, as long ago "
    "as the traffic lasts.",
)
@click.option("--tenants", type=click.IntRange(min=1), default=20, show_default=True)
@click.option(
    "--bad-records", type=_COUNT, default=0, show_default=True, help="How many hostile records."
)
@click.option("--policies", metavar="FILE", help="Policy set that the oracle judges by.")
@click.option("--oracle", metavar="FILE", help="Where the right verdict of each trace goes.")
@click.option("--max-spans", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--late-share", type=_SHARE, help="Traces with spans that come after the decision.")
@click.option(
    "--late-after",
    "late_after_ms",
    type=click.IntRange(min=1),
    metavar="MS",
    help="How long after the rest they come; by default as the policies' decision_wait needs.",
)
@click.option("--broken-share", type=_SHARE, help="Traces that lose a parent for good.")
@click.option("--canary-share", type=_SHARE, help="Traces that canary instances serve.")
@click.option("--duplicate-share", type=_SHARE, help="Records that are written twice.")
@click.option("--unkeyed-share", type=_SHARE, help="Records that mix traces and have no key.")
@click.option("--out-of-order", "out_of_order_ms", type=_COUNT, metavar="MS")
@click.option("--max-skew", "max_skew_ms", type=_COUNT, metavar="MS", help="Clock skew of hosts.")
@click.option("--tenant-header", metavar="NAME", help="Record header that names the tenant.")
@click.pass_context
def generate(context: click.Context, /, **flags: Any) -> None:
    """Write realistic traffic to a topic or a file, and the right verdicts beside it.

    The same flags, seed and start give the same bytes.
    """
    _check(flags)
    topic = _topic(flags)
    policy_set = _policy_set(flags)
    paced = topic is not None and flags["rate"] is not None
    settings = _settings(flags, policy_set, paced=paced)
    stop = Event()
    tally = _Tally()
    try:
        with ExitStack() as resources:
            resources.enter_context(_interruptible(stop))
            on_trace = resources.enter_context(_on_trace(flags, policy_set, settings, tally))
            records = Traffic(settings, on_trace).records()
            if topic is None:
                _write_file(records, flags, stop, tally)
            else:
                _write_topic(records, topic, stop, tally, paced=paced)
    except BrokenPipeError:
        raise  # the reader of standard output has had enough: click ends quietly
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or flags['output']}: {error.strerror}"
        ) from error
    target = (
        topic.name if topic is not None else _STANDARD_OUTPUT.get(flags["output"], flags["output"])
    )
    click.echo(_conclusion(tally, target, settings, stopped=stop.is_set()), err=True)
    if stop.is_set() and flags["oracle"] is not None:
        click.echo(
            f"{flags['oracle']} also lists traces of which records were not written yet.", err=True
        )
    if stop.is_set() and settings.traces:
        context.exit(_INTERRUPTED)


def _check(flags: Mapping[str, Any]) -> None:
    if flags["oracle"] is not None and flags["policies"] is None:
        raise click.UsageError("--oracle needs --policies FILE to judge by.")
    if flags["traces"] == 0 and flags["bad_records"]:
        raise click.UsageError(
            "--bad-records are spread over the traces: give --traces a number, not 0."
        )


def _topic(flags: Mapping[str, Any]) -> _Topic | None:
    """Finds out where the records go; none for a file."""
    brokers = [name for name in ("bootstrap", "config") if flags[name] is not None]
    if flags["output"] is not None:
        if brokers or flags["topic"] is not None:
            raise click.UsageError("--output writes a file, --topic a topic: give one of them.")
        return None
    if not brokers and flags["topic"] is None:
        raise click.UsageError(
            "Say where to write: --output FILE, or --topic NAME with --bootstrap or --config."
        )
    if len(brokers) != 1:
        raise click.UsageError("A topic needs a broker: give --bootstrap or --config, one of them.")
    if flags["rate"] is not None and flags["start_ms"] is not None:
        raise click.UsageError(
            "--rate to a topic stamps records with the time of writing: leave --start out."
        )
    if flags["config"] is None:
        if flags["topic"] is None:
            raise click.UsageError("--bootstrap needs --topic NAME to write to.")
        return _Topic(flags["topic"], {"bootstrap.servers": flags["bootstrap"]})
    try:
        settings = load_settings(Path(flags["config"]))
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    producer_config = {
        name: value for name, value in settings.kafka.items() if not _CONSUMER_ONLY.match(name)
    }
    return _Topic(flags["topic"] or settings.topics.input, producer_config)


def _policy_set(flags: Mapping[str, Any]) -> PolicySet | None:
    path = flags["policies"]
    if path is None:
        return None
    policy_set = load_policy_set(_read(path, "--policies"), path)
    unknown = unknown_policies(policy_set) if flags["oracle"] is not None else ()
    if unknown:
        raise click.UsageError(f"{path}: {'; '.join(unknown)}.")
    return policy_set


def _read(path: str, flag: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise click.UsageError(f"{flag} {path}: cannot be read: {reason}.") from error


def _settings(
    flags: Mapping[str, Any], policy_set: PolicySet | None, *, paced: bool
) -> TrafficSettings:
    names = TrafficSettings.__dataclass_fields__
    given = {name: flags[name] for name in names if flags.get(name) is not None}
    if flags["rate"] is not None:
        given["spans_per_second"] = flags["rate"]
    try:
        settings = TrafficSettings(**given)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    if policy_set is not None:
        windows = policy_set.decision_wait_ms, policy_set.completion_grace_ms
        chosen = {name: given[name] for name in ("late_after_ms", "max_skew_ms") if name in given}
        settings = replace(settings.fitted(*windows), **chosen)
        misfits = settings.misfits(*windows) if flags["oracle"] is not None else ()
        if misfits:
            raise click.UsageError(f"The oracle would be wrong: {'; '.join(misfits)}.")
    if "start_ms" in given:
        return settings
    now_ms = time.time_ns() // 1_000_000
    if paced:
        return replace(settings, start_ms=now_ms)
    return replace(settings, start_ms=(now_ms - settings.duration_ms) // _MINUTE_MS * _MINUTE_MS)


@contextmanager
def _interruptible(stop: Event) -> Iterator[None]:
    """Turns the first Ctrl-C or SIGTERM into a stop between two records."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, ask_to_stop)
    try:
        yield
    finally:
        restore()


@contextmanager
def _on_trace(
    flags: Mapping[str, Any],
    policy_set: PolicySet | None,
    settings: TrafficSettings,
    tally: _Tally,
) -> Iterator[Callable[[Trace], None]]:
    """What is done with each trace as it is made: counted, judged, shown."""
    console = Console(stderr=True)
    columns = (TextColumn("traces"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as resources:
        progress = Progress(*columns, console=console, disable=not console.is_terminal)
        resources.enter_context(progress)
        task = progress.add_task("traces", total=settings.traces or None)
        oracle = None
        if flags["oracle"] is not None:
            oracle = resources.enter_context(open_output(flags["oracle"]))

        def on_trace(trace: Trace) -> None:
            tally.traces += 1
            if tally.traces % _PROGRESS_STEP == 0 or tally.traces == settings.traces:
                progress.update(task, completed=tally.traces)
            if oracle is not None and policy_set is not None:
                oracle.write(json_text(judge(trace, policy_set).line()).encode() + b"\n")

        yield on_trace


def _write_file(
    records: Iterable[GeneratedRecord], flags: Mapping[str, Any], stop: Event, tally: _Tally
) -> None:
    encode = FORMATS[flags["file_format"]]
    with open_output(flags["output"]) as file:
        for record in records:
            if stop.is_set():
                break
            file.write(encode(record))
            tally.add(record)


def _write_topic(
    records: Iterable[GeneratedRecord],
    topic: _Topic,
    stop: Event,
    tally: _Tally,
    *,
    paced: bool,
) -> None:
    try:
        written = write_topic(
            records,
            topic.producer_config,
            topic.name,
            paced=paced,
            stop=stop,
            on_record=tally.add,
        )
    except KafkaException as error:
        raise click.UsageError(f"Kafka refuses the settings: {error.args[0].str()}.") from error
    if written.failed:
        raise click.ClickException(
            f"{written.failed:,} of {written.failed + written.records:,} records were not written "
            f"to topic {topic.name}: {'; '.join(written.reasons)}."
        )


def _conclusion(tally: _Tally, target: str, settings: TrafficSettings, *, stopped: bool) -> str:
    hostile = f", {tally.hostile:,} of them hostile," if tally.hostile else ""
    return (
        f"{'Stopped. ' if stopped else ''}Wrote {tally.spans:,} spans of {tally.traces:,} traces "
        f"in {tally.records:,} records{hostile} to {target}; seed {settings.seed}, "
        f"start {settings.start_ms}."
    )
