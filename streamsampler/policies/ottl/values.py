"""Values as columns: what each is, and its 64 bits.

Hot: conditions are a few NumPy passes over such columns. A column that is the same in each row
has one row, which NumPy spreads.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streamsampler.spans import columns as col
from streamsampler.spans.columns import Bytes, Int64s

(
    NIL,
    STRING,
    BOOL,
    INT,
    DOUBLE,
    OTHER,
    TIME,
    DURATION,
    SPAN_ID,
    TRACE_ID,
    ERROR,
) = range(11)
"""What a value is. OTHER: an array, a map or bytes; ERROR: it could not be computed."""

FALSE, TRUE, FAILED = range(3)
"""What a condition answers."""

KIND_OF_ATTRIBUTE: Final = np.zeros(7, np.uint8)
KIND_OF_ATTRIBUTE[[col.ABSENT, col.EMPTY]] = NIL  # the Collector reads a key without a value so
KIND_OF_ATTRIBUTE[[col.STRING, col.BOOL, col.INT]] = STRING, BOOL, INT
KIND_OF_ATTRIBUTE[[col.DOUBLE, col.OTHER]] = DOUBLE, OTHER


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """n values, or one that stands for all.

    Attributes:
        kinds: uint8[n or 1], NIL to ERROR.
        words: int64[n or 1]: the number of a string or a trace id in the pool; 0 or 1 of a bool;
            a double's 64 bits; nanoseconds; 0 of NIL.
    """

    kinds: Bytes
    words: Int64s


def column_of(kind: int, words: Int64s) -> Column:
    """A column of one kind.

    Args:
        kind: What all of its values are.
        words: int64[n or 1].
    """
    return Column(np.full(1, kind, np.uint8), words)


def doubles(column: Column) -> col.Word:
    """The numbers of a column as doubles.

    Args:
        column: Values; those that are no number give something of no meaning.

    Returns:
        float64[n or 1]; a whole number becomes the nearest double, as in Go.
    """
    return np.where(
        column.kinds == INT, column.words.astype(np.float64), column.words.view(np.float64)
    )
