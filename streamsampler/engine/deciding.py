"""Rows of traces to what the policies are asked, and their answers to decisions.

Hot: NumPy over all due traces of a partition, and one tuple a decision.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TypeVar

import numpy as np

from streamsampler.estimates import NO_THRESHOLD, adjusted_counts, encode
from streamsampler.outcome import TRIGGERS, VERDICTS, Decision
from streamsampler.policies import DueTraces, Verdicts
from streamsampler.policies.compiled import SAMPLED
from streamsampler.policies.grounds import grounds_of
from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.together import CompiledSets
from streamsampler.policies.types import TYPES
from streamsampler.policies.votes import ReadShapes, Texts, no_shapes
from streamsampler.spans.columns import Booleans, Int32s, Int64s, Rows, UInt32s, UInt64s
from streamsampler.spans.randomness import NO_RANDOMNESS
from streamsampler.traces.spans_out import WORD_BYTES
from streamsampler.traces.table import ERROR, LIMIT, ROOT

Value = TypeVar("Value")

_R_BITS = np.uint64((1 << 56) - 1)
_MOST_NS = np.uint64(np.iinfo(np.int64).max)
_COMPLETE = TRIGGERS.index("complete")
_TIMEOUT = TRIGGERS.index("timeout")
_LIMIT = TRIGGERS.index("limit")


@dataclass(frozen=True, slots=True)
class Words:
    """What decisions say of the policies in force.

    Attributes:
        versions: Of each set.
        names: Of each policy, of all sets one after the other; then None, for none.
        grounds: What a trace had that the policy sampled or dropped, likewise.
        wait_ms: The longest that a trace waits for its verdict.
    """

    versions: tuple[str, ...]
    names: tuple[str | None, ...]
    grounds: tuple[str | None, ...]
    wait_ms: int


def words_on(compiled: CompiledSets, types: Mapping[str, PolicyType] = TYPES) -> Words:
    """Put together what decisions say of policies.

    Args:
        compiled: The policies.
        types: The registry of types.

    Returns:
        The words.
    """
    grounds = [grounds_of(policy, types) for policy in compiled.policies]
    return Words(
        versions=tuple(compiled.versions),
        names=(*(policy.name for policy in compiled.policies), None),
        grounds=(*grounds, None),
        wait_ms=compiled.sets.default.decision_wait_ms,
    )


def decisions_on(  # noqa: PLR0913 - what a decision rests on
    partition: int, traces: Rows, verdicts: Verdicts, deciders: Int32s, words: Words,
    tenants: Sequence[str | None], triggers: Int64s, decided: Int64s, out: UInt64s,
) -> Iterator[Decision]:  # fmt: skip
    """Write verdicts down with what they rest on.

    Args:
        partition: The input partition.
        traces: `TRACE` rows [n].
        verdicts: On these.
        deciders: int32[n], the set that gave each.
        words: What is said of policies.
        tenants: The tenants by number; None for none.
        triggers: int64[n], by number, what made each due.
        decided: int64[n], stream time of each verdict, ms.
        out: uint64[spans of the sampled ones], trace by trace (`traces.spans_out`).

    Returns:
        The decisions, in the order of the traces.
    """
    count = len(traces)
    policies = verdicts.policy.tolist()
    sampled = verdicts.decision == SAMPLED
    stated = sampled & (verdicts.threshold != NO_THRESHOLD)
    known = sampled & ~np.isnan(verdicts.adjusted)
    columns = (
        repeat(partition, count),
        _trace_ids(traces),
        map(VERDICTS.__getitem__, verdicts.decision.tolist()),
        map(words.names.__getitem__, policies),
        map(TRIGGERS.__getitem__, triggers.tolist()),
        _where(stated, map(encode, verdicts.threshold[stated].tolist())),
        _where(known, verdicts.adjusted[known].tolist()),
        traces["spans"].tolist(),
        traces["size"].tolist(),
        _durations(traces).tolist(),
        map(tenants.__getitem__, traces["tenant"].tolist()),
        ((traces["flags"] & ERROR) != 0).tolist(),
        decided.tolist(),
        traces["first_offset"].tolist(),
        map(words.versions.__getitem__, deciders.tolist()),
        _spans_out(sampled, traces["spans"][sampled], out),
        _grounds(words, policies, verdicts.measured),
        map(words.names.__getitem__, verdicts.dry.tolist()),
    )
    return map(Decision._make, zip(*columns, strict=True))


def _grounds(words: Words, policies: list[int], measured: Texts | None) -> Iterator[str | None]:
    """What each trace had, with what was measured beside it."""
    grounds = map(words.grounds.__getitem__, policies)
    if measured is None:
        return grounds
    both = zip(grounds, measured.tolist(), strict=True)
    return (text if known is None else f"{text} ({known})" for text, known in both)


def _trace_ids(traces: Rows) -> list[bytes]:
    words = np.stack([traces["id_hi"], traces["id_lo"]], axis=1).astype(">u8").tobytes()
    return [words[at : at + 16] for at in range(0, len(words), 16)]


def _spans_out(sampled: Booleans, spans: UInt32s, words: UInt64s) -> list[bytes]:
    """The words of each sampled trace, as bytes."""
    made = [b""] * len(sampled)
    packed = words.astype("<u8").tobytes()
    start = 0
    for place, count in zip(np.flatnonzero(sampled).tolist(), spans.tolist(), strict=True):
        made[place] = packed[start : start + WORD_BYTES * count]
        start += WORD_BYTES * count
    return made


def _where(chosen: Booleans, values: Iterable[Value]) -> list[Value | None]:
    """The values at the chosen places, None elsewhere."""
    made: list[Value | None] = [None] * len(chosen)
    for place, value in zip(np.flatnonzero(chosen).tolist(), values, strict=True):
        made[place] = value
    return made


def _durations(traces: Rows) -> Int64s:
    """Largest end minus smallest start, ns; 0 where every span ends before it starts."""
    longer = traces["end"] > traces["start"]
    width = np.where(longer, traces["end"] - traces["start"], np.uint64(0))
    return np.minimum(width, _MOST_NS).astype(np.int64)


def _randomness(traces: Rows) -> UInt64s:
    """R: what the tracestate says, or the low 56 bits of the trace id."""
    stated = traces["randomness"] != np.uint64(NO_RANDOMNESS)
    return np.where(stated, traces["randomness"], traces["id_lo"] & _R_BITS)


def due_traces(
    partition: int, traces: Rows, groups: Int32s, trigger: str, now_ms: int,
    shapes: ReadShapes = no_shapes,
) -> DueTraces:  # fmt: skip
    """Put together what the policies are asked.

    Args:
        partition: The input partition.
        traces: `TRACE` rows [n].
        groups: int32[n], numbers of their groups.
        trigger: What made them due, where it was the same for all; else empty.
        now_ms: Stream time.
        shapes: Tells the shapes of those asked for.

    Returns:
        The columns, in the order of the traces.
    """
    return DueTraces(
        id_hi=np.ascontiguousarray(traces["id_hi"]),
        id_lo=np.ascontiguousarray(traces["id_lo"]),
        duration_ns=_durations(traces),
        spans=traces["spans"].astype(np.int64),
        size_bytes=traces["size"].astype(np.int64),
        matched=np.ascontiguousarray(traces["matched"]),
        tenant=traces["tenant"].astype(np.int32),
        group=groups,
        randomness=_randomness(traces),
        incoming=np.ascontiguousarray(traces["incoming"]),
        partition=np.full(len(traces), partition, np.int32),
        decided_ms=np.ascontiguousarray(decided_ms(traces, trigger, now_ms)),
        shapes=shapes,
    )


def after_head(verdicts: Verdicts, incoming: UInt64s) -> Verdicts:
    """Make verdicts tell what traces stand for that were sampled before.

    A threshold only ever rises: T = max(T_in, T). Where no T is known but how many traces a kept
    one stands for, that is multiplied by what an arriving one stands for.

    Args:
        verdicts: On n traces, as if none of them had been sampled before.
        incoming: uint64[n], T that they came with.

    Returns:
        The same verdicts.

    Source: OpenTelemetry specification, tracestate probability sampling.
    """
    if not incoming.any():
        return verdicts
    stated = verdicts.threshold != np.uint64(NO_THRESHOLD)
    threshold = np.where(stated, np.maximum(verdicts.threshold, incoming), verdicts.threshold)
    unstated = verdicts.adjusted * adjusted_counts(incoming)
    adjusted = np.where(stated, adjusted_counts(threshold), unstated)
    return replace(verdicts, threshold=threshold, adjusted=adjusted)


def decided_ms(traces: Rows, trigger: str, now_ms: int) -> Int64s:
    """Tell the stream time of each decision; at a shutdown it has not reached the deadlines.

    Args:
        traces: `TRACE` rows [n].
        trigger: What made them due, where it was the same for all; else empty.
        now_ms: Stream time.

    Returns:
        int64[n], ms.
    """
    return np.full(len(traces), now_ms, np.int64) if trigger else traces["due_ms"]


def triggers_of(traces: Rows, trigger: str, wait_ms: int) -> Int64s:
    """Tell what made each trace due.

    Args:
        traces: `TRACE` rows [n].
        trigger: What it was, where it was the same for all; else empty.
        wait_ms: The longest that a trace waits for its verdict.

    Returns:
        int64[n], places in `TRIGGERS`.
    """
    if trigger:
        return np.full(len(traces), TRIGGERS.index(trigger), np.int64)
    limit = (traces["flags"] & LIMIT) != 0
    complete = ((traces["flags"] & ROOT) != 0) & (traces["missing"] == 0)
    early = traces["due_ms"] < traces["first_ms"] + wait_ms
    return np.where(limit, _LIMIT, np.where(complete & early, _COMPLETE, _TIMEOUT))
