"""How a worker stands, as data and as a record of the status topic; no Kafka in here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from streamsampler.kafka.policy_in_force import Refusal

READY: Final = "ready"
STOPPED: Final = "stopped"
LIVE_INTERVALS: Final = 3
"""A worker that has not written for so many intervals does not count any more."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker stands, as it said itself.

    Attributes:
        group: The consumer group.
        worker: Its name in it, unique for each process.
        started_ms: When it began, ms since the epoch.
        at_ms: When it said so.
        policy_version: Of all sets in force; None while there are none.
        policy_versions: Of each set by its name.
        partitions: Those that it owns.
        state: `READY`, `STOPPED`, or why it is not ready.
        refused: Policy sets that it was given and refused, a sentence each.
        error: What ended it; empty while it runs.
    """

    group: str
    worker: str
    started_ms: int
    at_ms: int
    policy_version: str | None = None
    policy_versions: Mapping[str, str] = field(default_factory=dict)
    partitions: tuple[int, ...] = ()
    state: str = ""
    refused: tuple[Refusal, ...] = ()
    error: str = ""

    def live(self, now_ms: int, interval_ms: int) -> bool:
        """Tell whether the worker still runs, by what is known.

        Args:
            now_ms: The wall clock.
            interval_ms: How often it writes.

        Returns:
            Whether its last word is recent, and was not that it stops.
        """
        return self.state != STOPPED and now_ms - self.at_ms < LIVE_INTERVALS * interval_ms


_STATUS: Final = TypeAdapter(WorkerStatus)


def status_key(group: str, worker: str) -> bytes:
    """The key of a worker's record.

    Args:
        group: Its group; several may share the topic.
        worker: Its name in it.

    Returns:
        Both, UTF-8.
    """
    return f"{group}/{worker}".encode()


def pack_status(status: WorkerStatus) -> bytes:
    """Make the value of a worker's record.

    Args:
        status: How it stands.

    Returns:
        JSON, in UTF-8.
    """
    return _STATUS.dump_json(status)


def unpack_status(value: bytes) -> WorkerStatus | None:
    """Read the value of a worker's record.

    Args:
        value: As `pack_status` made it, here or in another version; what is not known is ignored.

    Returns:
        How the worker stands; None where this cannot be read.
    """
    try:
        return _STATUS.validate_json(value)
    except ValidationError:
        return None


def fold_statuses(
    group: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> dict[str, WorkerStatus]:
    """Take the last word of each worker.

    Args:
        group: Whose.
        records: Key and value of each record, in the order of the offsets; no value: it left.

    Returns:
        How each worker of the group stands, by its name; those that cannot be read are left out.
    """
    last: dict[bytes | None, WorkerStatus | None] = {}
    for key, value in records:
        last[key] = None if value is None else unpack_status(value)
    return {
        status.worker: status
        for status in last.values()
        if status is not None and status.group == group
    }
