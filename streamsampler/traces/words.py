"""Values as words: a name of any length reduced to 64 bits, the same in every batch and process.

Two values are taken for the same where their words are; by chance one pair in 2**64 is.

Hot: one multiplication for eight bytes of a name.
"""

import numpy as np

from streamsampler.spans.columns import Bytes, Int32s, Int64s, UInt64s, Word
from streamsampler.spans.compiled import kernel
from streamsampler.traces.index import mixed

_WORD_BYTES = 8


def value_words(buffer: Bytes, positions: Int64s, sizes: Int32s) -> UInt64s:
    """Reduce values to words.

    Args:
        buffer: uint8.
        positions: int64[n], where in the buffer each value begins.
        sizes: int32[n], bytes of each.

    Returns:
        uint64[n].
    """
    words = np.empty(len(positions), np.uint64)
    write_words(buffer, np.ascontiguousarray(positions), np.ascontiguousarray(sizes), words)
    return words


def word_of(value: bytes) -> Word:
    """Reduce one value to a word.

    Args:
        value: Its bytes.

    Returns:
        uint64.
    """
    size = np.array([len(value)], np.int32)
    return value_words(np.frombuffer(value, np.uint8), np.zeros(1, np.int64), size)[0]


def label_words(services: UInt64s, operations: UInt64s) -> UInt64s:
    """Reduce services and operations to labels.

    Args:
        services: uint64[n], words.
        operations: uint64[n], words.

    Returns:
        uint64[n], words.
    """
    words = np.empty(len(services), np.uint64)
    write_labels(services, operations, words)
    return words


@kernel
def write_words(buffer: Bytes, positions: Int64s, sizes: Int32s, words: UInt64s) -> None:
    """Reduce values to words.

    Args:
        buffer: uint8.
        positions: int64[n], where in the buffer each value begins.
        sizes: int32[n], bytes of each.
        words: uint64[n], written.
    """
    for one in range(len(positions)):
        at = positions[one]
        behind = at + np.int64(sizes[one])
        word = np.uint64(sizes[one])
        while at < behind:
            piece = np.uint64(0)
            for index in range(min(_WORD_BYTES, behind - at)):
                piece |= np.uint64(buffer[at + index]) << np.uint64(8 * index)
            word = mixed(word, piece)
            at += _WORD_BYTES
        words[one] = word


@kernel
def write_labels(services: UInt64s, operations: UInt64s, words: UInt64s) -> None:
    """Reduce services and operations to labels.

    Args:
        services: uint64[n], words.
        operations: uint64[n], words.
        words: uint64[n], written.
    """
    for one in range(len(services)):
        words[one] = mixed(services[one], operations[one])
