"""What a shelf gives back: records, or whole blocks."""

from collections.abc import Mapping
from dataclasses import dataclass

from streamsampler.spans.columns import Bytes, Int32s, Int64s
from streamsampler.spans.records import Headers
from streamsampler.store.blocks import Block


@dataclass(frozen=True, slots=True)
class Found:
    """n records read back.

    Attributes:
        body: uint8, their values one after the other, in the order asked for.
        bounds: int64[n + 1], in the body.
        whole: uint8[n], 1 where all of the record is one trace's, without duplicates.
        spans: int32[n], buffered spans in the record.
        headers: Of the records that have some, by index.
    """

    body: Bytes
    bounds: Int64s
    whole: Bytes
    spans: Int32s
    headers: Mapping[int, Headers]


@dataclass(frozen=True, slots=True)
class Held:
    """A block that undecided traces may need.

    Attributes:
        number: Of the block; the one being filled has that which it will get.
        first: Number of its first record; the others follow by one.
        behind: The offset from which on its records do not count.
        block: What is in it.
    """

    number: int
    first: int
    behind: int
    block: Block
