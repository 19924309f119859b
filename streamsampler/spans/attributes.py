"""Attributes as the walk of the scan meets them: a key, a value, and whether anyone wants them.

Hot: once for each attribute of every span. Wanted keys stand in a table by their size and two ends,
so that many cost what few do.
"""

from typing import Final

import numpy as np

from streamsampler.spans import columns as col
from streamsampler.spans.columns import Bytes, Int16s, Int64s, Rows, Word
from streamsampler.spans.compiled import inlined

# The first slots of the walk's scratch: what is known of the attribute being read.
KEY_AT, KEY_SIZE, VALUE_KIND, VALUE_WORD, VALUE_SIZE = range(5)
ATTRIBUTE_SLOTS: Final = 5

KEY_SLOTS: Final = 128
"""Slots of the key table, each with the first wanted key in it; the next ones stand behind them."""


@inlined
def clear(attributes: Rows, row: Word) -> None:
    """Say of a row's attributes that none is there."""
    for key in range(attributes.shape[1]):
        attributes[row, key]["kind"] = col.ABSENT


@inlined
def open_attribute(scratch: Int64s) -> None:
    """Begin to read an attribute: of a key and a value that are not there, nothing is known."""
    scratch[KEY_AT] = 0
    scratch[KEY_SIZE] = 0
    scratch[VALUE_KIND] = col.EMPTY
    scratch[VALUE_WORD] = 0
    scratch[VALUE_SIZE] = 0


@inlined
def value_field(field: Word, word: Word, at: Word, size: Word, scratch: Int64s) -> None:
    """Note what an attribute's value is; of a oneof's fields the last counts."""
    scratch[VALUE_WORD] = np.int64(word)
    scratch[VALUE_SIZE] = 0
    if field == 1:
        scratch[VALUE_KIND] = col.STRING
        scratch[VALUE_WORD] = at
        scratch[VALUE_SIZE] = size
    elif field == 2:
        scratch[VALUE_KIND] = col.BOOL
        scratch[VALUE_WORD] = 1 if word != np.uint64(0) else 0
    elif field == 3:
        scratch[VALUE_KIND] = col.INT
    elif field == 4:
        scratch[VALUE_KIND] = col.DOUBLE
    else:
        scratch[VALUE_KIND] = col.OTHER


@inlined
def key_slot(text: Bytes, at: Word, size: Word) -> Word:
    """Tell in which slot of the key table a key is looked up: by its size and its two ends.

    Args:
        text: uint8.
        at: Position of the key.
        size: Bytes of it.

    Returns:
        0 to `KEY_SLOTS` - 1.
    """
    ends = np.int64(0)
    if size > 0:
        ends = 7 * np.int64(text[at]) + np.int64(text[at + size - 1])
    return (31 * size + ends) % KEY_SLOTS


@inlined
def close_attribute(
    buffer: Bytes, keys: Bytes, key_bounds: Int64s, key_table: Int16s, found: Rows, row: Word,
    scratch: Int64s,
) -> None:  # fmt: skip
    """Write the attribute down if its key is wanted and not found yet."""
    at = scratch[KEY_AT]
    size = scratch[KEY_SIZE]
    key = np.int64(key_table[key_slot(buffer, at, size)]) - 1
    while key >= 0:
        first = key_bounds[key]
        if key_bounds[key + 1] - first == size and found[row, key]["kind"] == col.ABSENT:
            same = 0
            while same < size and keys[first + same] == buffer[at + same]:
                same += 1
            if same == size:
                found[row, key]["kind"] = scratch[VALUE_KIND]
                found[row, key]["word"] = scratch[VALUE_WORD]
                found[row, key]["size"] = scratch[VALUE_SIZE]
                return
        key = np.int64(key_table[KEY_SLOTS + key]) - 1
