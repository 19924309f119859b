"""What a store promises of bytes that are no block."""

from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from streamsampler.store import BlockStore, StoreError, decode_block

NUMBERS = np.array([0], np.int64).tobytes()
SOUND: list[Any] = [
    1, 0, 0, 0, NUMBERS, NUMBERS, np.array([0, 1], np.int64).tobytes(), b"\1", b"\1\0\0\0", {},
]  # fmt: skip


def encoded(place: int, part: object) -> bytes:
    header = [*SOUND]
    header[place] = part
    packed: bytes = msgpack.packb(header)
    return len(packed).to_bytes(4, "little") + packed + b"x"


DAMAGE = {
    "offsets are a number": (4, 5),
    "offsets are cut": (4, b"123"),
    "times are missing": (5, None),
    "bounds are empty": (6, b""),
    "headers are a list": (9, [1]),
    "headers are nothing": (9, {0: None}),
    "headers are no pairs": (9, {0: [1]}),
}


def test_a_sound_block_is_read() -> None:
    assert decode_block(encoded(0, 1)).value(0) == b"x"


@pytest.mark.parametrize("name", DAMAGE)
def test_a_header_with_a_wrong_part_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="block"):
        decode_block(encoded(*DAMAGE[name]))


@pytest.mark.parametrize("name", DAMAGE)
def test_a_store_says_which_block_is_damaged(name: str, tmp_path: Path) -> None:
    with BlockStore(tmp_path / "blocks") as store:
        store.put(0, 4, encoded(*DAMAGE[name]))
        with pytest.raises(StoreError, match="block 4 .* is damaged"):
            store.block(0, 4)
