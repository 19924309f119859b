"""The paths that conditions read, and what each can be.

Source: OpenTelemetry Collector, pkg/ottl, contexts ottlspan and ottlspanevent.
"""

from collections.abc import Mapping
from typing import Final

from streamsampler.policies.ottl.tree import Type

SPAN_PATHS: Final[Mapping[str, Type]] = {
    "name": Type.STRING,
    "kind": Type.INT,
    "kind.string": Type.STRING,
    "status.code": Type.INT,
    "status.message": Type.STRING,
    "trace_id": Type.TRACE_ID,
    "trace_id.string": Type.STRING,
    "span_id": Type.SPAN_ID,
    "span_id.string": Type.STRING,
    "parent_span_id": Type.SPAN_ID,
    "parent_span_id.string": Type.STRING,
    "start_time_unix_nano": Type.INT,
    "end_time_unix_nano": Type.INT,
    "start_time": Type.TIME,
    "end_time": Type.TIME,
    "trace_state": Type.STRING,
}
"""Paths of a span without a key; with a key there are attributes and trace_state."""

SCOPE_PATHS: Final[Mapping[str, Type]] = {"name": Type.STRING, "version": Type.STRING}
EVENT_PATHS: Final[Mapping[str, Type]] = {"name": Type.STRING}

CONTEXTS: Final[Mapping[str, tuple[str, Mapping[str, Type]]]] = {
    "span": ("span", SPAN_PATHS),
    "spanevent": ("spanevent", EVENT_PATHS),
    "resource": ("resource", {}),
    "scope": ("scope", SCOPE_PATHS),
    "instrumentation_scope": ("scope", SCOPE_PATHS),
}
"""The words that a path may begin with: whose it is, and which it has besides attributes."""

NOT_SUPPORTED: Final = frozenset(
    {
        "deprecated_string",
        "dropped_attributes_count",
        "dropped_events_count",
        "dropped_links_count",
        "event_index",
        "events",
        "links",
        "schema_url",
        "status",
        "time",
        "time_unix_nano",
    }
)
"""Last words of paths that the Collector has and that are not read here."""

KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
"""What kind.string says of each SpanKind; of any other number nothing."""

ENUMS: Final[Mapping[str, int]] = {
    "STATUS_CODE_UNSET": 0,
    "STATUS_CODE_OK": 1,
    "STATUS_CODE_ERROR": 2,
    "SPAN_KIND_UNSPECIFIED": 0,
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
}


def known_paths(*, events: bool) -> list[str]:
    """Every path that may be written.

    Args:
        events: Whether the condition is asked of events; a path without a context is then theirs.

    Returns:
        Paths with a context and without.
    """
    own = "spanevent" if events else "span"
    paths = []
    for word, (_, names) in CONTEXTS.items():
        if word != "spanevent" or events:
            paths += [f"{word}.{name}" for name in (*names, "attributes")]
    return [*CONTEXTS[own][1], "attributes", *paths]
