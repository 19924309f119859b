"""span_count: samples by the number of spans, both bounds inclusive."""

import pytest

from tests.conformance.due_traces import Span, Trace, sampled_by

TRACES = [Trace((Span(),) * count) for count in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("settings", "sampled"),
    [
        ("{min_spans: 3}", "nnyyy"),
        ("{min_spans: 3, max_spans: 4}", "nnyyn"),
        ("{min_spans: 3, max_spans: 3}", "nnynn"),
        ("{max_spans: 2}", "yynnn"),
        ("{min_spans: 3, max_spans: 0}", "nnyyy"),
        ("{min_spans: 4, max_spans: 2}", "nnnnn"),
        ("{min_spans: 0}", "yyyyy"),
        ("{min_spans: 9223372036854775807}", "nnnnn"),
        ("{min_spans: 2.0}", "nyyyy"),
    ],
)
def test_bounds(settings: str, sampled: str) -> None:
    assert sampled_by("span_count", settings, TRACES) == [s == "y" for s in sampled]
