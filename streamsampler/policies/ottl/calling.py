"""Functions called for columns: once for each distinct value, or for whole columns at once."""

from collections.abc import Callable, Sequence

import numpy as np

from streamsampler.policies.ottl import computing
from streamsampler.policies.ottl.functions import FUNCTIONS, Function, Plain
from streamsampler.policies.ottl.pool import Pool
from streamsampler.policies.ottl.tree import Call, Type
from streamsampler.policies.ottl.values import (
    BOOL,
    DOUBLE,
    DURATION,
    ERROR,
    INT,
    NIL,
    OTHER,
    STRING,
    Column,
)
from streamsampler.spans.columns import Int64s


def call(function: Call, columns: Sequence[Column], pool: Pool) -> Column:
    """Call a function for all rows.

    Args:
        function: Which, with its settings.
        columns: Its arguments.
        pool: Numbers strings, and remembers what functions gave.

    Returns:
        What it gives.
    """
    described = FUNCTIONS[function.name]
    if described.apply is None:
        return computing.of_column(function.name, columns[0])
    kind = DURATION if function.type is Type.DURATION else INT
    apply = _with_settings(described.apply, function.settings)
    if len(columns) != 1 or function.name == "Concat":
        return _of_rows(apply, columns, pool)
    return _of_strings(function, described, apply, kind, columns[0], pool)


def _with_settings(
    apply: Callable[..., Plain], settings: tuple[bytes | int, ...]
) -> Callable[..., Plain]:
    return lambda *values: apply(*values, *settings)


def _of_strings(
    function: Call,
    described: Function,
    apply: Callable[..., Plain],
    kind: int,
    column: Column,
    pool: Pool,
) -> Column:
    """Strings by their numbers; what else the function takes by its distinct values."""
    shape = np.broadcast_shapes(column.kinds.shape, column.words.shape)
    kinds = np.broadcast_to(column.kinds, shape)
    words = np.broadcast_to(column.words, shape)
    strings = kinds == STRING
    what = function.name, function.settings
    if strings.all():
        return pool.apply(what, apply, kind, words)
    if function.name == "Int":
        found = computing.to_int(Column(kinds, words))
    elif function.name == "Double":
        found = computing.to_double(Column(kinds, words))
    else:
        found = Column(np.full(shape, ERROR, np.uint8), np.zeros(shape, np.int64))
        if Type.INT in described.parameters[0].types:
            _fill_numbers(apply, Column(kinds, words), found, pool)
    if strings.any():
        given = pool.apply(what, apply, kind, words[strings])
        found.kinds[strings], found.words[strings] = given.kinds, given.words
    return found


def _fill_numbers(apply: Callable[..., Plain], column: Column, found: Column, pool: Pool) -> None:
    """Ask for the distinct values that are no strings."""
    for kind in (NIL, BOOL, INT, DOUBLE):
        rows = column.kinds == kind
        if rows.any():
            distinct, places = np.unique(column.words[rows], return_inverse=True)
            given = pool.evaluated(apply, [(_plain(kind, word, pool),) for word in distinct], INT)
            found.kinds[rows], found.words[rows] = given.kinds[places], given.words[places]


def _of_rows(apply: Callable[..., Plain], columns: Sequence[Column], pool: Pool) -> Column:
    """Ask for the distinct rows of several columns."""
    shape = np.broadcast_shapes((1,), *(part.shape for c in columns for part in (c.kinds, c.words)))
    failed = np.zeros(shape, np.bool_)
    places: Int64s = np.zeros(shape, np.int64)
    for column in columns:
        failed |= (column.kinds == ERROR) | (column.kinds == OTHER)
        for part in (column.kinds, column.words):
            distinct, inverse = np.unique(np.broadcast_to(part, shape), return_inverse=True)
            _, places = np.unique(places * len(distinct) + inverse, return_inverse=True)
    _, firsts, places = np.unique(places, return_index=True, return_inverse=True)
    spread = [(np.broadcast_to(c.kinds, shape), np.broadcast_to(c.words, shape)) for c in columns]
    rows = [
        tuple(_plain(kinds[row], words[row], pool) for kinds, words in spread) for row in firsts
    ]
    given = pool.evaluated(apply, rows, INT)
    kinds = np.where(failed, ERROR, given.kinds[places]).astype(np.uint8)
    return Column(kinds, given.words[places])


def _plain(kind: int, word: np.int64, pool: Pool) -> Plain:
    if kind == STRING:
        return pool.value(int(word))
    if kind == BOOL:
        return bool(word)
    if kind == DOUBLE:
        return float(word.view(np.float64))
    return int(word) if kind == INT else None
