"""Trees read back from the store: the spans that a trace has, once, and no others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.engine import due_spans, trees
from streamsampler.engine.due_spans import DueSpans
from streamsampler.engine.trees import DueTrees, TreeReader
from streamsampler.spans.columns import Int64s, Rows
from streamsampler.store import BlockStore, Shelf
from streamsampler.store.found import Found
from streamsampler.traces.shapes import SHAPE
from streamsampler.traces.table import TRACE
from tests.engine_inputs import SHARED_STORE
from tests.otlp_records import delimited, fixed, number_field
from tests.plain_shapes import Span, shapes, span_lists

Placed = tuple[int, Span]  # number of its trace


def _trace_id(trace: int) -> bytes:
    return bytes(15) + bytes([trace + 1])


def _span_message(trace: int, span: Span) -> bytes:
    fields = [
        delimited(1, _trace_id(trace)),
        delimited(2, span.span_id),
        delimited(4, span.parent_id),
        delimited(5, span.name.encode()),
        number_field(6, span.kind),
        fixed(7, span.start_ns, 1),
        fixed(8, span.end_ns, 1),
        delimited(15, number_field(3, span.status)),
    ]
    return delimited(2, b"".join(fields))


def _attribute(key: bytes, value: bytes) -> bytes:
    return delimited(1, delimited(1, key) + delimited(2, delimited(1, value)))


def record(placed: Sequence[Placed]) -> bytes:
    """Write a record, each span under a resource of its own."""
    return b"".join(
        delimited(
            1,
            delimited(
                1, _attribute(b"host", b"h") + _attribute(trees.SERVICE, span.service.encode())
            )
            + delimited(2, _span_message(trace, span)),
        )
        for trace, span in placed
    )


class CountingShelf(Shelf):
    """Tells what was asked of it."""

    def __init__(self, store: BlockStore) -> None:
        super().__init__(store, 0, block_bytes=300)
        self.asked: list[list[int]] = []

    def find(self, records: Int64s) -> Found:
        self.asked.append(records.tolist())
        return super().find(records)


@dataclass
class Buffered:
    """Records on a shelf, and what the span ledger would say of their traces."""

    shelf: CountingShelf
    accepted: dict[int, list[tuple[Span, int]]] = field(default_factory=dict)

    def append(self, placed: Sequence[Placed], closed: Sequence[Placed] = ()) -> None:
        """Append a record; the spans of closed traces in it came too late."""
        number = self.shelf.next_record
        taken = 0
        for trace, span in placed:
            spans = self.accepted.setdefault(trace, [])
            if span.identity not in {known.identity for known, _ in spans}:
                spans.append((span, number))
                taken += 1
        value = record([*placed, *closed])
        self.shelf.append(
            np.frombuffer(value, np.uint8),
            np.array([0, len(value)], np.int64),
            np.zeros(1, np.int64),
            np.array([number], np.int64),
            np.zeros(1, np.int64),
            np.zeros(1, np.uint8),
            np.array([taken], np.int32),
            {},
        )

    def due(self) -> tuple[Rows, Int64s]:
        """The rows of all traces, and their record numbers, newest first as the ledger has them."""
        rows = np.zeros(len(self.accepted), TRACE)
        records: list[int] = []
        for trace, spans in enumerate(self.traces()):
            rows[trace]["id_lo"] = trace + 1
            rows[trace]["spans"] = len(spans)
            records += [number for _, number in self.accepted[trace]][::-1]
        return rows, np.array(records, np.int64)

    def traces(self) -> list[list[Span]]:
        return [[span for span, _ in self.accepted[at]] for at in range(len(self.accepted))]

    def trees(self) -> DueTrees:
        return TreeReader().due(DueSpans(self.shelf, *self.due()))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    path: Path = tmp_path_factory.mktemp("trees")
    with BlockStore(path / "blocks") as opened:
        yield opened


def begun(store: BlockStore) -> Buffered:
    shelf = CountingShelf(store)
    shelf.clear()
    return Buffered(shelf)


@SHARED_STORE
@given(st.lists(span_lists(), min_size=1, max_size=4), st.randoms(use_true_random=False), st.data())
def test_what_is_read_back_has_the_shape_of_what_came(
    store: BlockStore, drawn: list[list[Span]], chance: Random, data: st.DataObject
) -> None:
    buffered = begun(store)
    placed = [(trace, span) for trace, spans in enumerate(drawn) for span in spans]
    chance.shuffle(placed)
    while placed:
        size = chance.randint(1, 6)
        part, placed = placed[:size], placed[size:]
        buffered.append(part + part[:1] * chance.randint(0, 1))
    asked = np.array(data.draw(st.lists(st.booleans(), min_size=len(drawn), max_size=len(drawn))))
    reader = buffered.trees()
    expected = shapes(buffered.traces())
    part_of_all = reader.shapes(asked)
    assert part_of_all.rows[asked].tolist() == expected.rows[asked].tolist()
    assert part_of_all.rows[~asked].tolist() == np.zeros(int((~asked).sum()), SHAPE).tolist()
    all_of_them = reader.shapes(np.ones(len(drawn), np.bool_))
    assert all_of_them.rows.tolist() == expected.rows.tolist()
    for service in "abc":
        assert all_of_them.share_of(service).tolist() == expected.share_of(service).tolist()


ROOT, CHILD, OTHER = Span(1, 0, 0, 9, "a"), Span(2, 1, 2, 5, "b"), Span(3, 1, 6, 8, "c")


def test_a_record_is_read_once_however_many_traces_and_policies_need_it(store: BlockStore) -> None:
    buffered = begun(store)
    buffered.append([(0, ROOT), (1, ROOT), (2, ROOT)])
    buffered.append([(0, CHILD), (1, CHILD), (0, OTHER)])
    reader = buffered.trees()
    reader.shapes(np.array([True, True, False]))
    reader.shapes(np.array([False, True, False]))
    assert buffered.shelf.asked == [[0, 1]]
    found = reader.shapes(np.array([True, True, True]))
    assert buffered.shelf.asked == [[0, 1], [0]]
    assert found.rows["fan_out"].tolist() == [2, 1, 0]


def test_nothing_is_read_where_nothing_is_asked(store: BlockStore) -> None:
    buffered = begun(store)
    buffered.append([(0, ROOT)])
    assert buffered.trees().shapes(np.zeros(1, np.bool_)).rows["roots"].tolist() == [0]
    assert buffered.shelf.asked == []


def test_spans_that_came_too_late_for_their_trace_are_not_in_its_tree(store: BlockStore) -> None:
    buffered = begun(store)
    buffered.append([(0, ROOT)])
    buffered.append([(1, ROOT)], closed=[(0, CHILD)])
    found = buffered.trees().shapes(np.ones(2, np.bool_))
    assert found.rows["fan_out"].tolist() == [0, 0]


def test_many_traces_are_read_in_parts(store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_spans, "MOST_SPANS", 2)
    buffered = begun(store)
    for trace in range(4):
        buffered.append([(trace, ROOT)])
        if trace == 1:
            buffered.append([(trace, CHILD), (trace, OTHER)])
    found = buffered.trees().shapes(np.ones(4, np.bool_))
    assert buffered.shelf.asked == [[0], [1, 2], [3, 4]]
    assert found.rows.tolist() == shapes(buffered.traces()).rows.tolist()
    assert found.share_of("c").tolist() == shapes(buffered.traces()).share_of("c").tolist()


def test_a_span_without_a_service_counts_for_none(store: BlockStore) -> None:
    buffered = begun(store)
    buffered.append([(0, Span(1, 0, 0, 9, ""))])
    found = buffered.trees().shapes(np.ones(1, np.bool_))
    assert found.share_of("").tolist() == [1.0]
