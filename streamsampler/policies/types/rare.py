"""`rare`: keeps the first traces of each shape in every interval, however rare the shape is.

Hot: one step for each distinct shape among the traces that the other policies left open.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final

import numpy as np
from pydantic import BeforeValidator, Field

from streamsampler.policies.durations import NS_PER_MS, format_ms, parse_duration
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.whole_numbers import integral
from streamsampler.policies.votes import (
    NO_THRESHOLD,
    Bools,
    DueTraces,
    Ints64,
    Vote,
    Votes,
    Words,
)

_OVERFLOW: Final = -1
"""The key that all shapes share that did not fit; a shape's own is a word, 0 or more."""

_TENANT_ODD: Final = np.uint64(0x9E3779B97F4A7C15)


def _interval(value: object) -> str:
    if not isinstance(value, str):
        # pydantic makes a problem of a ValueError only
        raise ValueError('expected a duration like "60s" or "5m"')  # noqa: TRY004
    nanoseconds = parse_duration(value)
    if nanoseconds < NS_PER_MS:
        raise ValueError('expected at least "1ms"')
    return format_ms(nanoseconds // NS_PER_MS)


_Interval = Annotated[
    str,
    BeforeValidator(_interval, json_schema_input_type=str),
    Field(description='a duration like "60s" or "5m"'),
]
_Number = Annotated[
    int,
    BeforeValidator(integral),
    Field(ge=1, le=2**31 - 1, description="a whole number, 1 or more"),
]


class RareSettings(Settings):
    """How many traces of each shape, and how often anew.

    A shape is a tenant, a set of calls from service and operation to service and operation, and
    whether there is an error. Each partition of the input keeps its own count of each shape, as a
    trace's partition follows from its id.

    Attributes:
        interval: Of stream time; each begins at a multiple of it.
        traces_per_shape: How many traces are kept of a shape in an interval.
        max_shapes: How many shapes are told apart in an interval; the rest count as one.
        max_traces_per_interval: How many traces are kept in an interval, of the whole group; each
            partition has an equal share, one trace at least. None: no cap.
    """

    interval: _Interval = "60s"
    traces_per_shape: _Number = 1
    max_shapes: _Number = 10_000
    max_traces_per_interval: Annotated[
        _Number | None, Field(description="a whole number, 1 or more")
    ] = None


@dataclass(slots=True)
class Interval:
    """What a partition has seen in the present interval.

    Attributes:
        number: Which, counted from the epoch.
        counts: Traces by key; kept ones, so traces_per_shape at most.
        kept: How many traces were kept.
    """

    number: int = -1
    counts: dict[int, int] = field(default_factory=dict)
    kept: int = 0

    def begin(self, number: int) -> None:
        """Forget what was seen, as another interval has begun."""
        self.number, self.counts, self.kept = number, {}, 0


def _compile(settings: RareSettings, compilation: Compilation) -> Vote:
    intervals = compilation.memory(settings, Interval)
    interval_ms = parse_duration(settings.interval) // NS_PER_MS
    cap = settings.max_traces_per_interval
    share = None if cap is None else max(1, cap // compilation.partitions)

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        n = len(traces)
        sampled = np.zeros(n, np.bool_)
        rows = np.flatnonzero(asked)
        if len(rows):
            keys = traces.shapes(asked).rows["signature"][rows] ^ _tenant_words(traces, rows)
            for partition in np.unique(traces.partition[rows]).tolist():
                mine = np.flatnonzero(traces.partition[rows] == partition)
                state = intervals.of(partition)
                numbers = traces.decided_ms[rows[mine]] // interval_ms
                # A trace that was due before may be decided after: it counts where time stands.
                numbers = np.maximum.accumulate(np.maximum(numbers, state.number))
                for number in np.unique(numbers).tolist():
                    if number > state.number:
                        state.begin(number)
                    now = mine[numbers == number]
                    sampled[rows[now[_kept(keys[now], state, settings, share)]]] = True
        return Votes(sampled, np.full(n, NO_THRESHOLD, np.uint64), np.full(n, np.nan))

    return vote


def _tenant_words(traces: DueTraces, rows: Ints64) -> Words:
    words: Words = traces.tenant[rows].astype(np.uint64) * _TENANT_ODD
    return words


def _kept(keys: Words, state: Interval, settings: RareSettings, share: int | None) -> Ints64:
    """Choose the traces to keep of one partition and interval, and count them.

    Args:
        keys: uint64[m], the traces' shapes, in the order of the traces.
        state: What was seen before; moved on.
        settings: The policy's.
        share: How many traces the partition may keep; None for no cap.

    Returns:
        int64[], which of the m.
    """
    distinct, first, group = np.unique(keys, return_index=True, return_inverse=True)
    found = distinct.tolist()
    for one in np.argsort(first).tolist():
        if found[one] not in state.counts:
            room = len(state.counts) - (_OVERFLOW in state.counts) < settings.max_shapes
            found[one] = found[one] if room else _OVERFLOW
            state.counts.setdefault(found[one], 0)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(found))}
    group = np.array([numbers[key] for key in found], np.int64)[group]
    before = np.array([state.counts[key] for key in numbers], np.int64)
    kept = np.flatnonzero(_rank_in_group(group) + before[group] < settings.traces_per_shape)
    if share is not None:
        kept = kept[: share - state.kept]
    state.kept += len(kept)
    counts = before + np.bincount(group[kept], minlength=len(numbers))
    state.counts.update(zip(numbers, counts.tolist(), strict=True))
    return kept


def _rank_in_group(group: Ints64) -> Ints64:
    """Count, for each, those of its group before it."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], group[order], "left")
    ranks = np.empty(len(group), np.int64)
    ranks[order] = np.arange(len(group)) - starts
    return ranks


def _grounds(settings: RareSettings) -> str:
    count = settings.traces_per_shape
    which = "the first" if count == 1 else f"one of the first {count}"
    return f"{which} of its shape in {settings.interval}"


RARE: Final = PolicyType("rare", RareSettings, _compile, reads_tree=True, grounds=_grounds)
