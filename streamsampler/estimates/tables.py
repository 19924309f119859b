"""What the whole group knows together: the records of the tables topic, compacted by key.

A record is a msgpack array ``[1, kind, version, body]``; the version is the stream time in ms of
the newest interval in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from streamsampler.estimates.summaries import INTERVAL_MS, Balance, Group, Key, balance_of

FORMAT: Final = 1
PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
OLD_MS: Final = 600_000
"""Of stream time: two windows of the control plane's as it is set where nobody sets it."""


class TableError(ValueError):
    """A record that is no table; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class GroupThresholds:
    """How long the traces of a group take.

    Attributes:
        count: Of how many traces.
        quantiles: For `PERCENTILES`, ms.
        reference_p99: What the 99th percentile was before, ms; None: not known.
        regressed: Whether it has become slower.
    """

    count: int
    quantiles: tuple[float, ...]
    reference_p99: float | None
    regressed: bool


@dataclass(frozen=True, slots=True)
class ThresholdTable:
    """Durations of groups.

    Attributes:
        version: Stream time in ms.
        groups: By group.
    """

    version: int
    groups: Mapping[Group, GroupThresholds]


@dataclass(frozen=True, slots=True)
class RateTable:
    """Rates of a budget.

    Attributes:
        version: Stream time in ms.
        policy: Whose.
        per_second: The goal they are for.
        balance: How it is divided.
        rates: Above 0, at most 1, by key; of `shares` no rates, but shares of the goal.
        initial: Of any other key.
    """

    version: int
    policy: str
    per_second: float
    balance: Balance
    rates: Mapping[Key, float]
    initial: float


Table = ThresholdTable | RateTable


def is_old(version: int, now_ms: int) -> bool:
    """Tell whether a table is so old that what is measured without it is a better guide.

    Args:
        version: Of the table, stream time, ms.
        now_ms: Stream time of the traces that would go by it. Only its interval counts, so that
            the answer does not depend on where batches end.

    Returns:
        Whether it is more than `OLD_MS` behind the beginning of that interval.
    """
    return now_ms // INTERVAL_MS * INTERVAL_MS - version > OLD_MS


def pack(table: Table) -> bytes:
    """Write a table.

    Args:
        table: Any.

    Returns:
        The record's value.
    """
    if isinstance(table, ThresholdTable):
        groups = [
            [list(group), known.count, list(known.quantiles), known.reference_p99, known.regressed]
            for group, known in table.groups.items()
        ]
        record: list[Any] = [FORMAT, "thresholds", table.version, groups]
    else:
        rates = [[list(key), rate] for key, rate in table.rates.items()]
        body = [table.policy, table.per_second, table.balance, rates, table.initial]
        record = [FORMAT, "rates", table.version, body]
    packed: bytes = msgpack.packb(record)
    return packed


def unpack(value: bytes) -> Table:
    """Read a table.

    Args:
        value: A record's value.

    Returns:
        The table.

    Raises:
        TableError: It is none.
    """
    try:
        version, kind, stream_ms, body = msgpack.unpackb(value)
        if version != FORMAT or type(stream_ms) is not int:
            raise TableError(f"format {version!r} is not known here.")
        if kind == "thresholds":
            return ThresholdTable(stream_ms, dict(_group(row) for row in body))
        if kind == "rates":
            policy, per_second, balance, rates, initial = body
            known = {tuple(key): float(rate) for key, rate in rates}
            return RateTable(
                stream_ms, policy, float(per_second), balance_of(balance), known, float(initial)
            )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise TableError(f"a table that cannot be read: {error}.") from error
    raise TableError(f"tables of the kind {kind!r} are not known here.")


def _group(row: Any) -> tuple[Group, GroupThresholds]:
    (tenant, service, name), count, quantiles, reference, regressed = row
    if len(quantiles) != len(PERCENTILES):
        raise TableError(f"expected {len(PERCENTILES)} quantiles.")
    known = GroupThresholds(int(count), tuple(quantiles), reference, bool(regressed))
    return (tenant, service, name), known
