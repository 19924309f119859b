"""The span tree: by parent ids, every span once, whatever the ids and the clocks."""

from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsampler.traces.tree import Role, SpanTree, span_tree

CLIENT, SERVER = 3, 2


@dataclass(frozen=True, slots=True)
class Row:
    span_id: bytes
    parent_id: bytes = b""
    start_ns: int = 0
    end_ns: int = 0
    kind: int = 1
    name: str = ""


def drawn(tree: SpanTree[Row]) -> list[str]:
    return ["  " * node.depth + node.span.span_id.decode() for node in tree.nodes]


def roles(tree: SpanTree[Row]) -> dict[bytes, Role]:
    return {node.span.span_id: node.role for node in tree.nodes}


ids = st.binary(min_size=1, max_size=1)
rows = st.builds(
    Row,
    span_id=ids,
    parent_id=st.one_of(st.just(b""), ids),
    start_ns=st.integers(0, 5),
    end_ns=st.integers(0, 9),
    kind=st.integers(0, 5),
    name=st.sampled_from(["a", "b"]),
)
few_ids = st.sampled_from([b"1", b"2", b"3", b"4", b"5", b"6"])
tangled_rows = st.builds(
    Row,
    span_id=few_ids,
    parent_id=few_ids,
    start_ns=st.integers(0, 2),
    kind=st.sampled_from([CLIENT, SERVER]),
)
traces = st.one_of(st.lists(rows, max_size=30), st.lists(tangled_rows, max_size=12))


def test_no_spans_make_an_empty_tree() -> None:
    assert span_tree(list[Row]()) == SpanTree((), 0, 0)


def test_children_stand_under_their_parent_by_start_then_id() -> None:
    tree = span_tree(
        [
            Row(b"late", b"root", start_ns=9),
            Row(b"b", b"root", start_ns=5),
            Row(b"a", b"root", start_ns=5),
            Row(b"below", b"b", start_ns=6),
            Row(b"root", start_ns=1),
        ],
    )

    assert drawn(tree) == ["root", "  a", "  b", "    below", "  late"]
    assert [tree.nodes[child].span.span_id for child in tree.nodes[0].children] == [
        b"a",
        b"b",
        b"late",
    ]
    assert [node.parent for node in tree.nodes] == [-1, 0, 0, 2, 0]


def test_clocks_do_not_decide_on_parentage() -> None:
    before_its_parent = Row(b"child", b"root", start_ns=-100, end_ns=-50)
    outlives_its_parent = Row(b"thread", b"root", start_ns=5, end_ns=900)
    tree = span_tree([Row(b"root", start_ns=0, end_ns=10), before_its_parent, outlives_its_parent])

    assert drawn(tree) == ["root", "  child", "  thread"]
    assert (tree.start_ns, tree.duration_ns) == (-100, 1000)


def test_a_span_whose_parent_is_not_here_is_an_orphan_after_the_roots() -> None:
    tree = span_tree([Row(b"o", b"gone", start_ns=1), Row(b"r", start_ns=7), Row(b"c", b"o")])

    assert drawn(tree) == ["r", "o", "  c"]
    assert roles(tree) == {b"r": Role.ROOT, b"o": Role.ORPHAN, b"c": Role.CHILD}


@pytest.mark.parametrize(
    ("spans", "expected", "top"),
    [
        ([Row(b"a", b"a")], ["a"], b"a"),
        ([Row(b"a", b"b", start_ns=2), Row(b"b", b"a", start_ns=1)], ["b", "  a"], b"b"),
        (
            [Row(b"a", b"c"), Row(b"b", b"a"), Row(b"c", b"b"), Row(b"tail", b"c")],
            ["a", "  b", "    c", "      tail"],
            b"a",
        ),
    ],
    ids=["its own parent", "two", "three with a tail"],
)
def test_a_loop_of_parents_is_opened_at_its_first_span(
    spans: list[Row],
    expected: list[str],
    top: bytes,
) -> None:
    tree = span_tree(spans)

    assert drawn(tree) == expected
    assert [span for span, role in roles(tree).items() if role is Role.LOOP] == [top]


@pytest.mark.parametrize("start_of_server", [1, 3], ids=["server first", "client first"])
def test_children_of_a_shared_id_stand_under_the_server_side(start_of_server: int) -> None:
    tree = span_tree(
        [
            Row(b"root"),
            Row(b"call", b"root", start_ns=2, kind=CLIENT),
            Row(b"call", b"root", start_ns=start_of_server, kind=SERVER),
            Row(b"query", b"call", start_ns=4),
        ],
    )

    query = next(node for node in tree.nodes if node.span.span_id == b"query")
    assert tree.nodes[query.parent].span.kind == SERVER


def test_an_end_before_every_start_is_a_duration_of_zero() -> None:
    assert span_tree([Row(b"a", start_ns=10, end_ns=3)]).duration_ns == 0


def test_a_chain_of_any_length_is_no_recursion() -> None:
    length = 20_000
    names = [b"%d" % number for number in range(length)]
    chain = [Row(name, parent) for name, parent in zip(names, [b"", *names], strict=False)]

    assert span_tree(chain).nodes[-1].depth == length - 1


@given(traces)
def test_every_span_appears_exactly_once(spans: list[Row]) -> None:
    tree = span_tree(spans)

    assert sorted(map(repr, spans)) == sorted(repr(node.span) for node in tree.nodes)


@given(traces)
def test_nodes_and_their_ties_agree(spans: list[Row]) -> None:
    tree = span_tree(spans)

    for at, node in enumerate(tree.nodes):
        assert all(tree.nodes[child].parent == at for child in node.children)
        assert (node.role is Role.CHILD) == (node.parent >= 0)
        if node.role is Role.CHILD:
            above = tree.nodes[node.parent]
            assert node.parent < at
            assert at in above.children
            assert node.depth == above.depth + 1
            assert node.span.parent_id == above.span.span_id
        else:
            assert node.depth == 0


@given(traces)
def test_roles_follow_from_the_ids(spans: list[Row]) -> None:
    present = {span.span_id for span in spans}
    for node in span_tree(spans).nodes:
        if not node.span.parent_id:
            assert node.role is Role.ROOT
        elif node.span.parent_id not in present:
            assert node.role is Role.ORPHAN
        else:
            assert node.role in {Role.CHILD, Role.LOOP}


@given(traces, st.randoms(use_true_random=False))
def test_the_tree_does_not_depend_on_the_order_of_arrival(
    spans: list[Row],
    random: Random,
) -> None:
    shuffled = list(spans)
    random.shuffle(shuffled)

    assert span_tree(shuffled) == span_tree(spans)


@given(traces, st.integers(-(10**9), 10**9))
def test_clock_shifts_of_the_whole_trace_change_no_tie(spans: list[Row], shift: int) -> None:
    shifted = [
        replace(span, start_ns=span.start_ns + shift, end_ns=span.end_ns + shift) for span in spans
    ]

    assert drawn_ties(span_tree(shifted)) == drawn_ties(span_tree(spans))


def drawn_ties(tree: SpanTree[Row]) -> list[tuple[bytes, int, int]]:
    return [(node.span.span_id, node.parent, node.depth) for node in tree.nodes]
