"""`streamsampler demo`: it runs, it judges itself, and it would notice what is wrong."""

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from click.testing import CliRunner

from streamsampler.cli import main
from streamsampler.cli.demo import POLICIES, Results, Seen, mismatches, showcase
from streamsampler.outcome import Counts, Decision
from streamsampler.policies import load_policy_set
from streamsampler.spans.payload import new_traces
from streamsampler.traffic import Expectation, unknown_policies


def span_ids(trace: int, spans: int) -> tuple[bytes, ...]:
    return tuple((100 * trace + n).to_bytes(8, "big") for n in range(1, spans + 1))


def expectation(trace: int, policy: str | None, spans: int) -> Expectation:
    return Expectation(
        trace_id=trace.to_bytes(16, "big"),
        decision="sampled" if policy else "not_sampled",
        policy=policy,
        span_ids=span_ids(trace, spans) if policy else (),
        on_time=spans,
        late=0,
        duplicates=0,
        tenant=None,
        duration_ns=0,
        records=1,
    )


def decision(trace: int, policy: str | None, spans: int, *, error: bool = False) -> Decision:
    return Decision(
        partition=0,
        trace_id=trace.to_bytes(16, "big"),
        decision="sampled" if policy else "not_sampled",
        policy=policy,
        trigger="complete",
        threshold=None,
        adjusted_count=None,
        spans=spans,
        size_bytes=0,
        duration_ns=0,
        tenant=None,
        error=error,
        decided_at_ms=0,
        first_offset=0,
        policy_version="0" * 12,
    )


def value(trace: int, spans: int, *, failed: int = 0) -> bytes:
    """A trace of a root and its children, the last ones failed."""
    traces = new_traces()
    written = traces.resource_spans.add().scope_spans.add().spans
    ids = span_ids(trace, spans)
    for place, span_id in enumerate(ids):
        span = written.add()
        span.span_id = span_id
        span.parent_span_id = ids[0] if place else b""
        span.status.code = 2 if place >= spans - failed else 0
    return traces.SerializeToString()


def right() -> tuple[Results, list[Expectation], Counts]:
    expected = [expectation(1, "errors", 3), expectation(2, None, 4), expectation(3, "slow", 2)]
    decisions = [decision(1, "errors", 3), decision(2, None, 4), decision(3, "slow", 2)]
    output = {
        (1).to_bytes(16, "big"): [value(1, 3)],
        (3).to_bytes(16, "big"): [value(3, 2)],
    }
    return Results(decisions, output), expected, Counts(spans_in=9, kept=5, not_sampled=4)


def test_what_is_right_has_no_mismatch() -> None:
    assert mismatches(*right()) == []


def test_every_kind_of_wrong_result_is_found() -> None:
    results, expected, counts = right()
    decided, output = list(results.decisions), dict(results.output)
    first = expected[0].trace_id

    other_policy = [decided[0], decided[1]._replace(policy="slow"), decided[2]]
    found = [
        mismatches(Results([*decided, decided[1]], output), expected, counts),
        mismatches(Results(other_policy, output), expected, counts),
        mismatches(Results(decided[:2], output), expected, counts),
        mismatches(results, expected[:2], counts),
        mismatches(Results(decided, output | {first: [value(1, 2)]}), expected, counts),
        mismatches(Results(decided, output | {first: [value(1, 3)] * 2}), expected, counts),
        mismatches(results, expected, replace(counts, kept=6)),
        mismatches(replace(results, dead_letters=1), expected, counts),
    ]

    for problems, said in zip(
        found,
        (
            "decided twice",
            "verdicts are wrong",
            "verdicts are wrong",
            "never generated",
            "not as they must be",
            "not as they must be",
            "6 spans were kept and 5 are on the output topic",
            "0 records were bad and 1 are on the dead-letter topic",
        ),
        strict=True,
    ):
        assert any(said in problem for problem in problems)


def test_the_trace_shown_has_a_handy_size_and_an_error_in_a_child() -> None:
    kept = {
        1: value(1, 3, failed=1),
        2: value(2, 8),
        3: value(3, 8, failed=1),
        4: value(4, 40, failed=2),
    }
    results = Results(
        [decision(trace, "errors", 1) for trace in (*kept, 5)],
        {trace.to_bytes(16, "big"): [one] for trace, one in kept.items()},
    )

    chosen = showcase(results)

    assert chosen is not None
    assert chosen[0].trace_id == (3).to_bytes(16, "big")
    assert len(chosen[1]) == 8
    assert showcase(Results([decision(5, None, 1)], {})) is None


def test_the_oracle_knows_every_policy_of_the_demo() -> None:
    policy_set = load_policy_set(POLICIES, "the demo's policies")
    assert policy_set.warnings == ()
    assert unknown_policies(policy_set) == ()


def test_the_demo_ends_with_the_verdicts_the_law_and_a_waterfall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    result = CliRunner().invoke(main, ["demo", "--traces", "1000", "--seed", "1", "--no-color"])

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    table, law, trace = (
        next(place for place, line in enumerate(lines) if line.startswith(start))
        for start in ("Verdicts by policy", "spans in ", "Kept by ")
    )
    assert table < law < trace
    assert lines[law].endswith(": holds")
    assert "at_least_once" in lines[law - 1]
    assert any("█" in line for line in lines[trace:])
    assert "\x1b" not in result.stdout


def test_the_demo_fails_and_says_so_where_the_law_does_not_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sampled(*arguments: Any) -> Seen:
        seen: Seen = sample(*arguments)
        first = min(seen.counts)
        seen.counts[first] = replace(seen.counts[first], spans_in=seen.counts[first].spans_in + 7)
        return seen

    module = import_module("streamsampler.cli.demo")
    sample = module._sample
    monkeypatch.setattr(module, "_sample", sampled)

    result = CliRunner().invoke(main, ["demo", "--traces", "200", "--seed", "1", "--no-color"])

    assert result.exit_code == 1
    (law,) = [line for line in result.stdout.splitlines() if line.startswith("spans in ")]
    assert law.endswith(": DOES NOT HOLD, +7 spans unaccounted for")
