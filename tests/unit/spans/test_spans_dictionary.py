"""Numbers for values: equal numbers for equal bytes, and only for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.spans.columns import (
    ABSENT,
    ATTRIBUTE,
    BOOL,
    DOUBLE,
    EMPTY,
    INT,
    OTHER,
    STRING,
    Rows,
)
from streamsampler.spans.dictionary import NO_VALUE, Dictionary

Value = bytes | None
NO_STRINGS = [ABSENT, EMPTY, BOOL, INT, DOUBLE, OTHER]


def columns(values: list[Value], keys: int = 1, key: int = 0) -> tuple[np.ndarray, Rows]:
    """Attributes of one key; None is one that is no string, each of another kind."""
    attributes = np.zeros((len(values), keys), ATTRIBUTE)
    buffer = b"#"
    for row, value in enumerate(values):
        if value is None:
            attributes[row, key] = (2**63 - 1, 0, NO_STRINGS[row % len(NO_STRINGS)])
        else:
            attributes[row, key] = (len(buffer), len(value), STRING)
            buffer += value
    return np.frombuffer(buffer, np.uint8), attributes


def encode(dictionary: Dictionary, values: list[Value]) -> list[int]:
    numbers: list[int] = dictionary.encode(*columns(values), 0).tolist()
    return numbers


VALUES = st.lists(
    st.none() | st.binary(max_size=6) | st.sampled_from([b"", b"\0", b"\0\0", b"a" * 9000]),
    max_size=20,
)


@given(st.lists(VALUES, max_size=4))
def test_values_are_numbered_as_they_are_met(batches: list[list[Value]]) -> None:
    dictionary = Dictionary()
    twin: dict[bytes, int] = {}
    for values in batches:
        expected = [
            NO_VALUE if value is None else twin.setdefault(value, len(twin) + 1) for value in values
        ]
        assert encode(dictionary, values) == expected
        assert len(dictionary) == len(twin)
    assert [dictionary.value(number) for number in twin.values()] == list(twin)


def test_the_dictionary_grows_in_the_middle_of_a_batch() -> None:
    values: list[Value] = [b"value %d" % (n % 2500) for n in range(5000)]
    dictionary = Dictionary()
    assert encode(dictionary, values) == [n % 2500 + 1 for n in range(5000)]
    assert encode(dictionary, values[::-1]) == [n % 2500 + 1 for n in reversed(range(5000))]
    assert [dictionary.value(n + 1) for n in range(2500)] == values[:2500]


def test_a_value_longer_than_the_dictionary_fits() -> None:
    dictionary = Dictionary()
    long = b"x" * 100_000
    assert encode(dictionary, [b"a", long, long + b"y", long]) == [1, 2, 3, 2]
    assert dictionary.value(2) == long


def test_values_that_differ_in_one_byte_have_numbers_of_their_own() -> None:
    values: list[Value] = [bytes([n, m]) for n in range(256) for m in range(256)]
    assert encode(Dictionary(most_values=10**6), values) == list(range(1, 65_537))


@pytest.mark.parametrize("key", [0, 1, 2])
def test_only_the_attribute_asked_for_is_read(key: int) -> None:
    buffer, attributes = columns([b"a", None, b"b"], keys=3, key=key)
    for other in {0, 1, 2} - {key}:
        attributes[:, other] = (10**12, 10**6, STRING)
    assert Dictionary().encode(buffer, attributes, key).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("most_values", "most_bytes", "values", "emptied"),
    [
        (3, 100, [b"a", b"b"], False),
        (3, 100, [b"a", b"b", b"b", b"a"], False),
        (3, 100, [b"a", b"b", b"c"], True),
        (100, 6, [b"abc", b"de"], False),
        (100, 6, [b"abc", b"def"], True),
        (100, 6, [b"a" * 50], True),
        (100, 6, [b"abc"] * 5, False),
    ],
)
def test_it_is_emptied_when_it_has_passed_a_bound(
    most_values: int,
    most_bytes: int,
    values: list[Value],
    emptied: bool,  # noqa: FBT001
) -> None:
    dictionary = Dictionary(most_values, most_bytes)
    encode(dictionary, values)
    held = len(dictionary)
    assert dictionary.emptied_if_full() is emptied
    assert len(dictionary) == (0 if emptied else held)
    assert encode(dictionary, [b"new", b"a"])[0] == (1 if emptied else held + 1)


def test_a_batch_is_numbered_whole_however_many_values_it_has() -> None:
    dictionary = Dictionary(most_values=2)
    assert encode(dictionary, [b"a", b"b", b"c", b"d", b"a"]) == [1, 2, 3, 4, 1]
    assert dictionary.emptied_if_full()
    assert encode(dictionary, [b"d"]) == [1]
