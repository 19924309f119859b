"""The strings of a batch as numbers, and what functions gave for each of them.

Strangers choose the strings, so the pool is bounded: past its bounds it is emptied before the
next batch, and what is remembered of its numbers with it.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamsampler.policies.ottl.functions import Failed, Plain
from streamsampler.policies.ottl.values import (
    BOOL,
    DOUBLE,
    ERROR,
    NIL,
    STRING,
    Column,
)
from streamsampler.policies.ottl.view import SpanView
from streamsampler.spans import columns as col
from streamsampler.spans.columns import ATTRIBUTE, Bytes, Int64s, Rows
from streamsampler.spans.dictionary import Dictionary

_UNKNOWN = 255


@dataclass(slots=True)
class _Remembered:
    """What a function gave, by the number of the string."""

    kinds: Bytes = field(default_factory=lambda: np.full(64, _UNKNOWN, np.uint8))
    words: Int64s = field(default_factory=lambda: np.zeros(64, np.int64))

    def make_room(self, count: int) -> None:
        if count <= len(self.kinds):
            return
        kinds = np.full(2 * count, _UNKNOWN, np.uint8)
        words = np.zeros(2 * count, np.int64)
        kinds[: len(self.kinds)] = self.kinds
        words[: len(self.words)] = self.words
        self.kinds, self.words = kinds, words


class Pool:
    """Numbers strings from 1; equal bytes have one number.

    Programs that share a pool share the columns that they read of a batch.

    Attributes:
        columns: Columns that were read of the batch at hand.
    """

    def __init__(self, dictionary: Dictionary | None = None) -> None:
        """Begin without strings.

        Args:
            dictionary: Numbers them, within its bounds.
        """
        self._dictionary = dictionary or Dictionary()
        self._view: SpanView | None = None
        self.columns: dict[Hashable, Column] = {}
        self._forget()

    def _forget(self) -> None:
        self._literals: dict[bytes, int] = {}
        self._remembered: dict[Hashable, _Remembered] = {}

    def __len__(self) -> int:
        return len(self._dictionary)

    def begin(self, view: SpanView) -> None:
        """Turn to a batch; if it is not the one at hand, all numbers given so far may be void.

        Args:
            view: The batch.
        """
        if view is self._view:
            return
        self._view = view
        self.columns.clear()
        if self._dictionary.emptied_if_full():
            self._forget()

    def value(self, number: int) -> bytes:
        """Give back a string.

        Args:
            number: Its number.

        Returns:
            Its bytes.
        """
        return self._dictionary.value(number)

    def literal(self, value: bytes) -> int:
        """Number a string that stands in a condition.

        Args:
            value: Its bytes.

        Returns:
            Its number.
        """
        if value not in self._literals:
            self._literals[value] = int(self._enter([value])[0])
        return self._literals[value]

    def number(self, buffer: Bytes, rows: Rows, key: int = 0) -> Int64s:
        """Number the strings of a column of attributes.

        Args:
            buffer: uint8, which the rows speak of.
            rows: `ATTRIBUTE` rows [n, w].
            key: Which of the w.

        Returns:
            int64[n], 0 where there is no string.
        """
        return self._dictionary.encode(buffer, rows, key).astype(np.int64)

    def strings(self, buffer: Bytes, at: Int64s, size: Int64s) -> Int64s:
        """Number strings that are no attributes.

        Args:
            buffer: uint8.
            at: int[n], where each begins.
            size: int[n], its bytes.

        Returns:
            int64[n].
        """
        rows = np.empty((len(at), 1), ATTRIBUTE)
        rows["kind"] = col.STRING
        rows["word"][:, 0] = at
        rows["size"][:, 0] = size
        return self.number(buffer, rows)

    def apply(
        self, what: Hashable, function: Callable[[bytes], Plain], kind: int, numbers: Int64s
    ) -> Column:
        """Ask a function once for each distinct string, and remember.

        Args:
            what: Names the function, with its settings.
            function: Gives a value, or raises `Failed`.
            kind: What its whole numbers are: INT or DURATION.
            numbers: int64[n], strings.

        Returns:
            What it gave, [n].
        """
        known = self._remembered.setdefault(what, _Remembered())
        known.make_room(len(self._dictionary) + 1)
        missing = numbers[known.kinds[numbers] == _UNKNOWN]
        if missing.size:
            new = np.unique(missing)
            given = self.evaluated(function, [(self.value(number),) for number in new], kind)
            known.kinds[new], known.words[new] = given.kinds, given.words
        return Column(known.kinds[numbers], known.words[numbers])

    def evaluated(
        self, function: Callable[..., Plain], arguments: Sequence[tuple[Plain, ...]], kind: int
    ) -> Column:
        """Ask a function of plain values.

        Args:
            function: Gives a value, or raises `Failed`.
            arguments: What it is called with, m times.
            kind: What its whole numbers are: INT or DURATION.

        Returns:
            What it gave, [m].
        """
        kinds = np.zeros(len(arguments), np.uint8)
        words = np.zeros(len(arguments), np.int64)
        strings: dict[int, bytes] = {}
        for row, values in enumerate(arguments):
            try:
                given = function(*values)
            except Failed:
                kinds[row] = ERROR
                continue
            if isinstance(given, bytes):
                kinds[row] = STRING
                strings[row] = given
            elif isinstance(given, float):
                kinds[row] = DOUBLE
                words[row] = np.float64(given).view(np.int64)
            elif given is not None:
                kinds[row] = BOOL if isinstance(given, bool) else kind
                words[row] = given
            else:
                kinds[row] = NIL
        if strings:
            words[list(strings)] = self._enter(list(strings.values()))
        return Column(kinds, words)

    def _enter(self, values: Sequence[bytes]) -> Int64s:
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        joined = np.frombuffer(b"".join(values) or b"\0", np.uint8)
        return self.strings(joined, np.cumsum(sizes) - sizes, sizes)
