"""The form of a block: what goes in comes out; anything else is refused in words."""

from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.records import Headers
from streamsampler.store import LATE_SPAN, Block, check_block, decode_block, encode_block

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
LATE = st.lists(st.tuples(INT64, UINT64, UINT64, st.integers(0, 2**32 - 1)), max_size=4)
HEADERS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), min_size=1, max_size=3)


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    values = draw(st.lists(st.binary(max_size=40), max_size=6))
    n = len(values)
    headers: dict[int, Headers] = {
        record: draw(HEADERS) for record in range(n) if draw(st.booleans())
    }
    return Block(
        partition=draw(st.integers(0, 2**31 - 1)),
        number=draw(st.integers(0, 2**63 - 1)),
        began=draw(INT64),
        since=draw(INT64),
        until=draw(INT64),
        until_ms=draw(INT64),
        offsets=np.array([draw(INT64) for _ in range(n)], np.int64),
        stream_ms=np.array([draw(INT64) for _ in range(n)], np.int64),
        bounds=np.cumsum([0, *map(len, values)], dtype=np.int64),
        whole=np.array([draw(st.integers(0, 1)) for _ in range(n)], np.uint8),
        spans=np.array([draw(st.integers(0, 2**31 - 1)) for _ in range(n)], np.int32),
        late=np.array(draw(LATE), LATE_SPAN),
        headers=headers,
        body=np.frombuffer(b"".join(values), np.uint8),
    )


def fields(block: Block) -> list[object]:
    arrays = (
        block.offsets, block.stream_ms, block.bounds, block.whole, block.spans, block.late,
        block.body,
    )  # fmt: skip
    return [
        block.partition,
        block.number,
        block.began,
        block.since,
        block.until,
        block.until_ms,
        {record: list(pairs) for record, pairs in block.headers.items()},
        *((array.dtype, array.tolist()) for array in arrays),
    ]


@given(blocks(), st.lists(st.integers(0, 240), max_size=3))
def test_a_block_comes_back_as_it_was_however_its_body_is_cut(
    block: Block, cuts: list[int]
) -> None:
    body = np.split(block.body, sorted(min(cut, len(block.body)) for cut in cuts))
    back = decode_block(encode_block(block, body))
    assert fields(back) == fields(block)
    assert len(back) == len(block.offsets)
    assert [back.value(record) for record in range(len(back))] == [
        block.value(record) for record in range(len(block))
    ]


def sample() -> Block:
    return Block(
        partition=3,
        number=7,
        began=2,
        since=9,
        until=11,
        until_ms=4,
        offsets=np.array([10, 11], np.int64),
        stream_ms=np.array([4, 5], np.int64),
        bounds=np.array([0, 2, 5], np.int64),
        whole=np.array([1, 0], np.uint8),
        spans=np.array([1, 2], np.int32),
        late=np.array([(10, 1, 2, 3)], LATE_SPAN),
        headers={1: [("k", b"v")]},
        body=np.frombuffer(b"abcde", np.uint8),
    )


def sample_bytes() -> bytes:
    block = sample()
    return encode_block(block, [block.body])


def with_header(header: Any, body: bytes = b"abcde") -> bytes:
    packed: bytes = msgpack.packb(header)
    return len(packed).to_bytes(4, "little") + packed + body


def sample_header() -> list[Any]:
    value = sample_bytes()
    size = int.from_bytes(value[:4], "little")
    header: list[Any] = msgpack.unpackb(value[4 : 4 + size], strict_map_key=False)
    return header


@pytest.mark.parametrize("size", range(len(sample_bytes())))
def test_a_block_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"^block (header|body) of \d+ bytes"):
        decode_block(sample_bytes()[:size])


def test_a_block_with_bytes_behind_it_is_refused() -> None:
    with pytest.raises(ValueError, match="block body of 6 bytes, 5 expected"):
        decode_block(sample_bytes() + b"x")


@pytest.mark.parametrize("version", [0, 1, 3, "2", None])
def test_a_block_of_another_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match=f"block of version {version}, where 2 was expected"):
        decode_block(with_header([version, *sample_header()[1:]]))


@pytest.mark.parametrize("parts", [[], ["a", "b"], list(range(20))])
def test_a_version_with_another_layout_is_named(parts: list[object]) -> None:
    with pytest.raises(ValueError, match="block of version 3, where 2 was expected"):
        decode_block(with_header([3, *parts], b""))


FOREIGN = [b"", b"\0", bytes(4), bytes(100), b"\xff" * 100, b"\x04\0\0\0abcd", b'{"json": true}']


@pytest.mark.parametrize("value", FOREIGN)
def test_foreign_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"block header of .* bytes cannot be read"):
        decode_block(value)


@pytest.mark.parametrize("header", [[], [2], [2] * 13, [2] * 15, 5, "text", None, {1: 2}])
def test_a_header_of_another_form_is_refused(header: object) -> None:
    with pytest.raises(ValueError, match=r"block header of .* bytes cannot be read"):
        decode_block(with_header(header))


@given(st.data())
def test_a_changed_byte_gives_a_block_or_a_refusal(data: st.DataObject) -> None:
    value = bytearray(sample_bytes())
    at = data.draw(st.integers(len(value) - 5, len(value) - 1))
    value[at] = data.draw(st.integers(0, 255))
    assert decode_block(bytes(value)).body.tobytes() == bytes(value[-5:])


def damaged(place: int, part: object) -> bytes:
    header = sample_header()
    header[place] = part
    return with_header(header)


DAMAGE = {
    "the partition is text": (1, "3"),
    "the number is missing": (2, None),
    "until is a fraction": (5, 1.5),
    "offsets are a number": (7, 5),
    "offsets are cut": (7, b"123"),
    "times are missing": (8, None),
    "bounds are empty": (9, b""),
    "late spans are cut": (12, b"1234"),
    "headers are a list": (13, [1]),
    "headers are nothing": (13, {0: None}),
    "headers are no pairs": (13, {0: [1]}),
}


def test_a_header_written_again_is_read() -> None:
    assert fields(decode_block(damaged(0, 2))) == fields(sample())


@pytest.mark.parametrize("name", DAMAGE)
def test_a_header_with_a_wrong_part_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="block header of"):
        decode_block(damaged(*DAMAGE[name]))


@given(blocks())
def test_a_block_whose_columns_rise_is_whole(block: Block) -> None:
    n = len(block)
    rising = np.arange(n, dtype=np.int64)
    check_block(replace(block, offsets=rising, stream_ms=rising // 2))


ODD: dict[str, dict[str, Any]] = {
    "a time is missing": {"stream_ms": np.array([4], np.int64)},
    "a mark too many": {"whole": np.ones(3, np.uint8)},
    "a count is missing": {"spans": np.ones(1, np.int32)},
    "a bound is missing": {"bounds": np.array([0, 5], np.int64)},
    "bounds begin late": {"bounds": np.array([1, 2, 5], np.int64)},
    "bounds fall": {"bounds": np.array([0, 6, 5], np.int64)},
    "an offset twice": {"offsets": np.array([10, 10], np.int64)},
    "stream time falls": {"stream_ms": np.array([5, 4], np.int64)},
    "headers of no record": {"headers": {2: [("k", b"v")]}},
}


@pytest.mark.parametrize("name", ODD)
def test_columns_that_do_not_fit_together_are_found(name: str) -> None:
    check_block(sample())
    with pytest.raises(ValueError, match="the columns of block 7 do not fit together"):
        check_block(replace(sample(), **ODD[name]))
