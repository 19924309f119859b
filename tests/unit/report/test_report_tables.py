"""The tables and the conservation line, as they read at 80 columns."""

import io

import pytest
from rich.console import Console, RenderableType

from streamsampler.outcome import Counts, Decision
from streamsampler.report.tables import bad_records_table, conservation_line, verdict_table
from streamsampler.report.tally import BadRecord, tally_of


def drawn(renderable: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def decision(verdict: str, policy: str | None, trigger: str = "complete") -> Decision:
    return Decision(
        0, bytes(16), verdict, policy, trigger, None, None, 4, 900, 0, None, False, 0, 0, "0" * 12
    )


COUNTS = Counts(records=20, spans_in=24, kept=12, not_sampled=8, dropped=4)


def test_the_verdict_table_names_each_verdict_and_policy_with_its_share() -> None:
    tally = tally_of(
        [
            decision("sampled", "errors"),
            decision("sampled", "errors", "timeout"),
            decision("sampled", "baseline"),
            decision("dropped", "noise"),
            decision("not_sampled", None),
            decision("not_sampled", None),
        ]
    )

    lines = drawn(verdict_table(tally, COUNTS)).splitlines()

    rows = [line.split() for line in lines if line.strip()]
    assert ["sampled", "errors", "2", "8", "33.3", "%"] in rows
    assert ["sampled", "baseline", "1", "4", "16.7", "%"] in rows
    assert ["not", "sampled", "-", "2", "8", "33.3", "%"] in rows
    assert ["dropped", "noise", "1", "4", "16.7", "%"] in rows
    assert ["all", "decided", "6", "24"] in rows
    assert "decided by: complete 5, timeout 1, limit 0, shutdown 0" in [s.strip() for s in lines]


def test_late_spans_are_told_of_where_there_are_any() -> None:
    tally = tally_of([decision("sampled", "errors")])
    late = Counts(spans_in=9, kept=6, not_sampled=3, late_sampled=2, late_not_sampled=3)
    late.late_errors = 1

    assert "late spans" not in drawn(verdict_table(tally, COUNTS))
    assert "late spans: 2 kept with their trace, 3 not (1 of them errors)" in drawn(
        verdict_table(tally, late)
    )


def test_a_run_without_traces_has_a_table_too() -> None:
    assert "all decided" in drawn(verdict_table(tally_of([]), Counts()))


def test_a_policy_s_name_is_text_and_no_markup() -> None:
    table = verdict_table(tally_of([decision("sampled", "[red]\x1b[2J[/]")]), COUNTS)
    assert "[red]�[2J[/]" in drawn(table)


@pytest.mark.parametrize("width", [80, 60])
def test_a_long_policy_name_is_folded_and_not_cut(width: int) -> None:
    name = "keep-everything-of-the-checkout-service-" * 3
    text = drawn(verdict_table(tally_of([decision("sampled", name)]), COUNTS), width)
    assert max(map(len, text.splitlines())) <= width
    rows = text.split("all decided")[0].splitlines()[4:]
    assert name in "".join(word for row in rows for word in row.split() if "-" in word)


def test_the_conservation_line_is_the_law_with_the_numbers() -> None:
    counts = Counts(
        spans_in=12_345, kept=10_000, not_sampled=2_000, dropped=300, duplicates=40,
        dead_lettered=4, buffered=1,
    )  # fmt: skip
    assert counts.conserved()
    assert conservation_line(counts) == (
        "spans in 12,345 = kept 10,000 + not sampled 2,000 + dropped 300 + duplicates 40"
        " + dead-lettered 4 + buffered 1: holds"
    )


@pytest.mark.parametrize(("kept", "said"), [(7, "+3 spans"), (13, "-3 spans")])
def test_the_conservation_line_says_by_how_much_the_law_is_broken(kept: int, said: str) -> None:
    line = conservation_line(Counts(spans_in=10, kept=kept))
    assert line.endswith(f": DOES NOT HOLD, {said} unaccounted for")


def test_bad_records_are_listed_with_their_place_and_the_rest_is_counted() -> None:
    tally = tally_of([])
    for line in range(1, 8):
        tally.refused(BadRecord(f"in.jsonl:{line}", "bad_json", "No JSON; write one a line."))

    text = drawn(bad_records_table(tally))

    assert "Bad records: 7 (bad_json 7)" in text
    assert "in.jsonl:5" in text
    assert "in.jsonl:6" not in text
    assert "and 2 more" in text
