"""What a store promises of blocks that another version of it has written."""

import msgpack
import pytest

from streamsampler.store import decode_block


@pytest.mark.parametrize("parts", [[], ["a", "b"], list(range(20))])
def test_a_version_with_another_layout_is_named(parts: list[object]) -> None:
    header: bytes = msgpack.packb([2, *parts])
    with pytest.raises(ValueError, match="block of version 2, where 1 was expected"):
        decode_block(len(header).to_bytes(4, "little") + header)
