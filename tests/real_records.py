"""The records in data/real, as a consumer gets them."""

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from streamsampler.spans.records import RecordBatch, join

REAL: Final = Path(__file__).parent / "data" / "real"
POLICIES: Final = REAL / "policies.yaml"
TRACES: Final = REAL / "traces.jsonl.gz"

Encoding = Literal["otlp-proto", "otlp-proto-without-key", "otlp-json"]


@dataclass(frozen=True, slots=True)
class RealRecord:
    """A Kafka record; its time in ms since the epoch."""

    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@cache
def real_records(encoding: Encoding = "otlp-proto") -> tuple[RealRecord, ...]:
    """Read records, ordered by partition, then offset."""
    with gzip.open(REAL / f"{encoding}.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [_record(line) for line in lines]
    return tuple(sorted(records, key=lambda record: (record.partition, record.offset)))


def _record(line: str) -> RealRecord:
    row = json.loads(line)
    return RealRecord(
        partition=row["partition"],
        offset=row["offset"],
        time_ms=row["timestamp_ms"],
        key=None if row["key"] is None else row["key"].encode(),
        value=base64.b64decode(row["value"], validate=True),
        headers=tuple((name, value.encode()) for name, value in row["headers"]),
    )


def batch_of(records: Sequence[RealRecord]) -> RecordBatch:
    """Join records, ordered by partition, then offset, into a batch."""
    return join(
        partitions=[record.partition for record in records],
        offsets=[record.offset for record in records],
        times_ms=[record.time_ms for record in records],
        keys=[record.key for record in records],
        values=[record.value for record in records],
        headers=[record.headers or None for record in records],
    )


def real_batch(encoding: Encoding = "otlp-proto") -> RecordBatch:
    """Read all records of one encoding as one batch."""
    return batch_of(real_records(encoding))


def kept_by_the_collector() -> dict[str, int]:
    """Say what the Collector kept under POLICIES: trace id in hex, number of spans."""
    kept: dict[str, int] = json.loads((REAL / "kept-by-the-collector.json").read_text())
    return kept
