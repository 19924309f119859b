"""A condition asked of all spans of a batch at once, or of all their events.

Hot: a few NumPy passes for each part of a condition, and its functions of strings once for each
distinct string: some 40 ns a span to compare or match a string attribute, 10 ns a number.
"""

from typing import Final

import numpy as np

from streamsampler.policies.ottl import computing
from streamsampler.policies.ottl.calling import call
from streamsampler.policies.ottl.comparing import compare
from streamsampler.policies.ottl.parsing import ParsedCondition
from streamsampler.policies.ottl.pool import Pool
from streamsampler.policies.ottl.reading import read
from streamsampler.policies.ottl.tree import (
    All,
    Any,
    Arithmetic,
    Comparison,
    Literal,
    Minus,
    Not,
    Read,
    Test,
    Truth,
    Type,
    Value,
)
from streamsampler.policies.ottl.values import (
    BOOL,
    DOUBLE,
    ERROR,
    FAILED,
    FALSE,
    INT,
    NIL,
    SPAN_ID,
    STRING,
    TRACE_ID,
    TRUE,
    Column,
)
from streamsampler.policies.ottl.view import SpanView
from streamsampler.spans.columns import Bytes

_KINDS: Final = {
    Type.NIL: NIL,
    Type.STRING: STRING,
    Type.BOOL: BOOL,
    Type.INT: INT,
    Type.DOUBLE: DOUBLE,
    Type.SPAN_ID: SPAN_ID,
    Type.TRACE_ID: TRACE_ID,
}
_TURNED: Final = np.array([TRUE, FALSE, FAILED], np.uint8)


class Program:
    """Asks a condition, and remembers what its functions gave for distinct strings."""

    def __init__(self, parsed: ParsedCondition, pool: Pool | None = None) -> None:
        """Prepare a condition.

        Args:
            parsed: The condition.
            pool: Numbers the strings; programs that share one read each column once.
        """
        self._parsed = parsed
        self._pool = pool or Pool()

    def evaluate(self, view: SpanView) -> Bytes:
        """Ask the condition.

        Args:
            view: The batch; its keys have those of the condition.

        Returns:
            uint8, FALSE, TRUE or FAILED of each span; of each event if it is asked of events.
        """
        self._pool.begin(view)
        rows = view.events if self._parsed.events else view.spans
        answers = self._test(self._parsed.test, view)
        return np.broadcast_to(answers, len(rows))

    def _test(self, test: Test, view: SpanView) -> Bytes:
        match test:
            case Comparison(sign, left, right):
                sides = self._value(left, view), self._value(right, view)
                return compare(sign, *sides, self._pool)
            case Truth(value):
                column = self._value(value, view)
                truths = column.words.astype(np.uint8)
                return np.where(column.kinds == ERROR, np.uint8(FAILED), truths)
            case Not(part):
                return _TURNED[self._test(part, view)]
            case All():
                return self._until(test, view, TRUE)
        return self._until(test, view, FALSE)

    def _until(self, test: All | Any, view: SpanView, going_on: int) -> Bytes:
        """Ask part after part; each row goes on only from this answer."""
        first, *rest = test.parts
        answers = self._test(first, view)
        for part in rest:
            undecided = answers == going_on
            if not undecided.any():
                break
            answers = np.where(undecided, self._test(part, view), answers)
        return answers

    def _value(self, value: Value, view: SpanView) -> Column:
        match value:
            case Read():
                return read(value, view, self._pool, events=self._parsed.events)
            case Literal():
                return self._literal(value)
            case Arithmetic(kind, sign, left, right):
                sides = self._value(left, view), self._value(right, view)
                if kind in {Type.TIME, Type.DURATION}:
                    return computing.temporal(sign, kind, *sides)
                return computing.arithmetic(sign, *sides)
            case Minus():
                return computing.minus(self._value(value.value, view))
        return call(value, [self._value(one, view) for one in value.values], self._pool)

    def _literal(self, literal: Literal) -> Column:
        value = literal.value
        if isinstance(value, bytes):
            word = self._pool.literal(value)
        elif isinstance(value, float):
            word = int(np.float64(value).view(np.int64))
        else:
            word = value or 0
        return computing.constant(_KINDS[literal.type], word)
