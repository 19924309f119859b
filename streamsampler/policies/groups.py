"""Numbers for groups of traces: those of one tenant that began with one operation."""

from typing import Final

import numpy as np

from streamsampler.estimates.summaries import Group
from streamsampler.policies.roots import OVERFLOW_NAME, RootNumbers
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.votes import Ints32
from streamsampler.spans.columns import UInt32s

OVERFLOW: Final = 0
"""The number of all groups that did not fit."""
OVERFLOW_GROUP: Final[Group] = (OVERFLOW_NAME, OVERFLOW_NAME, OVERFLOW_NAME)


def no_groups() -> "GroupNumbers":
    """Number groups where nobody names tenants or operations: all are the overflow group."""
    return GroupNumbers(TenantNumbers(), RootNumbers())


class GroupNumbers:
    """Gives each group a number, for as many as fit; it is never another's."""

    def __init__(self, tenants: TenantNumbers, roots: RootNumbers, capacity: int = 2_000) -> None:
        """Start empty.

        Args:
            tenants: Numbers the tenants.
            roots: Numbers the root operations.
            capacity: How many groups get a number of their own.
        """
        self._tenants = tenants
        self._roots = roots
        self._capacity = capacity
        self._groups: list[Group] = [OVERFLOW_GROUP]
        self._numbers: dict[int, int] = {}

    def of(self, tenants: UInt32s, roots: UInt32s) -> Ints32:
        """Number the groups of traces.

        Args:
            tenants: uint32[n], their tenants' numbers.
            roots: uint32[n], their root operations' numbers.

        Returns:
            int32[n], `OVERFLOW` for those that do not fit.
        """
        pairs = tenants.astype(np.int64) << 32 | roots.astype(np.int64)
        distinct, which = np.unique(pairs, return_inverse=True)
        numbers: Ints32 = np.array([self._number(pair) for pair in distinct.tolist()], np.int32)
        return numbers[which]

    def _number(self, pair: int) -> int:
        number = self._numbers.get(pair)
        if number is None:
            if len(self._groups) > self._capacity:
                return OVERFLOW
            number = self._numbers[pair] = len(self._groups)
            self._groups.append(
                (self._tenants.name(pair >> 32), *self._roots.operation(pair & 0xFFFFFFFF))
            )
        return number

    def name(self, number: int) -> Group:
        """Tell the group behind a number.

        Args:
            number: As `of` gave it.

        Returns:
            Its tenant, service and name.
        """
        return self._groups[number]

    @property
    def count(self) -> int:
        """How many numbers have been given, `OVERFLOW` among them."""
        return len(self._groups)
