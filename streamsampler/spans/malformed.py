"""What may be wrong with a record, in a word each: bounded, as metrics are labelled with them."""

from typing import Final, Literal, get_args

FAULTS: Final = (
    "",
    "truncated",
    "bad_varint",
    "bad_tag",
    "bad_length",
    "bad_group",
    "too_deep",
    "bad_trace_id",
    "bad_span_id",
    "bad_parent_id",
    "bad_link_id",
)
"""Why a record is no OTLP protobuf; the index is what the scan's kernel writes down, 0 for none."""

EMPTY: Final = "empty_value"

Refusal = Literal["bad_json", "bad_otlp_json", "not_traces", "engine_error"]
"""Why the scan never saw a record: no translation could take it, or the engine failed on it."""

REASONS: Final[tuple[str, ...]] = (*FAULTS[1:], EMPTY, *get_args(Refusal))
"""All of them."""


class MalformedRecord(ValueError):  # noqa: N818 - a record for the dead letters, no failure of ours
    """A record's value that is not what its format says.

    Attributes:
        reason: One snake_case word, for counting and for the dead letter's headers.
        detail: A sentence with the place in the value, what stands there and the mend.
    """

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Refusal = reason
        self.detail = detail
