"""Dictionary encoding: the distinct values of a wanted attribute, numbered as they are met.

What costs (a regular expression, a list of a thousand tenants) is then asked once for each
distinct value. Two values have one number only when their bytes are equal.

Hot: one hash and one comparison for each wanted attribute that a span or resource has.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import STRING, Bytes, Int32s, Int64s, Rows, UInt32s, Word
from streamsampler.spans.compiled import inlined, kernel
from streamsampler.spans.hash_key import HASH_KEY

_BASIS: Final = HASH_KEY[:2].view(np.uint64)[0]
"""FNV-1a begins with it, so that nobody knows which values begin at one slot."""
_PRIME: Final = 0x100000001B3

NO_VALUE: Final = 0


class Dictionary:
    """The distinct values of one attribute, numbered from 1; `NO_VALUE` where there is no string.

    A stranger chooses the values, so the dictionary is bounded: one that has grown past its
    bounds is emptied before the next batch, and all of its numbers are void.
    """

    def __init__(self, most_values: int = 65_536, most_bytes: int = 8 << 20) -> None:
        """Begin without values.

        Args:
            most_values: From so many values on it is emptied.
            most_bytes: From so many bytes of values on it is emptied.
        """
        self._most_values = most_values
        self._most_bytes = most_bytes
        self._clear()

    def _clear(self) -> None:
        self._bytes: Bytes = np.zeros(4096, np.uint8)
        self._bounds: Int64s = np.zeros(257, np.int64)
        self._slots: UInt32s = np.zeros(1024, np.uint32)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def value(self, number: int) -> bytes:
        """Give back a value.

        Args:
            number: From 1 to the dictionary's length.

        Returns:
            Its bytes.
        """
        return self._bytes[self._bounds[number - 1] : self._bounds[number]].tobytes()

    def emptied_if_full(self) -> bool:
        """Empty the dictionary if it has passed its bounds.

        Returns:
            Whether it was emptied, so that whoever remembers numbers forgets them.
        """
        if self._count < self._most_values and self._bounds[self._count] < self._most_bytes:
            return False
        self._clear()
        return True

    def encode(self, buffer: Bytes, attributes: Rows, key: int) -> Int32s:
        """Number the values of one wanted attribute; new values are entered.

        Args:
            buffer: uint8, which the attributes' positions speak of.
            attributes: `ATTRIBUTE` rows [n, w].
            key: Which of the w.

        Returns:
            int32[n], the numbers.
        """
        numbers = np.zeros(len(attributes), np.int32)
        filled = np.array([self._count], np.int64)
        done = 0
        while True:
            done = encode_values(
                buffer, attributes, key, done, self._bytes, self._bounds, self._slots,
                _BASIS, filled, numbers,
            )  # fmt: skip
            self._count = int(filled[0])
            if done == len(attributes):
                return numbers
            self._grow(int(attributes[done, key]["size"]))

    def _grow(self, size: int) -> None:
        used = int(self._bounds[self._count])
        longer = np.zeros(2 * (len(self._bytes) + size), np.uint8)
        longer[:used] = self._bytes[:used]
        bounds = np.zeros(2 * len(self._bounds), np.int64)
        bounds[: self._count + 1] = self._bounds[: self._count + 1]
        slots = np.zeros(2 * len(self._slots), np.uint32)
        enter_values(longer, bounds, slots, _BASIS, self._count)
        self._bytes, self._bounds, self._slots = longer, bounds, slots


@inlined
def _hash(buffer: Bytes, at: Word, size: Word, basis: Word) -> Word:
    word = basis
    for index in range(at, at + size):
        word = (word ^ np.uint64(buffer[index])) * np.uint64(_PRIME)
    return word ^ (word >> np.uint64(32))


@inlined
def _same(left: Bytes, at: Word, right: Bytes, other: Word, size: Word) -> Word:
    index = 0
    while index < size and left[at + index] == right[other + index]:
        index += 1
    return index == size


@kernel
def enter_values(values: Bytes, bounds: Int64s, slots: UInt32s, basis: Word, count: Word) -> None:
    """Enter known values into an empty index.

    Args:
        values: uint8, the values one after the other.
        bounds: int64, where each begins and ends.
        slots: uint32, a power of two, all empty.
        basis: uint64, what hashes begin with.
        count: How many values.
    """
    mask = len(slots) - 1
    for number in range(count):
        at = bounds[number]
        slot = np.int64(_hash(values, at, bounds[number + 1] - at, basis) & np.uint64(mask))
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = number + 1


@kernel
def encode_values(
    buffer: Bytes, attributes: Rows, key: Word, first: Word,
    values: Bytes, bounds: Int64s, slots: UInt32s, basis: Word, filled: Int64s, numbers: Int32s,
) -> Word:  # fmt: skip
    """Number values until all are done or the dictionary is full.

    Args:
        buffer: uint8, which the attributes' positions speak of.
        attributes: `ATTRIBUTE` rows [n, w].
        key: Which of the w.
        first: The row to begin with.
        values: uint8, the dictionary's values one after the other.
        bounds: int64, where each begins and ends.
        slots: uint32, their index, a power of two.
        basis: uint64, what hashes begin with.
        filled: int64[1], how many values there are; moved on.
        numbers: int32[n], written.

    Returns:
        The row to go on with after making room; n when all are done.
    """
    mask = len(slots) - 1
    for row in range(first, len(attributes)):
        numbers[row] = NO_VALUE
        if attributes[row, key]["kind"] != STRING:
            continue
        at = attributes[row, key]["word"]
        size = np.int64(attributes[row, key]["size"])
        slot = np.int64(_hash(buffer, at, size, basis) & np.uint64(mask))
        while slots[slot] != 0:
            number = np.int64(slots[slot])
            begin = bounds[number - 1]
            if bounds[number] - begin == size and _same(buffer, at, values, begin, size):
                numbers[row] = number
                break
            slot = (slot + 1) & mask
        if numbers[row] != NO_VALUE:
            continue
        count = filled[0]
        begin = bounds[count]
        if count + 2 > len(bounds) or begin + size > len(values) or 3 * count > 2 * len(slots):
            return row
        for index in range(size):
            values[begin + index] = buffer[at + index]
        bounds[count + 1] = begin + size
        slots[slot] = count + 1
        numbers[row] = count + 1
        filled[0] = count + 1
    return len(attributes)
