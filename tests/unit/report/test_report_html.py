"""The page of a replay: what it tells, that it loads nothing, and that foreign text stays text."""

import re
from html.parser import HTMLParser

import pytest

from streamsampler.outcome import Counts, Decision
from streamsampler.report.examples import Example
from streamsampler.report.html import Run, report_page
from streamsampler.report.readable import printable
from streamsampler.report.spans import ShownSpan
from streamsampler.report.tally import BadRecord, tally_of

MS = 1_000_000
HOSTILE = "<script>alert('x')</script>\x1b\"&"


class Page(HTMLParser):
    """The page's elements, and its visible words."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.extend(data.split())

    @property
    def text(self) -> str:
        return " ".join(self.words)


def decision(number: int, verdict: str = "sampled", policy: str | None = "errors") -> Decision:
    return Decision(
        partition=0,
        trace_id=number.to_bytes(16, "big"),
        decision=verdict,
        policy=policy,
        trigger="complete",
        threshold=None,
        adjusted_count=1.0,
        spans=2,
        size_bytes=900,
        duration_ns=250 * MS,
        tenant=HOSTILE,
        error=True,
        decided_at_ms=0,
        first_offset=0,
        policy_version="0123456789ab",
    )


def run(*, conserved: bool = True, spans: int = 2) -> Run:
    tally = tally_of([decision(1), decision(2, "not_sampled", None), decision(3, policy=HOSTILE)])
    tally.refused(BadRecord(f"{HOSTILE}:3", "bad_json", HOSTILE))
    drawn = [
        ShownSpan(
            span_id=n.to_bytes(8, "big"),
            parent_id=(n - 1).to_bytes(8, "big") if n > 1 else b"",
            kind=1,
            start_ns=n * MS,
            end_ns=250 * MS,
            service=printable(HOSTILE),
            name=printable(f"{HOSTILE}{n}"),
            error=n == spans,
            message="card refused",
        )
        for n in range(1, spans + 1)
    ]
    return Run(
        inputs=["traces.jsonl.gz"],
        policies=HOSTILE,
        policy_version="0123456789ab",
        tally=tally,
        counts=Counts(records=9, spans_in=6, kept=4, not_sampled=2, late_sampled=1),
        conserved=conserved,
        examples=[Example(decision(1), drawn)],
    )


def test_the_page_tells_the_summary_the_law_the_verdicts_and_the_traces() -> None:
    text = Page(report_page(run())).text
    for said in (
        "traces decided 3 from 9 records",
        "spans kept 4 66.7 %",
        "spans in 6 = kept 4 + not sampled 2 + dropped 0",
        "dead-lettered 0 + buffered 0: holds.",
        "sampled errors 1 2 33.3 %",
        "not sampled - 1 2 33.3 %",
        "Decided by: complete 3, timeout 0, limit 0, shutdown 0.",
        "Late spans: 1 kept with their trace",
        "< 316 ms 2 of 3",
        "00000000000000000000000000000002 not sampled ! - complete 2 250 ms",
        "errors, 2 spans, 249 ms, 1 error",
        "card refused",
        "version 0123456789ab",
    ):
        assert said in text


def test_a_broken_law_stands_out() -> None:
    assert "does not hold on every partition" not in report_page(run())
    page = Page(report_page(run(conserved=False)))
    assert "does not hold on every partition" in page.text
    assert ("div", {"class": "law broken"}) in page.elements


def test_foreign_text_stays_text() -> None:
    html = report_page(run())
    assert "\x1b" not in html
    assert "<script" not in html
    assert HOSTILE.replace("\x1b", "�") in Page(html).text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = Page(report_page(run()))
    assert page.open == []
    loading = {"src", "href", "srcset", "action", "data", "poster", "background"}
    assert not [attrs for _, attrs in page.elements if loading & attrs.keys()]
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert not re.search(r"url\(|@import|https?://", report_page(run()))
    assert {"default-src 'none'; style-src 'unsafe-inline'"} == {
        attrs["content"] for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs
    }


def test_the_page_fits_a_phone_and_follows_the_reader_s_light_or_dark() -> None:
    html = report_page(run())
    assert 'content="width=device-width, initial-scale=1"' in html
    assert "@media (max-width: 40rem)" in html
    assert "@media (prefers-color-scheme: dark)" in html


def test_bars_stay_within_their_lane() -> None:
    styles = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", report_page(run(spans=50)))
    assert len(styles) == 50
    assert all(float(left) + float(width) <= 100.001 for left, width in styles)


@pytest.mark.parametrize(("spans", "drawn"), [(200, 200), (450, 200)])
def test_only_so_many_spans_of_a_trace_are_drawn(spans: int, drawn: int) -> None:
    page = Page(report_page(run(spans=spans)))
    assert sum(attrs.get("class") == "lane" for _, attrs in page.elements) == drawn
    assert (f"and {spans - drawn} more spans" in page.text) == (spans > drawn)


def test_the_same_run_gives_the_same_page() -> None:
    assert report_page(run()) == report_page(run())


def test_a_run_without_anything_has_a_page_too() -> None:
    empty = Run([], "p.yaml", "0" * 12, tally_of([]), Counts(), conserved=True, examples=[])
    assert "spans in 0 = kept 0" in Page(report_page(empty)).text
