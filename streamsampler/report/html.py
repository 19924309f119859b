"""The report of a replay: one HTML file that needs nothing beside itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from streamsampler import __version__
from streamsampler.outcome import Counts, Decision
from streamsampler.report.examples import Example
from streamsampler.report.layout import Layout, layout
from streamsampler.report.readable import duration_text, printable, share_text
from streamsampler.report.tables import (
    VERDICT_NAMES,
    conservation_line,
    conservation_terms,
    late_text,
    trigger_text,
    verdict_rows,
)
from streamsampler.report.tally import Tally, bin_edge_ns

_MOST_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a report tells of a run.

    Attributes:
        inputs: The files that were read, by name.
        policies: The file of the policy set, by name.
        policy_version: Of that set.
        tally: What was decided.
        counts: Of the whole run.
        conserved: Whether the conservation law holds on every partition.
        examples: The kept traces to draw.
    """

    inputs: Sequence[str]
    policies: str
    policy_version: str
    tally: Tally
    counts: Counts
    conserved: bool
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Bin:
    """Traces of about one duration, with the lengths of their bars in percent of the highest."""

    label: str
    all: int
    kept: int
    all_percent: float
    kept_percent: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """A kept trace as the page draws it."""

    trace_id: str
    decision: Decision
    duration: str
    errors: int
    layout: Layout
    more: int


def report_page(run: Run) -> str:
    """Write the report.

    Args:
        run: What there is to tell.

    Returns:
        An HTML page; styles and drawings are in it, and it loads nothing.
    """
    tally, counts = run.tally, run.counts
    return _template().render(
        run=run,
        version=__version__,
        inputs=[printable(name) for name in run.inputs],
        policies=printable(run.policies),
        tiles=_tiles(tally, counts),
        law=conservation_line(counts),
        terms=_terms(counts),
        rows=list(verdict_rows(tally)),
        triggers=trigger_text(tally),
        late=late_text(counts),
        bins=list(_bins(tally)),
        drawings=[_drawing(example) for example in run.examples],
        most_rows=_MOST_ROWS,
        traces=[*tally.sampled, *tally.others],
        unlisted=tally.traces - len(tally.sampled) - len(tally.others),
        bad_total=sum(tally.bad_reasons.values()),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("streamsampler.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["verdict"] = VERDICT_NAMES.__getitem__
    environment.filters["duration"] = duration_text
    environment.filters["printable"] = printable
    environment.filters["number"] = lambda number: f"{number:,}"
    environment.filters["percent"] = lambda share: f"{100 * share:.3f}%"
    return environment.get_template("page.html.j2")


def _tiles(tally: Tally, counts: Counts) -> Mapping[str, tuple[str, str]]:
    sampled = tally.traces_with("sampled")
    return {
        "traces decided": (f"{tally.traces:,}", f"from {counts.records:,} records"),
        "traces kept": (f"{sampled:,}", share_text(sampled, tally.traces)),
        "spans in": (f"{counts.spans_in:,}", f"{counts.duplicates:,} duplicates"),
        "spans kept": (f"{counts.kept:,}", share_text(counts.kept, counts.spans_in)),
    }


def _terms(counts: Counts) -> list[tuple[str, int, float]]:
    whole = counts.spans_in or 1
    return [(name, spans, 100 * spans / whole) for name, spans in conservation_terms(counts)]


def _bins(tally: Tally) -> Iterator[Bin]:
    if not tally.durations:
        return
    highest = max(tally.durations.values())
    for place in range(min(tally.durations), max(tally.durations) + 1):
        count, kept = tally.durations[place], tally.kept_durations[place]
        edge = duration_text(round(bin_edge_ns(place)))
        yield Bin(f"< {edge}", count, kept, 100 * count / highest, 100 * kept / highest)


def _drawing(example: Example) -> Drawing:
    placed = layout(example.spans)
    return Drawing(
        trace_id=example.decision.trace_id.hex(),
        decision=example.decision,
        duration=duration_text(placed.duration_ns),
        errors=sum(span.error for span in example.spans),
        layout=placed,
        more=max(0, len(placed.rows) - _MOST_ROWS),
    )
