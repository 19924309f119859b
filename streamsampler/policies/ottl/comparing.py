"""Columns compared, row by row.

Values of two types are unequal and in no order, but for an integer and a double, which compare as
doubles. Nil equals nil. Strings are ordered by their bytes, and false comes before true.

Source: OpenTelemetry Collector, pkg/ottl, compare.go.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from streamsampler.policies.ottl.pool import Pool
from streamsampler.policies.ottl.values import (
    DOUBLE,
    ERROR,
    FAILED,
    INT,
    OTHER,
    SPAN_ID,
    STRING,
    TRACE_ID,
    Column,
    doubles,
)
from streamsampler.spans.columns import Booleans, Bytes, Int64s, Word

_COMPARE: Final[Mapping[str, Callable[[Word, Word], Booleans]]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def compare(sign: str, left: Column, right: Column, pool: Pool) -> Bytes:
    """Compare two columns.

    Args:
        sign: One of == != < <= > >=.
        left: The first.
        right: The second.
        pool: Where the numbers of strings are from.

    Returns:
        uint8[n or 1], FALSE, TRUE or FAILED. What no condition looks into, an array or a map, is
        unequal to all else, and compared with its like it fails.
    """
    ordering = sign not in {"==", "!="}
    alike = left.kinds == right.kinds
    words = left.words, right.words
    if ordering:
        alike &= (left.kinds != SPAN_ID) & (left.kinds != TRACE_ID)
        words = _ranked(left, right, pool)
    passed = np.where(alike, _COMPARE[sign](*words), sign == "!=")
    is_double = left.kinds == DOUBLE, right.kinds == DOUBLE
    if is_double[0].any() or is_double[1].any():
        numbers = (is_double[0] | (left.kinds == INT)) & (is_double[1] | (right.kinds == INT))
        numbers &= is_double[0] | is_double[1]
        passed = np.where(numbers, _COMPARE[sign](doubles(left), doubles(right)), passed)
    answers: Bytes = passed.view(np.uint8)
    failed = (left.kinds == ERROR) | (right.kinds == ERROR) | (alike & (left.kinds == OTHER))
    return np.where(failed, np.uint8(FAILED), answers) if failed.any() else answers


def _ranked(left: Column, right: Column, pool: Pool) -> tuple[Int64s, Int64s]:
    """The words, with the numbers of strings that meet strings exchanged for their ranks."""
    strings = (left.kinds == STRING) & (right.kinds == STRING)
    if not strings.any():
        return left.words, right.words
    shape = np.broadcast_shapes(strings.shape, left.words.shape, right.words.shape)
    strings = np.broadcast_to(strings, shape)
    sides = [np.broadcast_to(side.words, shape).copy() for side in (left, right)]
    numbers = np.unique(np.concatenate([side[strings] for side in sides]))
    ranks = np.empty(len(numbers), np.int64)
    ranks[sorted(range(len(numbers)), key=[pool.value(n) for n in numbers].__getitem__)] = (
        np.arange(len(numbers))
    )
    for side in sides:
        side[strings] = ranks[np.searchsorted(numbers, side[strings])]
    return sides[0], sides[1]
