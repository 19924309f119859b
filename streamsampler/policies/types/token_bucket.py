"""Token buckets on stream time: what passes costs tokens, and tokens come back at a rate.

A rate is the group's. Each partition has a bucket of its own, with an equal share of rate and
capacity, or the one that the control plane tells (`policies.demands.LimitShare`). Tokens are
counted in whole parts, so small that a millisecond brings a whole number of them where shares are
equal: no rounding adds up, and a replay decides alike.

Hot: one step of a compiled loop, about 20 ns, for each trace that is asked about.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.estimates.summaries import Summary
from streamsampler.policies.demands import DemandRecord, LimitShare, limit_plan
from streamsampler.policies.policy_type import Compilation
from streamsampler.policies.schema import Settings
from streamsampler.policies.types.partition_rows import rows_by_partition
from streamsampler.policies.votes import NO_THRESHOLD, Bools, DueTraces, Ints64, Vote, Votes
from streamsampler.spans.compiled import kernel

MOST: Final = 10**11
"""Rates and capacities above it are taken as this; counted in parts they still fit a word."""

BURST: Final = 2
"""Capacity by rate, where none is given."""

_MS_PER_SECOND: Final = 1000
_NEVER: Final = -(2**62)
_EXACT: Final = 10**6
_WORD: Final = 2**62


@dataclass(frozen=True, slots=True)
class Rate:
    """What a group may let through.

    Attributes:
        per_second: Tokens that come back, for all partitions together.
        capacity: Tokens of the full buckets of all partitions together.
    """

    per_second: int
    capacity: int

    @classmethod
    def of(cls, per_second: int, burst: int) -> "Rate":
        """Make one of settings.

        Args:
            per_second: Tokens a second.
            burst: The capacity; 0 for twice the rate.
        """
        return cls(min(per_second, MOST), min(burst or BURST * per_second, MOST))

    def fine(self, partitions: int) -> int:
        """Tell how finely a token is to be cut, so that a partition's share of the rate is exact.

        Args:
            partitions: How many share it.

        Returns:
            So large that a millisecond brings a million parts, or as large as a word allows.
        """
        whole = max(1, self.capacity) * _MS_PER_SECOND * partitions
        return max(1, min(_EXACT // max(1, self.per_second), _WORD // whole))


@dataclass(slots=True)
class Bucket:
    """One partition's bucket.

    Attributes:
        level: int64[2], parts of tokens that it has, and the time of that, ms.
        share: Its share of the group's.
    """

    level: Ints64
    share: LimitShare

    def tell(self, partition: int, before: int | None, part: int) -> Iterator[Summary]:
        """Tell what was asked for; `policies.demands.Asking` says how."""
        return self.share.tell(partition, before, part)


@kernel
def spend(
    bucket: Ints64,
    times: Ints64,
    costs: Ints64,
    per_ms: int,
    full: int,
    largest: int,
    passed: Bools,
) -> None:
    """Let traces pass while there are tokens for them, one after the other.

    A trace passes whole or not at all. It also passes a full bucket that is smaller than it,
    which then owes the rest. Time never runs backwards in a bucket.

    Args:
        bucket: int64[2], parts of tokens that it has, and the time of that, ms; changed.
        times: int64[m], stream time, ms.
        costs: int64[m], parts.
        per_ms: Parts that come back in a millisecond.
        full: Parts that it has at most.
        largest: Parts that a trace may cost at all.
        passed: bool[m], written.
    """
    level, last = bucket[0], bucket[1]
    for row in range(len(costs)):
        elapsed = times[row] - last
        if elapsed > 0:
            last = times[row]
            missing = full - level
            if per_ms > 0:
                # the product of a long time and a high rate does not fit a word
                level = full if elapsed > missing // per_ms else level + elapsed * per_ms
        cost = costs[row]
        passed[row] = cost <= largest and (cost <= level or level == full)
        if passed[row]:
            level -= cost
    bucket[0], bucket[1] = level, last


def vote_within(
    rate: Rate,
    unit: str,
    cost: Callable[[DueTraces], Ints64],
    settings: Settings,
    compilation: Compilation,
) -> Vote:
    """Vote for traces as long as a rate allows.

    With one partition this is the Collector's limiter. With several, a trace that costs more than
    a partition's share of the capacity passes when that partition's bucket is full; so in any T
    seconds at most rate * T and, for each partition, the larger of its share of the capacity and
    its largest trace pass, as long as shares stay as they are. What costs more than the whole
    capacity never passes.

    Args:
        rate: The group's.
        unit: What a token is, `spans` or `bytes`.
        cost: Tells int64[n], what each trace costs.
        settings: The policy's.
        compilation: Remembers the buckets.

    Returns:
        A vote that nobody knows the chance of.
    """
    plan = limit_plan(compilation.path, unit, rate.per_second, compilation.partitions)
    fine = rate.fine(compilation.partitions)
    parts = _MS_PER_SECOND * compilation.partitions * fine  # of a token
    per_ms, full = rate.per_second * fine, rate.capacity * _MS_PER_SECOND * fine
    largest = rate.capacity * parts
    buckets = compilation.memory(
        settings,
        lambda: Bucket(np.array([full, _NEVER], np.int64), LimitShare(DemandRecord(plan))),
    )
    nothing = np.zeros(0, np.int64)
    # Compiled now, so that no trace waits for it.
    spend(np.zeros(2, np.int64), nothing, nothing, per_ms, full, largest, nothing > 0)

    def vote(traces: DueTraces, asked: Bools) -> Votes:
        n = len(traces)
        sampled = np.zeros(n, np.bool_)
        whole = cost(traces)
        costs = np.minimum(whole, rate.capacity + 1) * parts
        table = compilation.rates.find(plan, traces.decided_ms[asked])
        for partition, rows in rows_by_partition(traces, asked):
            bucket, times = buckets.of(partition), traces.decided_ms[rows]
            bucket.share.note(times, np.where(whole[rows] > rate.capacity, 0, whole[rows]))
            shares = bucket.share.equal_shares(table, partition)
            passed = np.empty(len(rows), np.bool_)
            spend(
                bucket.level, times, costs[rows], int(per_ms * shares), int(full * shares),
                largest, passed,
            )  # fmt: skip
            sampled[rows] = passed
        return Votes(sampled, np.full(n, NO_THRESHOLD, np.uint64))

    return vote
