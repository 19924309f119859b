"""Columns computed: arithmetic, and functions of numbers, times and types.

Whole numbers wrap at 64 bits and are divided towards zero; a division by zero fails, of doubles as
well; two times that lie too far apart give the longest duration.

Source: OpenTelemetry Collector, pkg/ottl, math.go; Go's time.Time.Sub and time.Duration.
"""

from typing import Final

import numpy as np

from streamsampler.policies.ottl.tree import Type
from streamsampler.policies.ottl.values import (
    BOOL,
    DOUBLE,
    DURATION,
    ERROR,
    INT,
    NIL,
    STRING,
    TIME,
    Column,
    column_of,
    doubles,
)
from streamsampler.spans.columns import Int64s, Word

_LEAST, _MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_KIND_ASKED: Final = {"IsString": STRING, "IsBool": BOOL, "IsInt": INT, "IsDouble": DOUBLE}


def arithmetic(sign: str, left: Column, right: Column) -> Column:
    """Compute two columns of numbers.

    Args:
        sign: One of + - * /.
        left: The first.
        right: The second.

    Returns:
        Of two integers an integer, with a double a double, of all else ERROR.
    """
    both_int = (left.kinds == INT) & (right.kinds == INT)
    numbers = _is_number(left) & _is_number(right)
    kinds = np.where(both_int, INT, np.where(numbers, DOUBLE, ERROR)).astype(np.uint8)
    with np.errstate(all="ignore"):
        words = _of_ints(sign, left.words, right.words)
        if not both_int.all():
            computed: Word = _of_doubles(sign, doubles(left), doubles(right))
            words = np.where(both_int, words, computed.view(np.int64))
    if sign == "/":
        zero = np.where(right.kinds == INT, right.words == 0, doubles(right) == 0)
        kinds = np.where(numbers & zero, ERROR, kinds).astype(np.uint8)
    return Column(kinds, words)


def _is_number(column: Column) -> Word:
    return (column.kinds == INT) | (column.kinds == DOUBLE)


def _of_ints(sign: str, left: Int64s, right: Int64s) -> Int64s:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    divisor = np.where(right == 0, 1, right)
    down = np.where(divisor == -1, -left, left // np.where(divisor == -1, 1, divisor))
    inexact = (down * divisor != left) & ((left < 0) != (divisor < 0))
    towards_zero: Int64s = down + inexact
    return towards_zero


def _of_doubles(sign: str, left: Word, right: Word) -> Word:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    return left * right if sign == "*" else left / right


def temporal(sign: str, kind: Type, left: Column, right: Column) -> Column:
    """Add or subtract times and durations.

    Args:
        sign: + or -.
        kind: What it gives: TIME or DURATION.
        left: The first.
        right: The second.

    Returns:
        Nanoseconds.
    """
    failed = (left.kinds == ERROR) | (right.kinds == ERROR)
    words = left.words + right.words if sign == "+" else left.words - right.words
    if left.kinds[:1].tolist() == right.kinds[:1].tolist() == [TIME]:
        far = ((left.words < 0) != (right.words < 0)) & ((words < 0) != (left.words < 0))
        words = np.where(far, np.where(left.words < 0, _LEAST, _MOST), words)
    own = TIME if kind is Type.TIME else DURATION
    return Column(np.where(failed, ERROR, own).astype(np.uint8), words)


def minus(column: Column) -> Column:
    """Turn the sign of numbers.

    Args:
        column: Values.

    Returns:
        ERROR where there is no number.
    """
    words = np.where(column.kinds == INT, -column.words, (-doubles(column)).view(np.int64))
    return Column(np.where(_is_number(column), column.kinds, ERROR).astype(np.uint8), words)


def of_column(name: str, column: Column) -> Column:
    """Ask a function that takes whole columns.

    Args:
        name: A function's that has nothing to apply to single values.
        column: Its argument.

    Returns:
        What it gives.
    """
    failed = column.kinds == ERROR
    if name in _KIND_ASKED:
        asked = column.kinds == _KIND_ASKED[name]
        return Column(np.where(failed, ERROR, BOOL).astype(np.uint8), asked.astype(np.int64))
    kinds = np.where(failed, ERROR, INT).astype(np.uint8)
    if name in {"Nanoseconds", "UnixNano"}:
        return Column(kinds, column.words)
    if name == "Milliseconds":
        return Column(kinds, _of_ints("/", column.words, np.full(1, 1_000_000)))
    assert name == "Seconds"
    seconds = _seconds(column.words).view(np.int64)
    return Column(np.where(failed, ERROR, DOUBLE).astype(np.uint8), seconds)


def _seconds(nanoseconds: Int64s) -> Word:
    """Whole seconds and the rest apart, as Go adds them up."""
    whole = _of_ints("/", nanoseconds, np.full(1, 1_000_000_000))
    rest = nanoseconds - whole * 1_000_000_000
    return whole.astype(np.float64) + rest.astype(np.float64) / 1e9


def to_int(column: Column) -> Column:
    """Int of what is no string.

    Args:
        column: Values.

    Returns:
        Doubles cut towards zero, booleans as 0 and 1, the least number for what does not fit.
    """
    numbers = doubles(column)
    fits = (column.kinds == DOUBLE) & (numbers >= -(2.0**63)) & (numbers < 2.0**63)
    cut = np.where(fits, numbers, -(2.0**63)).astype(np.int64)
    words = np.where(column.kinds == DOUBLE, cut, column.words)
    known = np.isin(column.kinds, (BOOL, INT, DOUBLE))
    return Column(_converted(column, known=known, kind=INT), words)


def to_double(column: Column) -> Column:
    """Double of what is no string.

    Args:
        column: Values.

    Returns:
        Whole numbers as the nearest double, booleans as 0 and 1.
    """
    is_double = column.kinds == DOUBLE
    words = np.where(is_double, column.words, column.words.astype(np.float64).view(np.int64))
    known = np.isin(column.kinds, (BOOL, INT, DOUBLE))
    return Column(_converted(column, known=known, kind=DOUBLE), words)


def _converted(column: Column, *, known: Word, kind: int) -> Word:
    kinds = np.where(known, kind, np.where(column.kinds == NIL, NIL, ERROR))
    return kinds.astype(np.uint8)


def constant(kind: int, word: int) -> Column:
    """A column that is the same in each row.

    Args:
        kind: What its value is.
        word: The value's 64 bits.
    """
    return column_of(kind, np.full(1, word, np.int64))
