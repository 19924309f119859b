"""How large things may get, and what the fold is told of it."""

from dataclasses import dataclass

import numpy as np

from streamsampler.policies import PolicySet
from streamsampler.spans.columns import Int64s


@dataclass(frozen=True, slots=True)
class Limits:
    """How large things may get.

    Attributes:
        spans_per_trace: A trace with so many spans is decided at once, trigger "limit".
        bytes_per_trace: Likewise for so many bytes.
        block_bytes: A block is full when it holds so many bytes of records.
        max_record_bytes: The largest value of an emission; a larger trace comes in several.
        decisions: How many past decisions a partition remembers. While there are more within
            the time they are remembered for, which one a late span still finds depends on where
            batches end; those that had to make room are counted.
        spans_out: How many spans of sampled traces, which are out, a partition remembers, so that
            a copy stays in; 30 bytes each, as far as there are any.
        buffered_spans: How many spans may be buffered, of all partitions together. Beyond it the
            oldest traces of the fullest partition are decided at once, trigger "limit".
        buffered_bytes: Likewise for so many bytes.
    """

    spans_per_trace: int = 50_000
    bytes_per_trace: int = 64 << 20
    block_bytes: int = 256 << 10
    max_record_bytes: int = 950_000
    decisions: int = 1_000_000
    spans_out: int = 1_000_000
    buffered_spans: int = 20_000_000
    buffered_bytes: int = 16 << 30


def fold_settings(policies: PolicySet, limits: Limits, resumed_at: int) -> Int64s:
    """Write down what the fold is told.

    Args:
        policies: The set in force.
        limits: How large a trace may get.
        resumed_at: The offset behind the last record that an earlier owner took in.

    Returns:
        int64[fold.SETTINGS], in the order that `traces.fold` names.
    """
    return np.array(
        [
            policies.decision_wait_ms,
            policies.completion_grace_ms,
            limits.spans_per_trace,
            limits.bytes_per_trace,
            resumed_at,
            policies.decision_ttl_ms,
            0,
        ],
        np.int64,
    )
