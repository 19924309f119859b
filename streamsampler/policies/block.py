"""The settings of a set besides its policies, and the Collector's options without meaning here."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from streamsampler.policies.durations import NS_PER_MS, parse_duration
from streamsampler.policies.schema import Settings

INSTEAD: Final[Mapping[str, str]] = {
    "num_traces": "the buffer lies on disk, and the worker's limits bound it in bytes",
    "num_shards": "the topic's partitions spread the work over the workers",
    "expected_new_traces_per_sec": "tables grow as they need to",
    "decision_cache": "decisions are remembered for decision_ttl",
    "sampling_strategy": (
        "a trace is decided over all its spans, when it is complete or decision_wait has passed"
    ),
    "maximum_trace_size_bytes": (
        "a trace over the worker's limits gets a verdict early and is not discarded"
    ),
    "decision_wait_after_root_received": (
        "a trace that has its root and all parents is decided after completion_grace"
    ),
    "block_on_overflow": "a worker whose buffer is full pauses its partitions",
    "drop_pending_traces_on_shutdown": "pending traces stay with the consumer group",
    "tail_storage": "pending traces always lie in RocksDB",
}
"""Options of the Collector's processor that are accepted, and what takes their place."""


def _milliseconds(value: object, *, least: int) -> int:
    if not isinstance(value, str):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        mend = f'; write "{value}s" if seconds are meant' if number else ""
        # pydantic makes a problem of a ValueError only
        raise ValueError(f'expected a duration like "30s" or "500ms"{mend}')  # noqa: TRY004
    nanoseconds = parse_duration(value)
    if nanoseconds < least * NS_PER_MS:
        raise ValueError(f'expected at least "{least}ms"')
    return nanoseconds // NS_PER_MS


def _duration(least: int) -> BeforeValidator:
    return BeforeValidator(lambda value: _milliseconds(value, least=least))


class TenantBlock(Settings):
    """Where the tenant is read from."""

    key: str = Field(default="tenant.id", min_length=1, description="a key, not empty")
    source: Literal["any", "resource", "span", "header"] = "any"


class Block(Settings):
    """A set's own settings; durations become milliseconds, policies are checked apart."""

    policies: list[object] = Field(min_length=1, description="a list of one policy or more")
    decision_wait: Annotated[int, _duration(1)] = 30_000
    completion_grace: Annotated[int, _duration(0)] = 6_000
    decision_ttl: Annotated[int, _duration(0)] = 600_000
    sample_on_first_match: bool = Field(default=False, description="true or false")
    tenant: TenantBlock = Field(default=TenantBlock(), description="a mapping of key and source")
