"""Past decisions: since when they matter, and how they are read."""

import pytest

from streamsampler.kafka.readback import oldest_needed, past_decision
from streamsampler.sampler import Checkpoint, Decision, PastDecision

TRACE = bytes(range(16))
DECIDED = Decision(
    2, TRACE, "dropped", "noise", "timeout", None, None, 3, 900, 5, None, False, 1_234, 7, "abc",
    b"12345678",
)  # fmt: skip


@pytest.mark.parametrize(
    ("stream_time_ms", "since_ms"), [(-1, 0), (500, 0), (600_000, 0), (1_000_000, 400_000)]
)
def test_decisions_matter_for_their_time_to_live(stream_time_ms: int, since_ms: int) -> None:
    assert oldest_needed(Checkpoint(5, 9, stream_time_ms), 600_000) == since_ms


def test_of_a_decision_what_steers_spans_is_remembered() -> None:
    assert past_decision(2, TRACE, DECIDED.pack()) == PastDecision(
        TRACE, "dropped", "noise", 1_234, b"12345678"
    )


@pytest.mark.parametrize("key", [None, b"", TRACE.hex().encode()])
def test_a_key_that_is_no_trace_id_is_refused(key: bytes | None) -> None:
    with pytest.raises(ValueError, match="no trace id"):
        past_decision(2, key, DECIDED.pack())


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x01"])
def test_a_value_that_is_no_decision_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"decision|incomplete"):
        past_decision(2, TRACE, value)
