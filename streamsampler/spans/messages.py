"""What the messages of `payload` look like to a type checker: OTLP traces, strings as bytes."""

from collections.abc import Iterable, Iterator
from typing import Protocol, Self, TypeVar

M = TypeVar("M")


class Message(Protocol):
    """What every message can do."""

    def CopyFrom(self, other: Self, /) -> None:  # noqa: N802 - protobuf's name
        """Become a copy of another message, unknown fields too."""

    def HasField(self, name: str, /) -> bool:  # noqa: N802 - protobuf's name
        """Say whether a field with presence is set."""

    def MergeFrom(self, other: Self, /) -> None:  # noqa: N802 - protobuf's name
        """Add another message's fields: lists append, single values replace."""

    def SerializeToString(self, *, deterministic: bool = False) -> bytes:  # noqa: N802 - likewise
        """Encode the message."""

    def WhichOneof(self, name: str, /) -> str | None:  # noqa: N802 - protobuf's name
        """Name the member of a oneof that is set."""


class Repeated(Protocol[M]):
    """A list of messages."""

    def __delitem__(self, at: slice, /) -> None: ...
    def __getitem__(self, at: int, /) -> M: ...
    def __iter__(self) -> Iterator[M]: ...
    def __len__(self) -> int: ...

    def add(self) -> M:
        """Append an empty message and return it."""

    def extend(self, messages: Iterable[M], /) -> None:
        """Append copies of messages."""


class AnyValue(Message, Protocol):
    """An attribute's value: one of these, or none."""

    string_value: bytes
    bool_value: bool
    int_value: int
    double_value: float
    bytes_value: bytes


class KeyValue(Message, Protocol):
    """An attribute."""

    key: bytes
    value: AnyValue


class Resource(Message, Protocol):
    """What a resource's spans have in common."""

    attributes: Repeated[KeyValue]


class Scope(Message, Protocol):
    """The instrumentation that made the spans."""

    name: bytes
    version: bytes
    attributes: Repeated[KeyValue]


class Status(Message, Protocol):
    """How a span ended."""

    code: int
    message: bytes


class Link(Message, Protocol):
    """A span's tie to another span."""

    trace_id: bytes
    span_id: bytes


class Event(Message, Protocol):
    """Something that happened within a span."""

    name: bytes
    attributes: Repeated[KeyValue]


class Span(Message, Protocol):
    """A span; times in ns since the epoch."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    trace_state: bytes
    flags: int
    name: bytes
    kind: int
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: Repeated[KeyValue]
    events: Repeated[Event]
    links: Repeated[Link]
    status: Status


class ScopeSpans(Message, Protocol):
    """A scope and its spans."""

    scope: Scope
    spans: Repeated[Span]
    schema_url: bytes


class ResourceSpans(Message, Protocol):
    """A resource and its scopes."""

    resource: Resource
    scope_spans: Repeated[ScopeSpans]
    schema_url: bytes


class TracesData(Message, Protocol):
    """A record's value."""

    resource_spans: Repeated[ResourceSpans]
