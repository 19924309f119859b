"""What is known of each distinct value of a string column, so that it is asked once only.

Hot: a hash and a comparison for each value, and a look-up for all tests of a column together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamsampler.policies.predicates import StateTest, StringTest
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.spans.columns import Booleans, Bytes, Int32s, Rows, UInt64s
from streamsampler.spans.dictionary import Dictionary

_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Numbered:
    """Values of a column by their numbers in the dictionary, 0 for none.

    Attributes:
        own: int32[n], of the spans.
        shared: int32[resources], of their resources; None where a column is the spans' alone.
        resource: int32[n], the spans' resources.
    """

    own: Int32s
    shared: Int32s | None
    resource: Int32s


class DistinctValues:
    """The answers of some tests to each distinct value of one column."""

    def __init__(
        self,
        bits: Sequence[tuple[int, StringTest | StateTest]],
        apart: Sequence[StringTest | StateTest],
        tenants: TenantNumbers | None = None,
    ) -> None:
        """Take the tests.

        Args:
            bits: Tests whose answers go into one word, each with its bit there.
            apart: Tests whose answers are wanted one by one.
            tenants: Numbers the tenants where the column names them.
        """
        self.apart = list(apart)
        self._tenants = tenants
        self._exact: dict[bytes, int] = {}
        self._costly: list[tuple[int, StringTest | StateTest]] = []
        for number, test in [*bits, *enumerate(apart, 64)]:
            if isinstance(test, StringTest) and test.values is not None:
                for value in test.values - {b""}:
                    self._exact[value] = self._exact.get(value, 0) | 1 << number
            else:
                self._costly.append((1 << number, test))
        self._dictionary = Dictionary()
        self._forget()

    def _forget(self) -> None:
        self._matched: UInt64s = np.zeros(1, np.uint64)
        self._passed: Booleans = np.zeros((len(self.apart), 1), np.bool_)
        self._numbers: Int32s = np.zeros(1, np.int32)

    def number(
        self, buffer: Bytes, own: Rows, shared: Rows | None, key: int, resource: Int32s
    ) -> Numbered:
        """Number a batch's values and ask the tests of those that are new.

        Args:
            buffer: uint8, which the positions speak of.
            own: `ATTRIBUTE` rows [n, w] of the spans.
            shared: `ATTRIBUTE` rows [resources, w]; None where there are none.
            key: Which of the w.
            resource: int32[n], the spans' resources.

        Returns:
            The numbers; they hold until the next call.
        """
        if self._dictionary.emptied_if_full():
            self._forget()
        numbered = Numbered(
            self._dictionary.encode(buffer, own, key),
            None if shared is None else self._dictionary.encode(buffer, shared, key),
            resource,
        )
        self._learn()
        return numbered

    def _learn(self) -> None:
        known = len(self._matched)
        new = range(known, len(self._dictionary) + 1)
        if not new:
            return
        values = [self._dictionary.value(number) for number in new]
        answers = list(map(self._ask, values))
        words = np.array([answer & _WORD for answer in answers], np.uint64)
        self._matched = np.append(self._matched, words)
        if self.apart:
            passed = [
                [answer >> number & 1 for answer in answers]
                for number in range(64, 64 + len(self.apart))
            ]
            self._passed = np.append(self._passed, np.array(passed, np.bool_), axis=1)
        if self._tenants is not None:
            numbers = map(self._tenants.number, values)
            self._numbers = np.append(self._numbers, np.fromiter(numbers, np.int32, len(values)))

    def _ask(self, value: bytes) -> int:
        answer = self._exact.get(value, 0)
        for mask, test in self._costly:
            if test.matches(value):
                answer |= mask
        return answer

    def add_matched(self, numbered: Numbered, matched: UInt64s) -> None:
        """Set the bits of the tests that some spans pass, themselves or on their resource.

        Args:
            numbered: The batch's values.
            matched: uint64[n], added to.
        """
        if not self._matched.any():
            return
        matched |= self._matched[numbered.own]
        if numbered.shared is not None and (shared := self._matched[numbered.shared]).any():
            matched |= shared[numbered.resource]

    def passing(self, numbered: Numbered, place: int) -> Booleans:
        """Tell which spans pass one of the tests, themselves or on their resource.

        Args:
            numbered: The batch's values.
            place: Which of those apart.

        Returns:
            bool[n].
        """
        answers = self._passed[place]
        passed: Booleans = answers[numbered.own]
        if numbered.shared is not None and (shared := answers[numbered.shared]).any():
            passed |= shared[numbered.resource]
        return passed

    def tenants(self, numbered: Numbered) -> tuple[Int32s, Int32s]:
        """Tell the tenants that the values name.

        Args:
            numbered: The batch's values, with those of resources.

        Returns:
            int32[n] twice: the spans' own and their resources', `NO_TENANT` for none.
        """
        assert numbered.shared is not None
        return self._numbers[numbered.own], self._numbers[numbered.shared][numbered.resource]
