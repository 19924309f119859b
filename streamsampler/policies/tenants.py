"""Numbers for tenants, so that a trace's tenant is a word in a column."""

from typing import Final

NO_TENANT: Final = 0
OVERFLOW: Final = 1
"""The number that all tenants share who did not fit."""

OVERFLOW_NAME: Final = b"(overflow)"


class TenantNumbers:
    """Gives each tenant a number, for as many as fit.

    A number, once given, is never given to another. Tenants that a policy names always fit; for
    the rest there is a limit, as the values come from outside.

    Attributes:
        overflowed: How often a tenant was asked for that did not fit.
    """

    __slots__ = ("_capacity", "_names", "_numbers", "overflowed")

    def __init__(self, capacity: int = 10_000) -> None:
        """Starts empty.

        Args:
            capacity: How many tenants get a number of their own on sight.
        """
        self._capacity = capacity
        self._names: list[bytes] = [b"", OVERFLOW_NAME]
        self._numbers: dict[bytes, int] = {}
        self.overflowed = 0

    def number(self, tenant: bytes) -> int:
        """The number of a tenant that was seen.

        Args:
            tenant: Its name as it came; empty for none.

        Returns:
            NO_TENANT for an empty name, OVERFLOW where it does not fit, else its own.
        """
        if not tenant:
            return NO_TENANT
        known = self._numbers.get(tenant)
        if known is not None:
            return known
        if len(self._numbers) >= self._capacity:
            self.overflowed += 1
            return OVERFLOW
        return self.register(tenant)

    def register(self, tenant: bytes) -> int:
        """The number of a tenant that a policy names; it fits even when the limit is reached.

        Args:
            tenant: Its name, not empty.

        Returns:
            Its own number.
        """
        return self._numbers.get(tenant) or self._append(tenant)

    def name(self, number: int) -> bytes:
        """The tenant behind a number.

        Args:
            number: As number() or register() gave it.

        Returns:
            The name; empty for NO_TENANT, OVERFLOW_NAME for OVERFLOW.
        """
        return self._names[number]

    @property
    def count(self) -> int:
        """How many numbers have been given, NO_TENANT and OVERFLOW among them."""
        return len(self._names)

    def _append(self, tenant: bytes) -> int:
        number = len(self._names)
        self._names.append(tenant)
        self._numbers[tenant] = number
        return number
