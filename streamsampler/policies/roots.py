"""Numbers for root operations, so that what a trace began with is a word in a column.

A trace's root operation is its root span's service and name. It is half of the trace's group, by
which durations and counts are summed up.

Hot: of each root span two look-ups; of each pair that is new, a few microseconds.
"""

import hashlib
from typing import Final

import numpy as np

from streamsampler.spans.columns import ATTRIBUTE, STRING, Bytes, Int32s, UInt64s
from streamsampler.spans.dictionary import Dictionary
from streamsampler.spans.scan import Scan

SERVICE_KEY: Final = b"service.name"
NO_ROOT: Final = 0
OVERFLOW: Final = 1
"""The number that all operations share that did not fit."""
OVERFLOW_NAME: Final = b"(overflow)"
MOST_BYTES: Final = 200
"""Of a service or a name; what is longer is cut, as it is a label."""

Operation = tuple[bytes, bytes]


class RootNumbers:
    """Gives each root operation a number, for as many as fit; it is never another's."""

    def __init__(self, capacity: int = 65_536) -> None:
        """Start empty.

        Args:
            capacity: How many operations get a number of their own.
        """
        self._capacity = capacity
        self._operations: list[Operation] = [(b"", b""), (OVERFLOW_NAME, OVERFLOW_NAME)]
        self._numbers: dict[Operation, int] = {}
        self._order: UInt64s = np.full(256, np.iinfo(np.uint64).max)

    def number(self, service: bytes, name: bytes) -> int:
        """Number an operation.

        Args:
            service: The root span's service; empty where it has none.
            name: The root span's name.

        Returns:
            Its own number, or OVERFLOW where it does not fit.
        """
        operation = service[:MOST_BYTES], name[:MOST_BYTES]
        known = self._numbers.get(operation)
        if known is not None:
            return known
        if len(self._numbers) >= self._capacity:
            return OVERFLOW
        number = len(self._operations)
        if number == len(self._order):
            self._order = np.append(self._order, np.full(number, np.iinfo(np.uint64).max))
        self._operations.append(operation)
        self._numbers[operation] = number
        digest = hashlib.blake2b(b"\0".join(operation), digest_size=8).digest()
        self._order[number] = int.from_bytes(digest, "big")
        return number

    def operation(self, number: int) -> Operation:
        """Tell the operation behind a number.

        Args:
            number: As `number` gave it.

        Returns:
            Service and name.
        """
        return self._operations[number]

    @property
    def order(self) -> UInt64s:
        """uint64[more than there are numbers]: of several roots in a trace the smallest counts.

        It follows from the names, so that it is the same whatever came first.
        """
        return self._order


class RootReader:
    """Numbers the root operations of a batch's spans."""

    def __init__(self, numbers: RootNumbers, service: int) -> None:
        """Begin without values.

        Args:
            numbers: Of operations.
            service: Which of the scan's wanted keys is `SERVICE_KEY`.
        """
        self._numbers = numbers
        self._service = service
        self._services = Dictionary()
        self._names = Dictionary()
        self._known: dict[int, int] = {}

    def read(self, buffer: Bytes, scan: Scan) -> Int32s:
        """Number the root operations.

        Args:
            buffer: uint8, which the scan's positions speak of.
            scan: The batch's columns.

        Returns:
            int32[spans]; NO_ROOT for a span that is no root.
        """
        roots = np.zeros(len(scan.spans), np.int32)
        places = np.flatnonzero(scan.spans["parent_id"] == 0)
        if not len(places):
            return roots
        if self._services.emptied_if_full() | self._names.emptied_if_full():
            self._known = {}
        names = np.zeros((len(places), 1), ATTRIBUTE)
        names["kind"] = STRING
        names["word"][:, 0] = scan.spans["name_at"][places]
        names["size"][:, 0] = scan.spans["name_size"][places]
        services = self._services.encode(buffer, scan.resources, self._service)
        pairs = services[scan.spans["resource"][places]].astype(np.int64) << 32
        pairs |= self._names.encode(buffer, names, 0)
        distinct, which = np.unique(pairs, return_inverse=True)
        roots[places] = np.array([self._number(pair) for pair in distinct.tolist()])[which]
        return roots

    def _number(self, pair: int) -> int:
        number = self._known.get(pair)
        if number is None:
            service, name = pair >> 32, pair & 0xFFFFFFFF
            number = self._known[pair] = self._numbers.number(
                self._services.value(service) if service else b"",
                self._names.value(name) if name else b"",
            )
        return number
