"""W3C trace context: ``traceparent``, ``tracestate`` and OpenTelemetry's member in the latter.

A span's trace state comes from whoever called, so it may hold anything. `parse_tracestate` judges
the whole list, as a service that takes part in a trace must. `read_ot` and `with_threshold` care
for the ``ot`` member alone and hand on what others wrote as it came.
"""

import re
from dataclasses import dataclass
from typing import Final

from streamsampler.spans.identifiers import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    span_id_to_hex,
    trace_id_to_hex,
)

SAMPLED: Final = 0x01
RANDOM_TRACE_ID: Final = 0x02

MOST_MEMBERS: Final = 32
LONGEST_OT: Final = 256  # characters
LONGEST_OT_READ: Final = 4 * LONGEST_OT  # of a longer one only th and rv are taken

_INVALID_VERSION: Final = 0xFF
_TRACEPARENT: Final = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
    re.DOTALL,
)
_KEY: Final = re.compile(rb"[a-z0-9][a-z0-9_\-*/@]{0,255}")
_VALUE: Final = re.compile(rb"[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_OT_PAIR: Final = re.compile(rb"[a-z][a-z0-9]*:[A-Za-z0-9._\-]*")
_OT_IS: Final = b"ot="
_THRESHOLD: Final = re.compile(r"[0-9a-f]{1,14}")
_RANDOMNESS: Final = re.compile(r"[0-9a-f]{14}")
_SHOWN_BYTES: Final = 64


class TraceContextError(ValueError):
    """A header that breaks the rules; says in a sentence which one."""


@dataclass(frozen=True, slots=True)
class TraceParent:
    """The ``traceparent`` header.

    Attributes:
        trace_id: 16 bytes.
        parent_id: The caller's span id, 8 bytes.
        flags: 0 to 255, all bits as they came.
        version: 0 to 254.
    """

    trace_id: bytes
    parent_id: bytes
    flags: int = 0
    version: int = 0

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded the trace."""
        return bool(self.flags & SAMPLED)

    @property
    def random_trace_id(self) -> bool:
        """Whether the trace id's low 56 bits are said to be random."""
        return bool(self.flags & RANDOM_TRACE_ID)

    def header(self) -> bytes:
        """Write it for the next service.

        Returns:
            The header as version 00, with no flag that this version does not know.

        Raises:
            IdentifierError: An id has a wrong length.
        """
        known = self.flags & (SAMPLED | RANDOM_TRACE_ID)
        trace_id, parent_id = trace_id_to_hex(self.trace_id), span_id_to_hex(self.parent_id)
        return f"00-{trace_id}-{parent_id}-{known:02x}".encode()


def parse_traceparent(header: bytes) -> TraceParent:
    """Read a ``traceparent`` header.

    Args:
        header: Its value, without white space around it.

    Returns:
        Its parts. Of a version above 00 the parts that 00 has.

    Raises:
        TraceContextError: It breaks a rule; then the trace starts anew.

    Source: W3C Trace Context Level 2, 3.2 and 4.3.
    """
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        raise TraceContextError(
            f"The traceparent {_shown(header)} is not made of 2, 32, 16 and 2 "
            "lower-case hexadecimal digits with dashes between them.",
        )
    version = int(match["version"], 16)
    if version == _INVALID_VERSION:
        raise TraceContextError(f"The traceparent {_shown(header)} has the invalid version ff.")
    if version == 0 and match["more"] is not None:
        raise TraceContextError(
            f"The traceparent {_shown(header)} goes on after the flags, "
            "which version 00 does not allow.",
        )
    trace_id = bytes.fromhex(match["trace"].decode())
    parent_id = bytes.fromhex(match["parent"].decode())
    if trace_id == bytes(TRACE_ID_BYTES):
        raise TraceContextError(f"The traceparent {_shown(header)} has a trace id of zeros.")
    if parent_id == bytes(SPAN_ID_BYTES):
        raise TraceContextError(f"The traceparent {_shown(header)} has a parent id of zeros.")
    return TraceParent(trace_id, parent_id, int(match["flags"], 16), version)


def parse_tracestate(header: bytes) -> tuple[tuple[str, str], ...]:
    """Read a ``tracestate`` header and judge all of it.

    Args:
        header: The list; several headers are joined with commas first.

    Returns:
        Key and value of each member, in order; empty members are passed over.

    Raises:
        TraceContextError: A member breaks a rule, a key comes twice, or there are more than 32
            members; then the whole list is worth nothing.

    Source: W3C Trace Context Level 2, 3.3.1.
    """
    members: dict[str, str] = {}
    for member in _members(header):
        key, equals, value = member.partition(b"=")
        if not equals or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            raise TraceContextError(f"The tracestate member {_shown(member)} is no key=value.")
        if key.decode() in members:
            raise TraceContextError(f"The tracestate has the key {_shown(key)} twice.")
        members[key.decode()] = value.decode()
    if len(members) > MOST_MEMBERS:
        raise TraceContextError(
            f"The tracestate has {len(members)} members; {MOST_MEMBERS} are the most.",
        )
    return tuple(members.items())


@dataclass(frozen=True, slots=True)
class OtMember:
    """OpenTelemetry's member of a trace state.

    Attributes:
        threshold: ``th`` as written, 1 to 14 lower-case hexadecimal digits; None where it is
            missing or anything else.
        randomness: ``rv`` as written, 14 such digits; None likewise.
        others: Every other key with its value, in order.
    """

    threshold: str | None = None
    randomness: str | None = None
    others: tuple[tuple[str, str], ...] = ()


def read_ot(tracestate: bytes) -> OtMember:
    """Read the ``ot`` member of a trace state.

    Args:
        tracestate: The list, as it stands in a span. What else is in it does not matter.

    Returns:
        The member; empty where there is none. The first counts if there are several, of keys too.
        What is no ``key:value`` is passed over. A member four times as long as it may be has no
        other keys: whoever wrote it kept no rule, and to look each up among all is not cheap.

    Source: OpenTelemetry specification, trace/tracestate-handling.
    """
    for member in _members(tracestate):
        if member.startswith(_OT_IS):
            return _parse_ot(member.removeprefix(_OT_IS))
    return OtMember()


def with_threshold(tracestate: bytes, threshold: str | None) -> bytes:
    """Set or erase ``th`` in the ``ot`` member of a trace state.

    Args:
        tracestate: The list, as it stands in a span.
        threshold: 1 to 14 lower-case hexadecimal digits; None erases.

    Returns:
        The same bytes where nothing changes. Else the list with the ``ot`` member in front, ``th``
        and ``rv`` in front within it, and everything else in its order. What of ``ot`` no reader
        could take is gone. Where a limit is passed, ``ot`` loses its last other keys and the list
        its last member.

    Raises:
        TraceContextError: The threshold is not made of such digits.

    Source: OpenTelemetry specification, trace/tracestate-handling; W3C Trace Context Level 2,
        3.3.1.1 (limits) and 3.5 (a changed member moves to the front).
    """
    if threshold is not None and not _THRESHOLD.fullmatch(threshold):
        raise TraceContextError(
            f"The threshold {threshold!a} is not made of 1 to 14 lower-case hexadecimal digits.",
        )
    current = read_ot(tracestate)
    if current.threshold == threshold:
        return tracestate
    others = [member for member in _members(tracestate) if not member.startswith(_OT_IS)]
    value = _ot_value(OtMember(threshold, current.randomness, current.others))
    members = [_OT_IS + value, *others] if value else others
    return b",".join(members[:MOST_MEMBERS])


def _members(tracestate: bytes) -> list[bytes]:
    members = (member.strip(b" \t") for member in tracestate.split(b","))
    return [member for member in members if member]


def _parse_ot(value: bytes) -> OtMember:
    first: dict[bytes, bytes] = {}
    for pair in value.split(b";"):
        key, colon, _ = pair.partition(b":")
        first.setdefault(key + colon, pair)
    pairs = dict(pair.decode().split(":") for pair in first.values() if _OT_PAIR.fullmatch(pair))
    threshold, randomness = pairs.pop("th", ""), pairs.pop("rv", "")
    return OtMember(
        threshold=threshold if _THRESHOLD.fullmatch(threshold) else None,
        randomness=randomness if _RANDOMNESS.fullmatch(randomness) else None,
        others=tuple(pairs.items()) if len(value) <= LONGEST_OT_READ else (),
    )


def _ot_value(member: OtMember) -> bytes:
    sampling = (("th", member.threshold), ("rv", member.randomness))
    value = ";".join(f"{key}:{text}" for key, text in sampling if text is not None)
    for key, text in member.others:
        longer = f"{value};{key}:{text}" if value else f"{key}:{text}"
        if len(longer) > LONGEST_OT:
            break
        value = longer
    return value.encode()


def _shown(header: bytes) -> str:
    short = header if len(header) <= _SHOWN_BYTES else header[:_SHOWN_BYTES] + b"..."
    return repr(short)[1:]
