"""`streamsampler replay`: the worker's engine over files. No Kafka, and no clock but the spans'."""

import gzip
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self, cast

import click

from streamsampler.cli.terminal import progress_on_terminal, result_console
from streamsampler.outcome import Counts, Outcome
from streamsampler.policies import PolicySet, load_policy_set
from streamsampler.report.examples import Examples
from streamsampler.report.html import Run, report_page
from streamsampler.report.otlp_json import trace_line
from streamsampler.report.tables import bad_records_table, conservation_line, verdict_table
from streamsampler.report.tally import BadRecord, Tally
from streamsampler.sampler import Sampler
from streamsampler.spans.files import read_records
from streamsampler.spans.formats import FORMATS, MalformedRecord
from streamsampler.spans.malformed import REASONS
from streamsampler.spans.records import NO_TIME, RecordBatch, join
from streamsampler.store import BlockStore, StoreSettings

_PARTITION: Final = 0
_BATCH_RECORDS: Final = 4_000
_BATCH_BYTES: Final = 4_000_000


class SpreadOptions(click.Command):
    """A command whose options named here take one value or several: ``--input a b c``."""

    spread: Final = ("--input",)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, each further value of a spread option as that option again."""
        return super().parse_args(ctx, list(_spread(args, self.spread)))


def _spread(args: Iterable[str], names: Sequence[str]) -> Iterator[str]:
    current = None
    values = 0
    for arg in args:
        if arg.startswith("-") and arg != "-":
            name = arg.partition("=")[0]
            current = name if name in names else None
            values = 1 if "=" in arg else 0
        elif current is not None:
            if values:
                yield current
            values += 1
        yield arg


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """Records of files.

    Attributes:
        records: As the engine takes them.
        places: Where each stands, such as ``traces.jsonl:17``.
    """

    records: RecordBatch
    places: Sequence[str]


class WrittenFile:
    """A text file that is written; owns it, and names it when the disk is full.

    Gzip by a name that ends in ``.gz``, without a time in it, so that equal runs give equal bytes.

    Args:
        path: Where; what stands there is replaced.

    Raises:
        OSError: It cannot be opened; so do `write` and leaving the context, with its name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        raw: IO[bytes] = path.open("wb")
        self._below = raw
        if path.suffix == ".gz":
            raw = cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="wb", mtime=0))
        self._text = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")

    def write(self, lines: Iterable[str]) -> None:
        """Write lines, each with its line break."""
        with self._named():
            self._text.writelines(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._named(), self._below:
            self._text.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error


@dataclass(slots=True)
class Results:
    """Where a replay's outcomes go; owns no file, only writes to those it is given.

    Attributes:
        kept: For kept traces, as OTLP JSON lines.
        decisions: For decisions, as JSON lines.
        examples: Kept traces for the report.
        tally: What was decided.
        spans_written: Spans in all emissions.
        untranslated: Records that never reached the engine, by reason.
    """

    kept: WrittenFile | None = None
    decisions: WrittenFile | None = None
    examples: Examples | None = None
    tally: Tally = field(default_factory=Tally)
    spans_written: int = 0
    untranslated: Counter[str] = field(default_factory=Counter)

    def refuse(self, place: str, error: MalformedRecord) -> None:
        """Count a record that is not of the input's format.

        Args:
            place: Where it stands.
            error: What is wrong with it.
        """
        self.untranslated[error.reason] += 1
        self.tally.refused(BadRecord(place, error.reason, error.detail))

    def take(self, outcome: Outcome, places: Sequence[str] = ()) -> None:
        """Write what a batch brought about.

        Args:
            outcome: Of one call of the engine.
            places: Of the batch's records, for the dead letters among them.
        """
        self.tally.decided(outcome.decisions)
        for letter in outcome.dead_letters:
            self.tally.refused(BadRecord(places[letter.record], letter.reason, letter.detail))
        values: dict[bytes, list[bytes]] = {}
        for emission in outcome.emissions:
            values.setdefault(emission.trace_id, []).append(emission.value)
            self.spans_written += emission.spans
        if self.kept is not None:
            self.kept.write(trace_line(parts) + "\n" for parts in values.values())
        if self.decisions is not None:
            self.decisions.write(json.dumps(d.line()) + "\n" for d in outcome.decisions)
        if self.examples is not None:
            for decision in outcome.decisions:
                self.examples.offer(decision, values.get(decision.trace_id, ()))


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_INPUT: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_NEW_FILE: Final = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command(cls=SpreadOptions)
@click.option(
    "--policies", required=True, type=_FILE, metavar="FILE", help="Policy set, YAML or JSON."
)
@click.option(
    "--input",
    "inputs",
    required=True,
    multiple=True,
    type=_INPUT,
    metavar="FILE...",
    help="Files to read, one after the other, plain or gzip; - is standard input.",
)
@click.option(
    "--output",
    type=_NEW_FILE,
    metavar="FILE",
    help="Kept traces, one a line as OTLP JSON; gzip by a name that ends in .gz.",
)
@click.option(
    "--decisions", type=_NEW_FILE, metavar="FILE", help="Every verdict, one a line as JSON."
)
@click.option("--report", type=_NEW_FILE, metavar="FILE", help="An HTML page that tells it all.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(sorted(FORMATS)),
    default="otlp_json",
    show_default=True,
    help="What the input holds.",
)
@click.pass_context
def replay(context: click.Context, /, format_name: str, **paths: Any) -> None:
    """Sample the traces of files as a worker would, without Kafka.

    The verdicts depend on the input and the policies alone. Bad records are counted, listed and
    passed over.
    """
    _check_paths(paths)
    policy_set = load_policy_set(_text(paths["policies"]), str(paths["policies"]))
    for warning in policy_set.warnings:
        click.echo(f"Warning: {warning}", err=True)
    try:
        holds = _replay(policy_set, format_name, paths)
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'writing'}: {error.strerror}.") from error
    context.exit(0 if holds else 1)


def _check_paths(paths: Mapping[str, Any]) -> None:
    """Refuse to write over what is read, or two results to one file."""
    taken = [(path, "an input") for path in paths["inputs"]]
    taken.append((paths["policies"], "the policy set"))
    for name in ("output", "decisions", "report"):
        path = paths[name]
        if path is None:
            continue
        for other, what in taken:
            if _same_file(path, other):
                raise click.UsageError(f"--{name} {path} is {what}: write to another file.")
        if not path.resolve().parent.is_dir():
            raise click.UsageError(f"--{name} {path}: make the directory {path.parent} first.")
        taken.append((path, f"what --{name} writes, too"))


def _same_file(one: Path, other: Path) -> bool:
    # By what stands there as well as by name: a file may have a second name.
    both = one.exists() and other.exists()
    return one.resolve() == other.resolve() or (both and one.samefile(other))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"--policies {path}: byte {error.start} is no UTF-8; save the file as UTF-8."
        ) from error


def _replay(policy_set: PolicySet, format_name: str, paths: Mapping[str, Any]) -> bool:
    """Run the engine over the inputs and print what came of it.

    Returns:
        Whether the conservation law holds and all that was kept was written.
    """
    with ExitStack() as resources:
        results = Results(
            kept=_open(resources, paths["output"]),
            decisions=_open(resources, paths["decisions"]),
            examples=Examples() if paths["report"] else None,
        )
        page = _open(resources, paths["report"])
        directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="streamsampler-"))
        store = resources.enter_context(BlockStore(Path(directory), StoreSettings()))
        sampler = Sampler(policy_set, store)
        sampler.assign(_PARTITION)
        _drive(sampler, results, paths["inputs"], format_name)
        counts = sampler.counts(_PARTITION) + _unreadable(results.untranslated)
        conserved = counts.conserved()
        if page is not None and results.examples is not None:
            run = Run(
                inputs=[str(path) for path in paths["inputs"]],
                policies=str(paths["policies"]),
                policy_version=policy_set.version,
                tally=results.tally,
                counts=counts,
                conserved=conserved,
                examples=results.examples.picked(),
            )
            page.write([report_page(run)])
    console = result_console()
    console.print(verdict_table(results.tally, counts))
    if results.tally.bad_reasons:
        console.print(bad_records_table(results.tally))
    console.print(conservation_line(counts), soft_wrap=True)
    if results.spans_written != counts.kept:
        click.echo(
            f"Error: {counts.kept:,} spans were kept and {results.spans_written:,} came out.",
            err=True,
        )
        return False
    return conserved


def _drive(sampler: Sampler, results: Results, inputs: Sequence[Path], format_name: str) -> None:
    with progress_on_terminal() as progress:
        task = progress.add_task("reading", total=None)
        for batch in _batches(_records(inputs, format_name, results)):
            results.take(sampler.submit(batch.records), batch.places)
            sampler.committed(_PARTITION, sampler.checkpoint(_PARTITION))
            counts = sampler.counts(_PARTITION)
            progress.update(
                task,
                description=f"{batch.places[-1]}: {counts.records:,} records, "
                f"{counts.spans_in:,} spans in, {counts.kept:,} kept",
            )
        progress.update(task, description="deciding what is left")
        results.take(sampler.finish())


def _records(
    inputs: Sequence[Path], format_name: str, results: Results
) -> Iterator[tuple[bytes, str]]:
    """Read the records of all inputs as OTLP protobuf; those that are none are counted."""
    translate = FORMATS[format_name]
    for path in inputs:
        for value, place in read_records(path, format_name):
            try:
                translated = translate(value)
            except MalformedRecord as error:
                results.refuse(place, error)
            else:
                yield translated, place


def _unreadable(reasons: Counter[str]) -> Counts:
    """Count records that never reached the engine as it counts its own dead letters."""
    records = reasons.total()
    dead = tuple(reasons[reason] for reason in REASONS)
    return Counts(records=records, spans_in=records, dead_lettered=records, dead=dead)


def _batches(records: Iterable[tuple[bytes, str]]) -> Iterator[ReadBatch]:
    values: list[bytes] = []
    places: list[str] = []
    first = size = 0
    for value, place in records:
        values.append(value)
        places.append(place)
        size += len(value)
        if len(values) == _BATCH_RECORDS or size >= _BATCH_BYTES:
            yield _batch(values, places, first)
            first += len(values)
            values, places, size = [], [], 0
    if values:
        yield _batch(values, places, first)


def _batch(values: list[bytes], places: list[str], first: int) -> ReadBatch:
    none = [None] * len(values)
    offsets = range(first, first + len(values))
    records = join([_PARTITION] * len(values), offsets, [NO_TIME] * len(values), none, values, none)
    return ReadBatch(records, places)


def _open(resources: ExitStack, path: Path | None) -> WrittenFile | None:
    if path is None:
        return None
    try:
        file = WrittenFile(path)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}.") from error
    return resources.enter_context(file)
