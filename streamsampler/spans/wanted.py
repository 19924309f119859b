"""The look-up of wanted attribute keys: what it costs hardly depends on how many there are.

Hot: once an attribute of every span. A key's slot is found by its size and its two ends; the keys
of one slot are chained, and each of them is compared byte for byte.
"""

from typing import Final

import numpy as np

from streamsampler.spans.columns import ABSENT, Bytes, Int16s, Int64s, Rows, Word
from streamsampler.spans.compiled import inlined
from streamsampler.spans.fields import KEY_AT, KEY_SIZE, VALUE_KIND, VALUE_SIZE, VALUE_WORD

KEY_SLOTS: Final = 128
"""Slots of the key table, a power of two."""


@inlined
def clear_attributes(attributes: Rows, row: Word) -> None:
    """Begin a row: no wanted attribute found yet.

    Args:
        attributes: `ATTRIBUTE` rows [n, w].
        row: The row.
    """
    for key in range(attributes.shape[1]):
        attributes[row, key]["kind"] = ABSENT


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
    return (31 * size + ends) & (KEY_SLOTS - 1)


@inlined
def close_attribute(
    buffer: Bytes, keys: Bytes, key_bounds: Int64s, key_table: Int16s, found: Rows, row: Word,
    scratch: Int64s,
) -> None:  # fmt: skip
    """Write the attribute that was read down if its key is wanted and not found yet.

    Args:
        buffer: uint8, which the attribute's key lies in.
        keys: uint8, the wanted keys, joined.
        key_bounds: int64[w + 1], where each key begins and ends.
        key_table: int16[KEY_SLOTS + w], of `key_table_of` these keys.
        found: `ATTRIBUTE` rows [n, w].
        row: The row of the attribute's owner.
        scratch: What is known of the attribute (`spans.fields`).
    """
    at = scratch[KEY_AT]
    size = scratch[KEY_SIZE]
    key = np.int64(key_table[key_slot(buffer, at, size)]) - 1
    while key >= 0:
        first = key_bounds[key]
        if key_bounds[key + 1] - first == size and found[row, key]["kind"] == ABSENT:
            same = 0
            while same < size and keys[first + same] == buffer[at + same]:
                same += 1
            if same == size:
                found[row, key]["kind"] = scratch[VALUE_KIND]
                found[row, key]["word"] = scratch[VALUE_WORD]
                found[row, key]["size"] = scratch[VALUE_SIZE]
                return
        key = np.int64(key_table[KEY_SLOTS + key]) - 1


def key_table_of(keys: tuple[bytes, ...]) -> Int16s:
    """Make the table that keys are looked up in.

    Args:
        keys: The wanted keys, each once.

    Returns:
        int16[KEY_SLOTS + w]: number + 1 of the first key in each slot, and behind them for each
        key that of the next in its slot; 0: none.
    """
    table = np.zeros(KEY_SLOTS + len(keys), np.int16)
    for number, key in enumerate(keys):
        slot = key_slot(np.frombuffer(key, np.uint8), 0, len(key))
        table[KEY_SLOTS + number] = table[slot]
        table[slot] = number + 1
    return table
