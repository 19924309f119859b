"""status_code: samples when any span has one of the codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.due_traces import Span, Trace, sampled_by

UNSET, OK, ERROR = 0, 1, 2
NUMBERS = {"UNSET": UNSET, "OK": OK, "ERROR": ERROR}


@pytest.mark.parametrize(
    ("codes", "statuses", "sampled"),
    [
        ("[ERROR]", [UNSET, ERROR, OK], True),
        ("[ERROR]", [UNSET, OK], False),
        ("[OK]", [OK], True),
        ("[OK]", [UNSET], False),
        ("[UNSET]", [UNSET, ERROR], True),
        ("[UNSET]", [OK, ERROR], False),
        ("[OK, ERROR]", [UNSET, OK], True),
        ("[OK, ERROR]", [UNSET], False),
        ("[ERROR, ERROR]", [ERROR], True),
        ("[ERROR]", [3], False),  # a number that OTLP does not name
    ],
)
def test_any_span_with_a_code_samples(codes: str, statuses: list[int], *, sampled: bool) -> None:
    trace = Trace(tuple(Span(status=status) for status in statuses))
    assert sampled_by("status_code", f"{{status_codes: {codes}}}", [trace]) == [sampled]


@given(
    st.sets(st.sampled_from(sorted(NUMBERS)), min_size=1),
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=4), min_size=1, max_size=8),
)
def test_compiled_and_plain_agree(codes: set[str], traces: list[list[int]]) -> None:
    wanted = {NUMBERS[code] for code in codes}
    settings = f"{{status_codes: [{', '.join(sorted(codes))}]}}"
    given_traces = [Trace(tuple(Span(status=s) for s in statuses)) for statuses in traces]
    expected = [any(s in wanted for s in statuses) for statuses in traces]
    assert sampled_by("status_code", settings, given_traces) == expected
