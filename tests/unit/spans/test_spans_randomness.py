"""R and T of a tracestate against their plain twins.

Source: OpenTelemetry specification, tracestate handling: the value of the `ot` member is a list
of key:value joined by semicolons; `rv` has fourteen hexadecimal digits, in lower case, and `th`
one to fourteen.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.estimates.threshold import decode, parse_randomness
from streamsampler.spans.columns import SPAN
from streamsampler.spans.randomness import NO_RANDOMNESS, read_randomness
from streamsampler.spans.trace_context import read_ot

RV = "8201e273ab4876"
R = int(RV, 16)


def columns(states: list[bytes], before: bytes) -> tuple[list[int], list[int]]:
    """R and T of each tracestate; they stand in one buffer, directly one after the other."""
    spans = np.zeros(len(states), SPAN)
    buffer = before
    for row, state in enumerate(states):
        spans[row]["state_at"], spans[row]["state_size"] = len(buffer), len(state)
        buffer += state
    randomness, incoming = np.zeros((2, len(states)), np.uint64)
    read_randomness(np.frombuffer(buffer, np.uint8), spans, randomness, incoming)
    return randomness.tolist(), incoming.tolist()


def read(states: list[bytes], before: bytes = b"rv:00000000000001") -> list[int | None]:
    randomness, _ = columns(states, before)
    return [None if one == NO_RANDOMNESS else one for one in randomness]


def thresholds(states: list[bytes], before: bytes = b"ot=th:1") -> list[int]:
    _, incoming = columns(states, before)
    return incoming


def twin(state: bytes) -> int | None:
    for member in state.split(b","):
        key, equals, value = member.strip(b" \t").partition(b"=")
        if key != b"ot" or not equals:
            continue
        for pair in value.split(b";"):
            name, colon, digits = pair.partition(b":")
            if name == b"rv" and colon:
                sound = len(digits) == 14 and all(byte in b"0123456789abcdef" for byte in digits)
                return int(digits, 16) if sound else None
        return None
    return None


def as_written(state: bytes) -> int | None:
    """R as it is handed on with a kept span."""
    digits = read_ot(state).randomness
    return None if digits is None else parse_randomness(digits)


def threshold_as_written(state: bytes) -> int:
    """T as it is handed on with a kept span."""
    digits = read_ot(state).threshold
    return 0 if digits is None else decode(digits)


TABLE = [
    ("", None),
    (f"ot=rv:{RV}", R),
    (f"ot=th:8;rv:{RV}", R),
    (f"ot=rv:{RV};th:8", R),
    (f"ot=rv:{RV};", R),
    (f"ot=a:b;c:d;rv:{RV};e:f", R),
    (f"vendor=x,ot=rv:{RV},other=y", R),
    (f" \tot=rv:{RV} \t,b=c", R),
    (f"a=b , ot=th:0;rv:{RV}", R),
    (f",,ot=rv:{RV},", R),
    ("ot=rv:00000000000000", 0),
    ("ot=rv:ffffffffffffff", 2**56 - 1),
    # Another member's, or another key's.
    (f"rv:{RV}", None),
    (f"vendor=rv:{RV}", None),
    (f"xot=rv:{RV}", None),
    (f"ott=rv:{RV}", None),
    (f"OT=rv:{RV}", None),
    (f"t@ot=rv:{RV}", None),
    (f"ot=xrv:{RV}", None),
    (f"ot=rvv:{RV}", None),
    (f"ot=rv={RV}", None),
    (f"ot=th:rv:{RV}", None),
    # Of several the first counts, also where it is worth nothing.
    (f"ot=th:8,ot=rv:{RV}", None),
    (f"ot=rv:{RV},ot=rv:00000000000001", R),
    (f"ot=rv:{RV};rv:00000000000001", R),
    (f"ot=rv:0;rv:{RV}", None),
    # Other than fourteen digits.
    ("ot=rv:", None),
    ("ot=rv", None),
    ("ot=", None),
    ("ot", None),
    (f"ot=rv:{RV[1:]}", None),
    (f"ot=rv:{RV}0", None),
    (f"ot=rv:{RV[1:]};0", None),
    (f"ot=rv:{RV[1:]}g", None),
    (f"ot=rv:0x{RV[2:]}", None),
    (f"ot=rv:-{RV[1:]}", None),
    (f"ot=rv: {RV[1:]}", None),
    (f"ot=rv:{RV[1:]},0", None),
    (f"ot=rv:{RV[:6]}:{RV[7:]}", None),
    (f"ot=rv:{RV[:13]}`", None),
    (f"ot=rv:{RV.upper()}", None),
    # What else is in the member does not matter.
    (f"ot=X:?;rv:{RV}", R),
    (f"ot=x;rv:{RV}", R),
    (f"ot=rv:{RV};x:{'y' * 300}", R),
    (f"ot,ot=rv:{RV}", R),
]


@pytest.mark.parametrize(("state", "expected"), TABLE)
def test_rules(state: str, expected: int | None) -> None:
    assert read([state.encode()]) == [expected]
    assert twin(state.encode()) == expected
    assert as_written(state.encode()) == expected


HALF = 2**55
THRESHOLDS = [
    ("", 0),
    ("ot=th:8", HALF),
    ("ot=th:0", 0),
    ("ot=th:08", 2**51),
    ("ot=th:80000000000000", HALF),
    ("ot=th:ffffffffffffff", 2**56 - 1),
    (f"ot=th:8;rv:{RV}", HALF),
    (f"ot=rv:{RV};th:8", HALF),
    ("ot=rv:1;th:8;", HALF),
    (" a=b ,\tot=a:b;th:8 ,c=d", HALF),
    ("ot=th:8;th:c", HALF),
    ("ot=th;th:8", HALF),
    ("ot=th:8,ot=th:c", HALF),
    ("ot=rv:1,ot=th:c", 0),
    ("ot=th:;th:8", 0),
    ("ot=th:", 0),
    ("ot=th:800000000000000", 0),
    ("ot=th:8 ;a:b", 0),
    ("ot=th:C", 0),
    ("ot=th:8:9", 0),
    ("ot=xth:8", 0),
    ("ot=rv:th:8", 0),
    ("th:8", 0),
    ("a=th:8", 0),
    ("oth=th:8", 0),
]


@pytest.mark.parametrize(("state", "expected"), THRESHOLDS)
def test_thresholds(state: str, expected: int) -> None:
    assert thresholds([state.encode()]) == [expected]
    assert threshold_as_written(state.encode()) == expected


def test_spans_of_a_batch_do_not_see_each_other() -> None:
    states = [state.encode() for state, _ in TABLE]
    assert read(states) == [expected for _, expected in TABLE]
    # Cut in the middle: the digits that are missing stand behind, in the next one's bytes.
    assert read([f"ot=rv:{RV[:7]}".encode(), f"{RV[7:]}".encode()]) == [None, None]
    assert read([b"o", b"t=rv:", RV.encode()]) == [None] * 3


def test_a_span_without_a_tracestate_states_nothing() -> None:
    assert read([]) == []
    assert read([b""], before=b"") == [None]
    assert thresholds([b""], before=b"") == [0]


PIECES = st.sampled_from(
    [
        "ot=",
        "rv:",
        "th:",
        RV,
        "ffffffffffffff",
        "th:8",
        ";",
        ",",
        " ",
        "\t",
        "=",
        ":",
        "a",
        "0",
        "F",
        "ot",
    ]
)


@given(st.lists(st.lists(PIECES, max_size=9).map("".join), max_size=4))
def test_any_tracestate_reads_as_its_twin_does(texts: list[str]) -> None:
    states = [text.encode() for text in texts]
    assert read(states) == [twin(state) for state in states]
    assert read(states) == [as_written(state) for state in states]
    assert thresholds(states) == [threshold_as_written(state) for state in states]


@given(st.binary(max_size=40))
def test_any_bytes_read_as_the_twin_does(state: bytes) -> None:
    for whole in (state, b"ot=" + state, b"ot=rv:" + state, state + b",ot=rv:" + RV.encode()):
        assert read([whole]) == [twin(whole)] == [as_written(whole)]
    for whole in (state, b"ot=" + state, b"ot=th:" + state, state + b",ot=th:8"):
        assert thresholds([whole]) == [threshold_as_written(whole)]
