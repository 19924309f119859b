"""Trace and span ids as hexadecimal digits."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.identifiers import (
    IdentifierError,
    span_id_from_hex,
    span_id_to_hex,
    trace_id_from_hex,
    trace_id_to_hex,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@given(st.binary(min_size=16, max_size=16).filter(any))
def test_a_trace_id_survives_the_way_to_digits_and_back(trace_id: bytes) -> None:
    text = trace_id_to_hex(trace_id)

    assert trace_id_from_hex(text) == trace_id_from_hex(text.upper()) == trace_id


@given(st.binary(min_size=8, max_size=8).filter(any))
def test_a_span_id_survives_the_way_to_digits_and_back(span_id: bytes) -> None:
    assert span_id_from_hex(span_id_to_hex(span_id)) == span_id


def test_digits_are_written_in_lower_case() -> None:
    assert trace_id_to_hex(bytes.fromhex(TRACE)) == TRACE
    assert span_id_to_hex(b"\xab" * 8) == "ab" * 8


@pytest.mark.parametrize(
    ("read", "text", "sentence"),
    [
        (trace_id_from_hex, "", "The trace id '' has 0 hexadecimal digits; write 32."),
        (
            trace_id_from_hex,
            TRACE[:-1],
            f"The trace id '{TRACE[:-1]}' has 31 hexadecimal digits; write 32.",
        ),
        (
            span_id_from_hex,
            TRACE,
            f"The span id '{TRACE}' has 32 hexadecimal digits; write 16.",
        ),
        (
            span_id_from_hex,
            "00f067aa0ba902bg",
            (
                "The span id '00f067aa0ba902bg' has 'g' in it; "
                "write 16 hexadecimal digits, 0 to 9 and a to f."
            ),
        ),
        (
            trace_id_from_hex,
            "0" * 32,
            "The trace id is all zeros, which stands for none; give a real one.",
        ),
        (
            span_id_from_hex,
            "0" * 16,
            "The span id is all zeros, which stands for none; give a real one.",
        ),
        (
            trace_id_from_hex,
            "f" * 60,
            f"The trace id '{'f' * 48}...' has 60 hexadecimal digits; write 32.",
        ),
    ],
)
def test_what_is_wrong_is_said(read: Callable[[str], bytes], text: str, sentence: str) -> None:
    with pytest.raises(IdentifierError) as raised:
        read(text)

    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    "text", ["\u0661" * 32, " " + TRACE[1:], TRACE[:30] + "\n" * 2, "0x" + TRACE[2:]]
)
def test_only_ascii_digits_count(text: str) -> None:
    with pytest.raises(IdentifierError, match=r"has '.+' in it"):
        trace_id_from_hex(text)


@pytest.mark.parametrize(("write", "size"), [(trace_id_to_hex, 8), (span_id_to_hex, 16)])
def test_bytes_of_another_length_are_no_id(write: Callable[[bytes], str], size: int) -> None:
    with pytest.raises(IdentifierError, match=f"has {size} bytes"):
        write(b"\x01" * size)
