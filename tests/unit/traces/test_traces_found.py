"""What the memory of past decisions promises."""

import numpy as np
import pytest

from streamsampler.traces.decided import NOT_SAMPLED, SAMPLED, DecidedTraces, PastDecision


def remember(decided: DecidedTraces, trace: int, verdict: int) -> None:
    one = np.array([trace], np.uint64)
    decided.remember(one, one, np.array([5], np.int64), np.array([verdict], np.uint8))


def verdicts(decided: DecidedTraces) -> dict[int, int]:
    held = decided.rows[: len(decided)]
    return dict(zip(held["id_hi"].tolist(), held["verdict"].tolist(), strict=True))


def test_a_known_trace_takes_no_room_in_a_full_memory() -> None:
    decided = DecidedTraces(2)
    remember(decided, 1, SAMPLED)
    remember(decided, 2, SAMPLED)
    remember(decided, 2, NOT_SAMPLED)
    assert decided.forgotten_early == 0
    assert len(decided) == 2
    remember(decided, 1, NOT_SAMPLED)
    assert verdicts(decided) == {1: SAMPLED, 2: SAMPLED}


def test_a_decision_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="perhaps"):
        DecidedTraces(2).restore([PastDecision(bytes(15) + b"\x01", "perhaps", None, 0)])
