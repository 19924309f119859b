"""The verdicts of a run as tables, and its conservation law as a line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from streamsampler.outcome import Counts
from streamsampler.report.readable import printable, share_text
from streamsampler.report.tally import Tally

VERDICT_NAMES: Final = {"sampled": "sampled", "not_sampled": "not sampled", "dropped": "dropped"}
TRIGGERS: Final = ("complete", "timeout", "limit", "shutdown")
_COLOURS: Final = {"sampled": "green", "not_sampled": "default", "dropped": "yellow"}


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One line of a table of verdicts.

    Attributes:
        decision: ``sampled``, ``not_sampled`` or ``dropped``.
        policy: The policy that decided; empty where none did.
        traces: How many got this verdict by this policy.
        spans: The spans that they had when they were decided.
        share: Of all decided traces, as text.
    """

    decision: str
    policy: str
    traces: int
    spans: int
    share: str


def verdict_rows(tally: Tally) -> Iterator[VerdictRow]:
    """List the verdicts: sampled ones first, the most frequent policy first.

    Args:
        tally: The run's decisions.

    Yields:
        A row for each verdict and policy that occurred.
    """
    order = list(VERDICT_NAMES)
    ranked = sorted(
        tally.verdicts.items(),
        key=lambda item: (order.index(item[0][0]), -item[1].traces, item[0][1] or ""),
    )
    for (decision, policy), verdict in ranked:
        share = share_text(verdict.traces, tally.traces)
        name = printable(policy or "")
        yield VerdictRow(decision, name, verdict.traces, verdict.spans, share)


def trigger_text(tally: Tally) -> str:
    """Say what brought the decisions about.

    Args:
        tally: The run's decisions.

    Returns:
        Such as ``complete 812, timeout 170, limit 0, shutdown 18``.
    """
    return ", ".join(f"{trigger} {tally.triggers[trigger]:,}" for trigger in TRIGGERS)


def late_text(counts: Counts) -> str:
    """Say what became of the spans that came after their trace's decision.

    Args:
        counts: Of the whole run.

    Returns:
        Such as ``12 kept with their trace, 40 not (3 of them errors)``.
    """
    kept, gone, errors = counts.late_sampled, counts.late_not_sampled, counts.late_errors
    return f"{kept:,} kept with their trace, {gone:,} not ({errors:,} of them errors)"


def verdict_table(tally: Tally, counts: Counts) -> Group:
    """Draw the verdicts by policy, with what triggered them and the late spans below.

    Args:
        tally: The run's decisions.
        counts: Of the whole run.

    Returns:
        A table that fits 80 columns, and the lines below it.
    """
    table = Table(
        title="Verdicts by policy",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_footer=True,
    )
    spans = sum(verdict.spans for verdict in tally.verdicts.values())
    table.add_column("verdict", "all decided")
    table.add_column("policy", overflow="fold")
    table.add_column("traces", f"{tally.traces:,}", justify="right")
    table.add_column("spans", f"{spans:,}", justify="right")
    table.add_column("share of traces", justify="right")
    for row in verdict_rows(tally):
        colour = _COLOURS[row.decision]
        table.add_row(
            Text(VERDICT_NAMES[row.decision], colour),
            Text(row.policy or "-"),
            f"{row.traces:,}",
            f"{row.spans:,}",
            row.share,
        )
    lines = [f"decided by: {trigger_text(tally)}"]
    if counts.late_sampled or counts.late_not_sampled:
        lines.append(f"late spans: {late_text(counts)}")
    return Group(table, Text("\n".join(lines), "dim"))


def bad_records_table(tally: Tally) -> Table:
    """Draw the first records that could not be read, and how many more there were.

    Args:
        tally: The run's bad records; at least one.

    Returns:
        A table that fits 80 columns.
    """
    total, shown = sum(tally.bad_reasons.values()), len(tally.bad_records)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in tally.bad_reasons.most_common())
    table = Table(
        title=f"Bad records: {total:,} ({reasons})",
        title_justify="left",
        title_style="bold",
        caption=f"and {total - shown:,} more" if total > shown else None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("place", overflow="fold")
    table.add_column("reason", overflow="fold")
    table.add_column("what is wrong", overflow="fold")
    for bad in tally.bad_records:
        table.add_row(*(Text(printable(text)) for text in (bad.place, bad.reason, bad.detail)))
    return table


def conservation_terms(counts: Counts) -> list[tuple[str, int]]:
    """List the right-hand side of the conservation law.

    Args:
        counts: Of one partition or of the whole run.

    Returns:
        What became of the spans, by name, in spans.
    """
    return [
        ("kept", counts.kept),
        ("not sampled", counts.not_sampled),
        ("dropped", counts.dropped),
        ("duplicates", counts.duplicates),
        ("dead-lettered", counts.dead_lettered),
        ("buffered", counts.buffered),
    ]


def conservation_line(counts: Counts) -> str:
    """Write the conservation law with a run's numbers, and whether it holds.

    Args:
        counts: Of one partition or of the whole run.

    Returns:
        One line.
    """
    terms = conservation_terms(counts)
    total = sum(spans for _, spans in terms)
    law = " + ".join(f"{name} {spans:,}" for name, spans in terms)
    astray = counts.spans_in - total
    verdict = "holds" if not astray else f"DOES NOT HOLD, {astray:+,} spans unaccounted for"
    return f"spans in {counts.spans_in:,} = {law}: {verdict}"
