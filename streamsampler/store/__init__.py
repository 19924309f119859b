"""RocksDB on disk: blocks of records as they came, and their life.

A block is written once, under a key that only grows, and deleted whole. Nothing here knows what
a trace or a policy is; Kafka is the log, so there is no write-ahead log.
"""

from streamsampler.store.blocks import LATE_SPAN, Block, check_block, decode_block, encode_block
from streamsampler.store.figures import StoreFigures
from streamsampler.store.opening import StoreError, StoreSettings
from streamsampler.store.rocks import BlockStore
from streamsampler.store.shelf import Shelf

__all__ = [
    "LATE_SPAN",
    "Block",
    "BlockStore",
    "Shelf",
    "StoreError",
    "StoreFigures",
    "StoreSettings",
    "check_block",
    "decode_block",
    "encode_block",
]
