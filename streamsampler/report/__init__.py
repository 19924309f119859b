"""Views of results: verdict tables, the conservation line, waterfalls, in a terminal and in HTML.

What comes in is plain data (decisions, counts, spans of kept traces), what goes out is text or
something that rich can draw. No file, no topic and no clock is touched here, and nothing that a
span carries is trusted: names come from strangers and go through `readable.printable` first.
"""

from streamsampler.report.readable import duration_text
from streamsampler.report.spans import ShownSpan, spans_shown
from streamsampler.report.tables import bad_records_table, conservation_line, verdict_table
from streamsampler.report.tally import BadRecord, Tally
from streamsampler.report.waterfall import Waterfall

__all__ = [
    "BadRecord",
    "ShownSpan",
    "Tally",
    "Waterfall",
    "bad_records_table",
    "conservation_line",
    "duration_text",
    "spans_shown",
    "verdict_table",
]
