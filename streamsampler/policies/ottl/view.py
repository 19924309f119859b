"""What conditions see of a batch: the columns of its spans, scopes and events."""

from dataclasses import dataclass

from streamsampler.spans.columns import Bytes, Rows


@dataclass(frozen=True, slots=True, eq=False)
class SpanView:
    """A batch of n spans.

    Attributes:
        buffer: uint8, which all positions speak of.
        spans: `SPAN` rows [n].
        keys: The keys of the columns of all attributes below; w of them.
        attributes: `ATTRIBUTE` rows [n, w], the spans' own.
        resources: `ATTRIBUTE` rows [resources, w], by the spans' ``resource``.
        scopes: `SCOPE` rows, by the spans' ``scope``.
        scope_attributes: `ATTRIBUTE` rows [scopes, w].
        events: `EVENT` rows; ``span`` is the row of an event's span, and never falls.
        event_attributes: `ATTRIBUTE` rows [events, w].
    """

    buffer: Bytes
    spans: Rows
    keys: tuple[bytes, ...]
    attributes: Rows
    resources: Rows
    scopes: Rows
    scope_attributes: Rows
    events: Rows
    event_attributes: Rows
