"""`shape`: which trees are kept, what the settings may be, and what is said of it."""

from collections.abc import Mapping

import numpy as np
import pytest
from pydantic import ValidationError

from streamsampler.policies import TenantNumbers
from streamsampler.policies.policy_type import Compilation
from streamsampler.policies.sentences import explain
from streamsampler.policies.types.shape import SHAPE, ShapeSettings
from streamsampler.policies.votes import Bools, DueTraces
from streamsampler.traces.shapes import Shapes
from tests.plain_shapes import ERROR, Span, shapes

CALL = [Span(1, 0, 0, 100, "web"), Span(2, 1, 20, 100, "pay"), Span(3, 2, 40, 60, "bank")]
TRACES = {
    "call": CALL,
    "failed call": [*CALL[:2], Span(3, 2, 40, 60, "bank", status=ERROR)],
    "failed beside the path": [*CALL, Span(4, 1, 10, 50, "log", status=ERROR)],
    "no root": CALL[1:],
    "two roots": [*CALL, Span(9, 0, 3, 5)],
    "retried": [CALL[0], *(Span(n, 1, 10 * n, 10 * n + 5, "pay") for n in range(2, 6))],
    "wide": [CALL[0], *(Span(n, 1, 10 * n, 10 * n + 5, f"s{n}") for n in range(2, 6))],
}


def due(read: list[list[str]], names: list[str]) -> DueTraces:
    n = len(names)
    words, zeros = np.zeros(n, np.uint64), np.zeros(n, np.int64)

    def read_shapes(asked: Bools) -> Shapes:
        read.append([name for name, wanted in zip(names, asked.tolist(), strict=True) if wanted])
        return shapes([TRACES[name] for name in names])

    return DueTraces(
        id_hi=words, id_lo=words, duration_ns=zeros, spans=zeros, size_bytes=zeros, matched=words,
        tenant=np.zeros(n, np.int32), group=np.zeros(n, np.int32), randomness=words,
        incoming=np.zeros(n, np.uint64),
        partition=np.zeros(n, np.int32), decided_ms=zeros, shapes=read_shapes,
    )  # fmt: skip


def kept(settings: Mapping[str, object]) -> set[str]:
    vote = SHAPE.compile(ShapeSettings.model_validate(settings), Compilation(TenantNumbers()))
    names = list(TRACES)
    votes = vote(due([], names), np.ones(len(names), np.bool_))
    assert votes.threshold is None
    return {name for name, sampled in zip(names, votes.sampled.tolist(), strict=True) if sampled}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"min_orphans": 1}, {"no root"}),
        ({"min_roots": 2}, {"two roots"}),
        ({"missing_root": True}, {"no root"}),
        ({"missing_root": False}, set(TRACES) - {"no root"}),
        ({"min_depth": 3}, set(TRACES) - {"no root", "retried", "wide"}),
        ({"min_fan_out": 4}, {"retried", "wide"}),
        ({"min_repeats": 3}, {"retried"}),
        ({"min_fan_out": 4, "min_repeats": 5}, set()),
        ({"error_on_critical_path": True}, {"failed call"}),
        ({"error_on_critical_path": False, "min_fan_out": 2}, set(TRACES) - {
            "call", "failed call", "no root", "two roots",
        }),
        ({"service_share": {"service": "web", "min_share": 0.5}}, {"retried", "wide"}),
        (
            {"service_share": {"service": "pay", "min_share": 0.6}},
            set(TRACES) - {"retried", "wide"},
        ),
        ({"service_share": {"min_share": 0.8}}, {"retried", "wide"}),
        ({"service_share": {"service": "none such", "min_share": 0.01}}, set()),
    ],
)  # fmt: skip
def test_a_trace_is_kept_where_all_that_is_given_holds(
    settings: Mapping[str, object], expected: set[str]
) -> None:
    assert kept(settings) == expected


def test_only_the_traces_asked_about_are_read() -> None:
    vote = SHAPE.compile(ShapeSettings(min_depth=1), Compilation(TenantNumbers()))
    read: list[list[str]] = []
    traces = due(read, ["call", "wide", "no root"])
    assert vote(traces, np.array([True, False, True])).sampled.tolist() == [True, False, True]
    assert not vote(traces, np.zeros(3, np.bool_)).sampled.any()
    assert read == [["call", "no root"]]


ALL_SETTINGS = (
    "min_orphans, min_roots, missing_root, min_depth, min_fan_out, min_repeats, "
    "error_on_critical_path, service_share"
)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {},
            f"is a mapping: it asks for nothing; give at least one of {ALL_SETTINGS}",
        ),
        ({"min_depth": 0}, "is 0: expected a whole number, 1 or more"),
        (
            {"min_depth": "5"},
            'is "5": expected a whole number, 1 or more; write 5 without quotes',
        ),
        ({"missing_root": "yes"}, 'is "yes": expected true or false; write true'),
        (
            {"service_share": {"service": "pay"}},
            "is a mapping: it names a service and no share; add min_share, such as 0.5",
        ),
        (
            {"service_share": {"min_share": 1.5}},
            "is 1.5: expected a number above 0, 1 at most",
        ),
        ({"service_share": 0.5}, "is 0.5: expected a mapping of service and min_share"),
    ],
)  # fmt: skip
def test_what_is_refused(settings: Mapping[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        ShapeSettings.model_validate(settings)
    said = [explain(error, ShapeSettings) for error in refusal.value.errors()]
    assert said == [sentence]


def test_settings_are_the_same_when_they_are_read_again() -> None:
    settings = ShapeSettings.model_validate(
        {"min_depth": 3.0, "missing_root": False, "service_share": {"min_share": 1}}
    )
    document = settings.model_dump(mode="json", exclude_none=True)
    assert ShapeSettings.model_validate(document) == settings


def test_the_share_of_nothing_is_asked_for_nothing() -> None:
    with pytest.raises(ValidationError, match="asks for nothing"):
        ShapeSettings.model_validate({"service_share": {}})


def test_what_no_trace_can_be_is_said() -> None:
    assert ShapeSettings(missing_root=True, min_roots=1).remarks() != ()
    assert ShapeSettings(missing_root=True, min_orphans=1).remarks() == ()


@pytest.mark.parametrize(
    ("settings", "grounds"),
    [
        ({"min_depth": 40}, "40 or more levels"),
        ({"missing_root": True, "min_orphans": 2}, "no root, 2 or more orphan spans"),
        ({"error_on_critical_path": True}, "an error on the critical path"),
        (
            {"service_share": {"service": "bank", "min_share": 0.5}},
            "50% or more of its time in bank",
        ),
        ({"service_share": {"min_share": 0.9}}, "90% or more of its time in one service"),
    ],
)
def test_what_is_said_of_a_trace_that_was_kept(
    settings: Mapping[str, object], grounds: str
) -> None:
    assert SHAPE.grounds is not None
    assert SHAPE.grounds(ShapeSettings.model_validate(settings)) == grounds
