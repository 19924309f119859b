"""A batch: what is joined can be taken out again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.records import NO_TIME, Headers, RecordBatch, join

PARTS = st.none() | st.binary(max_size=20)
ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**63 - 1),
        st.integers(-1, 2**63 - 1),
        PARTS,
        PARTS,
        st.none() | st.lists(st.tuples(st.text(max_size=4), st.binary(max_size=4)), max_size=2),
    ),
    max_size=8,
)
Row = tuple[int, int, int, bytes | None, bytes | None, Headers | None]


def batch_of(rows: list[Row]) -> RecordBatch:
    return join(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        [row[4] for row in rows],
        [row[5] for row in rows],
    )


@given(ROWS)
def test_what_is_joined_can_be_taken_out(rows: list[Row]) -> None:
    batch = batch_of(rows)
    assert len(batch) == len(rows)
    assert batch.partitions.tolist() == [row[0] for row in rows]
    assert batch.offsets.tolist() == [row[1] for row in rows]
    assert batch.times_ms.tolist() == [row[2] for row in rows]
    assert [batch.key(at) for at in range(len(rows))] == [row[3] or b"" for row in rows]
    assert [batch.value(at) for at in range(len(rows))] == [row[4] or b"" for row in rows]
    assert list(batch.headers) == [row[5] for row in rows]
    assert batch.buffer.tobytes() == b"".join(row[4] or b"" for row in rows)


def test_the_columns_have_their_types_whatever_they_were() -> None:
    for batch in (batch_of([]), batch_of([(1, 2, NO_TIME, b"k", b"v", None)])):
        assert batch.partitions.dtype == np.int32
        assert batch.buffer.dtype == batch.keys.dtype == np.uint8
        for column in (batch.offsets, batch.times_ms, batch.bounds, batch.key_bounds):
            assert column.dtype == np.int64
        assert len(batch.bounds) == len(batch.key_bounds) == len(batch) + 1


def test_columns_may_be_arrays_already() -> None:
    numbers = np.arange(3, dtype=np.int64)
    batch = join(numbers, numbers, numbers, [None] * 3, [b"a", None, b"c"], [None] * 3)
    assert batch.partitions.tolist() == [0, 1, 2]
    assert [batch.value(at) for at in range(3)] == [b"a", b"", b"c"]


@pytest.mark.parametrize("field", ["buffer", "bounds", "offsets"])
def test_a_batch_does_not_change_its_fields(field: str) -> None:
    batch = batch_of([(1, 2, 3, b"k", b"v", None)])
    with pytest.raises(AttributeError):
        setattr(batch, field, None)
