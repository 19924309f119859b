"""Generated records as files, in the formats that `replay` and the tests read."""

import gzip
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from streamsampler.traffic.hostile import JSON_LINES
from streamsampler.traffic.model import GeneratedRecord, json_text
from streamsampler.traffic.otlp_json import traces_json


def kafka_jsonl(record: GeneratedRecord) -> bytes:
    """Writes a record with its key and time, for tools that know Kafka's records.

    Args:
        record: the record.

    Returns:
        A line: an object of partition (null), timestamp_ms, key, headers, value in base64.
    """
    key = "null" if record.key is None else f'"{record.key.decode()}"'
    headers = json_text([(name, value.decode()) for name, value in record.headers])
    value = b64encode(record.value).decode()
    return (
        f'{{"partition":null,"timestamp_ms":{record.time_ms},"key":{key},'
        f'"headers":{headers},"value":"{value}"}}\n'
    ).encode()


def otlp_json(record: GeneratedRecord) -> bytes:
    """Writes a record's spans as one OTLP JSON request, as the Collector's file exporter does.

    Args:
        record: the record; a hostile one becomes a line with the like fault.

    Returns:
        A line.
    """
    text = traces_json(record.batches) if record.fault is None else JSON_LINES[record.fault]
    return text.encode() + b"\n"


def otlp_proto(record: GeneratedRecord) -> bytes:
    """Frames a record's value as the Collector's file exporter does with format proto.

    Args:
        record: the record.

    Returns:
        Four bytes of length, big-endian, and the value.
    """
    return len(record.value).to_bytes(4, "big") + record.value


FORMATS: Mapping[str, Callable[[GeneratedRecord], bytes]] = {
    "kafka-jsonl": kafka_jsonl,
    "otlp-json": otlp_json,
    "otlp-proto": otlp_proto,
}
"""How a record reads in each file format."""


@contextmanager
def open_output(path: str) -> Iterator[IO[bytes]]:
    """Opens a file to write records to.

    Args:
        path: where; `-` is standard output; a name that ends in `.gz` is compressed.

    Yields:
        The open file; it is closed in the end, standard output only flushed.

    Raises:
        OSError: it cannot be written.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with Path(path).open("wb", buffering=1 << 20) as file:
        if not path.endswith(".gz"):
            yield file
            return
        # Level 1 keeps up with the generator; no time in the header, so that a seed gives a file.
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
            yield cast("IO[bytes]", packed)
