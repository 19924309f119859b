"""Shares of a second on stream time: so much passes in each, and what is left over is gone.

A share is the group's. Each partition has an equal part of it, or the one that the control plane
tells, counted in millionths of a span.

Hot: one step of a compiled loop, about 20 ns, for each trace that is asked about.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from streamsampler.policies.votes import Bools, Ints64
from streamsampler.spans.compiled import kernel

MOST: Final = 10**11
"""Shares above it, in spans, are taken as this; counted in parts they still fit a word."""

_PARTS: Final = 10**6
_MS_PER_SECOND: Final = 1000
_NEVER: Final = -(2**62)


@kernel
def spend_share(
    account: Ints64, seconds: Ints64, costs: Ints64, share: int, largest: int, passed: Bools
) -> None:
    """Let traces pass while the share of their second is not spent, one after the other.

    A trace passes whole or not at all. One that is larger than the share passes when nothing has
    been spent; the rest is owed by the seconds to come. Time never runs backwards.

    Args:
        account: int64[2], parts spent, and the second in which; changed.
        seconds: int64[m], stream time, s.
        costs: int64[m], parts.
        share: Parts for each second.
        largest: Parts that a trace may cost at all.
        passed: bool[m], written.
    """
    spent, second = account[0], account[1]
    for row in range(len(costs)):
        elapsed = seconds[row] - second
        if elapsed > 0:
            second = seconds[row]
            if spent > 0 and share > 0:
                spent = 0 if elapsed > spent // share else max(0, spent - elapsed * share)
        cost = costs[row]
        passed[row] = cost <= largest and (spent + cost <= share or spent == 0)
        if passed[row]:
            spent += cost
    account[0], account[1] = spent, second


@dataclass(frozen=True, slots=True)
class SecondShare:
    """What one policy may let through in each second.

    Attributes:
        spans: For all partitions together.
        partitions: How many they are.
    """

    spans: Fraction
    partitions: int

    def begin(self) -> Ints64:
        """An account of which nothing has been spent."""
        return np.array([0, _NEVER], np.int64)

    def spend(
        self, account: Ints64, times: Ints64, spans: Ints64, equal_shares: float = 1
    ) -> Bools:
        """Let traces of one partition pass while there is something left for them.

        Args:
            account: The partition's; changed.
            times: int64[m], stream time, ms.
            spans: int64[m], how many spans each trace has.
            equal_shares: How many equal parts the partition has.

        Returns:
            bool[m], which pass.
        """
        group = self.spans if self.spans < MOST else Fraction(MOST)
        most, share = int(group), int(group * _PARTS / self.partitions * equal_shares)
        passed = np.empty(len(spans), np.bool_)
        costs = np.minimum(spans, most + 1) * _PARTS
        spend_share(account, times // _MS_PER_SECOND, costs, share, most * _PARTS, passed)
        return passed
