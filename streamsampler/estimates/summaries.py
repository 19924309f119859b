"""What a worker publishes of one interval of stream time and one partition: the sketches topic.

A record is a msgpack array ``[1, kind, partition, interval, part, body]``. Partition, interval and
part are its identity: what comes again replaces what came before. The body is an array of rows,
each the fields of its class in their order, mappings as arrays of pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import msgpack

FORMAT: Final = 1
INTERVAL_MS: Final = 5_000
"""Of stream time; interval n is from 5,000 n ms on."""
MOST_UNTOLD: Final = 720
"""Intervals that wait to be told: an hour between two commits. A replay tells nobody."""
SKETCH_K: Final = 2048
"""A rank is wrong by 0.14 % at most, 99 times in 100: enough to tell 1 % of the traces."""

Group = tuple[bytes, bytes, bytes]
"""Tenant, root service and root name of a trace; empty where unknown."""
Key = tuple[bytes, ...]
"""What a budget is shared by."""
Balance = Literal["fair", "log", "shares"]
"""How a goal is divided: rates by water-filling or by logarithms, or shares of it by partition."""
Sketch = bytes
"""A serialized KLL sketch of floats."""


class SummaryError(ValueError):
    """A record that is no summary; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """The traces of a group that were decided.

    Attributes:
        group: Which.
        traces: How many.
        spans: In them.
        bytes: In them.
        errors: Traces with an ERROR span.
        kept: Traces sampled.
        rootless: Traces whose root never came.
        orphaned: Traces with parents that never came.
        adjusted: Sum of the traces' incoming adjusted counts.
        sketch: Their durations in ms, a serialized KLL sketch of floats.
    """

    group: Group
    traces: int
    spans: int
    bytes: int
    errors: int
    kept: int
    rootless: int
    orphaned: int
    adjusted: float
    sketch: Sketch


@dataclass(frozen=True, slots=True)
class Goal:
    """What a shared budget is for.

    Attributes:
        unit: `traces`, `spans` or `bytes`.
        per_second: For the whole group of workers.
        initial: The rate of a key that nobody has seen, 0 to 1.
        balance: How it is divided among the keys.
        caps: The largest rate of a key.
        default_cap: Of the other keys.
        weights: How much of the budget a key may have against others.
        default_weight: Of the other keys.
        max_keys: How many keys have rates of their own; of `shares`, how many there are.
    """

    unit: str
    per_second: float
    initial: float
    balance: Balance
    caps: Mapping[Key, float]
    default_cap: float
    weights: Mapping[Key, float]
    default_weight: float
    max_keys: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What a budget was asked for.

    Attributes:
        policy: The policy's name, `set/policy/part`.
        goal: Its goal.
        costs: For each key, how many traces and what they would cost.
    """

    policy: str
    goal: Goal
    costs: Mapping[Key, tuple[int, float]]


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """The spans of a service.

    Attributes:
        service: Its name.
        spans: How many.
        errors: With status ERROR.
        entry_spans: That others call it by.
        lost_context: Consumer spans with neither parent nor link.
        missing_attributes: How many spans lack an attribute they should have, by its name.
        oversized: Spans with an attribute value over the limit.
    """

    service: bytes
    spans: int
    errors: int
    entry_spans: int
    lost_context: int
    missing_attributes: Mapping[bytes, int]
    oversized: int


@dataclass(frozen=True, slots=True)
class PairSummary:
    """The calls of one service to another.

    Attributes:
        caller: Who calls.
        callee: Who is called.
        calls: How many.
        errors: Calls with status ERROR.
        orphans: Calls whose other side never came.
        skew_ms_sum: By how much the callee's clock seems ahead, summed over `skews` calls; ms.
        skews: How many calls tell.
    """

    caller: bytes
    callee: bytes
    calls: int
    errors: int
    orphans: int
    skew_ms_sum: float
    skews: int


@dataclass(frozen=True, slots=True)
class Services:
    """Services, and pairs of them."""

    services: tuple[ServiceSummary, ...]
    pairs: tuple[PairSummary, ...]


Row = TypeVar("Row", GroupSummary, Demand)
Body = tuple[GroupSummary, ...] | tuple[Demand, ...] | Services


@dataclass(frozen=True, slots=True)
class Summary:
    """A record of the sketches topic.

    Attributes:
        kind: `groups`, `demands` or `services`.
        partition: Of the input.
        interval: Number of the interval of stream time.
        part: Tells the sums of two owners of the partition apart: when the owner took it over, ms
            of wall time.
        body: What it sums up.
    """

    kind: str
    partition: int
    interval: int
    part: int
    body: Body


def group_summary(
    group: Group, counts: Sequence[int], adjusted: float, sketch: Sketch
) -> GroupSummary:
    """Sum a group up.

    Args:
        group: Which.
        counts: traces, spans, bytes, errors, kept, rootless, orphaned.
        adjusted: Sum of the traces' incoming adjusted counts.
        sketch: Their durations in ms.

    Returns:
        The summary.
    """
    traces, spans, size, errors, kept, rootless, orphaned = counts
    return GroupSummary(
        group, traces, spans, size, errors, kept, rootless, orphaned, adjusted, sketch
    )


def rows_of(kind: type[Row], summary: Summary) -> tuple[Row, ...]:
    """Take the rows of one kind out of a summary.

    Args:
        kind: Which.
        summary: Any.

    Returns:
        The rows; none where it has others.
    """
    if isinstance(summary.body, Services):
        return ()
    return tuple(row for row in summary.body if isinstance(row, kind))


def pack(summary: Summary) -> bytes:
    """Write a summary.

    Args:
        summary: Any.

    Returns:
        The record's value.
    """
    body = summary.body
    rows: list[Any] = (
        [[_row(row) for row in body.services], [_row(row) for row in body.pairs]]
        if isinstance(body, Services)
        else [_row(row) for row in body]
    )
    head = [FORMAT, summary.kind, summary.partition, summary.interval, summary.part]
    packed: bytes = msgpack.packb([*head, rows])
    return packed


def unpack(value: bytes) -> Summary:
    """Read a summary.

    Args:
        value: A record's value.

    Returns:
        The summary.

    Raises:
        SummaryError: It is none.
    """
    try:
        record = msgpack.unpackb(value, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        # A TypeError says that a map has a map or an array for a key.
        raise SummaryError(f"not msgpack: {error}.") from error
    if not isinstance(record, list) or len(record) != 6:
        raise SummaryError("expected an array of format, kind, partition, interval, part and body.")
    version, kind, partition, interval, part, rows = record
    if version != FORMAT or not isinstance(kind, str) or kind not in READERS:
        raise SummaryError(f"format {version!r} and kind {kind!r} are not known here.")
    if not all(type(number) is int for number in (partition, interval, part)):
        raise SummaryError("partition, interval and part must be whole numbers.")
    try:
        body = READERS[kind](rows)
    except (TypeError, ValueError, AttributeError) as error:
        raise SummaryError(f"a body of {kind} that cannot be read: {error}.") from error
    return Summary(kind, partition, interval, part, body)


def _row(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [[_row(key), _row(item)] for key, item in value.items()]
    if isinstance(value, tuple):
        return [_row(item) for item in value]
    if hasattr(value, "__slots__"):
        return [_row(getattr(value, name)) for name in value.__slots__]
    return value


def _checked(row: Any, *kinds: type) -> list[Any]:
    if not isinstance(row, list) or len(row) != len(kinds):
        raise ValueError(f"expected a row of {len(kinds)}")
    for value, kind in zip(row, kinds, strict=True):
        whole = kind is float and type(value) is int
        if not (whole or type(value) is kind):
            raise ValueError(f"expected {kind.__name__}, found {type(value).__name__}")
    return row


def _key(value: Any) -> Key:
    if not isinstance(value, list) or not all(isinstance(part, bytes) for part in value):
        raise ValueError("expected a key of byte strings")
    return tuple(value)


def _group(row: Any) -> GroupSummary:
    group, *rest = _checked(row, list, int, int, int, int, int, int, int, float, bytes)
    tenant, service, name = _key(group)
    return GroupSummary((tenant, service, name), *rest)


def balance_of(value: Any) -> Balance:
    """Check how a goal is divided.

    Args:
        value: As it was read.

    Returns:
        The same.

    Raises:
        ValueError: It is none of `Balance`.
    """
    if value in ("fair", "log", "shares"):
        known: Balance = value
        return known
    raise ValueError(f"a goal cannot be divided by {value!r}")


def _numbers(pairs: Any) -> dict[Key, float]:
    return {_key(key): float(number) for key, number in pairs}


def _demand(row: Any) -> Demand:
    policy, goal, costs = _checked(row, str, list, list)
    unit, per_second, initial, balance, caps, default_cap, weights, default_weight, most = _checked(
        goal, str, float, float, str, list, float, list, float, int
    )
    return Demand(
        policy,
        Goal(
            unit,
            per_second,
            initial,
            balance_of(balance),
            _numbers(caps),
            default_cap,
            _numbers(weights),
            default_weight,
            most,
        ),
        {_key(key): (int(traces), float(cost)) for key, (traces, cost) in costs},
    )


def _service(row: Any) -> ServiceSummary:
    service, spans, errors, entries, lost, missing, oversized = _checked(
        row, bytes, int, int, int, int, list, int
    )
    counts = dict(_checked(pair, bytes, int) for pair in missing)
    return ServiceSummary(service, spans, errors, entries, lost, counts, oversized)


def _services(rows: Any) -> Services:
    services, pairs = _checked(rows, list, list)
    kinds = (bytes, bytes, int, int, int, float, int)
    return Services(
        tuple(_service(row) for row in services),
        tuple(PairSummary(*_checked(row, *kinds)) for row in pairs),
    )


READERS: Final[Mapping[str, Callable[[Any], Body]]] = {
    "groups": lambda rows: tuple(_group(row) for row in rows),
    "demands": lambda rows: tuple(_demand(row) for row in rows),
    "services": _services,
}
