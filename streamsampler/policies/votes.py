"""What a policy is asked and what it answers, as columns over all traces that are due."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamsampler.estimates import NO_THRESHOLD

if TYPE_CHECKING:
    from streamsampler.traces.shapes import Shapes

__all__ = ["NO_THRESHOLD", "DueTraces", "EvaluationError", "Vote", "Votes"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints32 = npt.NDArray[np.int32]
Ints64 = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Texts = npt.NDArray[np.object_]


class EvaluationError(Exception):
    """A policy cannot evaluate these traces; it is counted and skipped for them."""


ReadShapes = Callable[[Bools], "Shapes"]
"""Tells the shapes of the traces marked in bool[n], as columns of n rows."""


def no_shapes(_asked: Bools) -> "Shapes":
    """Stand in where spans cannot be read.

    Raises:
        EvaluationError: Always.
    """
    raise EvaluationError("nobody has read these traces' spans")


@dataclass(frozen=True, slots=True)
class DueTraces:
    """The traces to decide, one row each; all columns have n rows.

    Attributes:
        id_hi: The first eight bytes of the trace id, big-endian.
        id_lo: The last eight bytes of the trace id, big-endian.
        duration_ns: Largest end minus smallest start over the whole trace, nanoseconds.
        spans: Number of spans.
        size_bytes: Bytes of its records.
        matched: Bit k is set where a span of the trace, or its resource, met predicate k.
        tenant: Number of its tenant; 0 where it has none.
        group: Number of its group (`policies.groups`).
        randomness: R, 56 bits.
        incoming: T of the sampling before this one, 0 where there was none.
        partition: Partition of the input topic.
        decided_ms: Stream time of the decision, milliseconds.
        shapes: Reads the spans of the traces asked for and tells the shapes of their trees,
            columns of n rows, filled in where asked. Costly: a policy that needs it is asked last.
    """

    id_hi: Words
    id_lo: Words
    duration_ns: Ints64
    spans: Ints64
    size_bytes: Ints64
    matched: Words
    tenant: Ints32
    group: Ints32
    randomness: Words
    incoming: Words
    partition: Ints32
    decided_ms: Ints64
    shapes: ReadShapes = no_shapes

    def __len__(self) -> int:
        return len(self.id_hi)

    def has(self, bit: int) -> Bools:
        """Which traces met a predicate.

        Args:
            bit: The predicate's bit, 0 to 63.

        Returns:
            bool[n].
        """
        found: Bools = (self.matched & np.uint64(1 << bit)) != 0
        return found


@dataclass(frozen=True, slots=True)
class Votes:
    """One policy's answer.

    Attributes:
        sampled: bool[n].
        threshold: uint64[n], T for the rows sampled, NO_THRESHOLD where no probability can be
            given; None stands for T = 0 on all: the policy keeps whatever it matches.
        adjusted: float64[n], how many traces a sampled one stands for where that is known
            without a threshold, else NaN; None where it is known nowhere.
        failed: bool[n], traces that the policy could not evaluate: it is counted and skipped for
            them; None: there are none.
        measured: object[n], for a sampled trace in a few words what it was held against, where
            that was measured and stands in no setting, else None; None: it is so nowhere.
    """

    sampled: Bools
    threshold: Words | None = None
    adjusted: Floats | None = None
    failed: Bools | None = None
    measured: Texts | None = None


Vote = Callable[[DueTraces, Bools], Votes]
"""Answers for the traces marked in bool[n]; what it says of others is not looked at.

What has a limited supply is spent on marked traces only.
"""
