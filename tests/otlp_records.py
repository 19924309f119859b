"""OTLP records for property tests, written on the wire.

No library writes them, so encodings occur that every reader has to take and hardly ever meets:
fields in any order and twice, padded varints, groups, wire types that do not fit the field.

A record takes hundreds of choices. Hypothesis draws them all at once, as one tape of bytes; zeros,
and the end of the tape, stand for the plainest choice, so that a failing record shrinks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from hypothesis import strategies as st

TRACE_ID_BYTES: Final = 16
SPAN_ID_BYTES: Final = 8

# The wire format, written by hand.

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
_WIDTH: Final = {FIXED64: 8, FIXED32: 4}


def varint(number: int, pad: int = 0, longest: int = 10) -> bytes:
    """Encode modulo 2**64, made longer by `pad` bytes that add nothing, up to `longest` bytes."""
    number &= 2**64 - 1
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F)
    digits += [0] * min(pad, longest - len(digits))
    return bytes([digit | 0x80 for digit in digits[:-1]] + digits[-1:])


def tag(number: int, wire: int, pad: int = 0) -> bytes:
    return varint(number << 3 | wire, pad, longest=5)


def delimited(number: int, payload: bytes, pad: int = 0) -> bytes:
    return tag(number, LENGTH, pad) + varint(len(payload), pad, longest=5) + payload


def number_field(number: int, value: int, pad: int = 0) -> bytes:
    return tag(number, VARINT) + varint(value, pad)


def fixed(number: int, value: int, wire: int) -> bytes:
    width = _WIDTH[wire]
    return tag(number, wire) + (value & (1 << 8 * width) - 1).to_bytes(width, "little")


def group(number: int, content: bytes = b"") -> bytes:
    return tag(number, START_GROUP) + content + tag(number, END_GROUP)


def in_span(content: bytes) -> bytes:
    """Make a record of one span with valid ids and this content before them."""
    ids = delimited(1, b"t" * TRACE_ID_BYTES) + delimited(2, b"s" * SPAN_ID_BYTES)
    return delimited(1, delimited(2, delimited(2, content + ids)))


# Records, written by a tape of choices.

T = TypeVar("T")
Write = Callable[["Tape"], bytes]


@dataclass(slots=True)
class Tape:
    """Choices to be made one after the other; behind its end every choice is the first."""

    choices: bytes
    at: int = 0

    def below(self, end: int) -> int:
        """Choose a number; `end` is 256 or less."""
        choice = self.choices[self.at] if self.at < len(self.choices) else 0
        self.at += 1
        return choice % end

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def raw(self, size: int) -> bytes:
        raw = self.choices[self.at : self.at + size]
        self.at += size
        return raw.ljust(size, b"\0")


KEYS: Final = (b"k", b"tenant.id", b"service.name", b"http.status_code", b"", b"\xff")
TEXTS: Final = (
    b"",
    b"a",
    b"gold",
    b"\xff\xfe",
    b"caf\xc3\xa9",
    b"\xed\xa0\x80",
    b"a\0b",
    b"x" * 200,
)
TRACE_STATES: Final = (b"ot=th:8", b"ot=th:c;rv:8201e273ab4876,v=x", b"", b"\xff")
TRACE_IDS: Final = tuple(bytes([n]) * TRACE_ID_BYTES for n in (1, 2, 3, 0x80))
SPAN_IDS: Final = tuple(bytes([n]) * SPAN_ID_BYTES for n in (1, 2, 3, 4, 5, 0xFF))
WRONG_IDS: Final = (b"", bytes(16), bytes(8), b"x" * 15, b"x" * 17, b"x" * 7, b"x" * 9)
NUMBERS: Final = (0, 1, 2, 3, 127, 128, 2**31 - 1, 2**31, 2**32 + 2, 2**63, 2**64 - 1)
UNKNOWN_FIELDS: Final = (20, 17, 1000, 2**29 - 1)
_PADS: Final = (0, 0, 0, 0, 0, 0, 1, 3)
_WIRES: Final = (VARINT, LENGTH, FIXED64, FIXED32, START_GROUP)


def _words(tape: Tape) -> int:
    if tape.below(3):
        return tape.pick(NUMBERS)
    return int.from_bytes(tape.raw(8), "little")


def _text(number: int, options: Sequence[bytes] = TEXTS) -> Write:
    return lambda tape: delimited(number, tape.pick(options), tape.pick(_PADS))


def _number(number: int) -> Write:
    return lambda tape: number_field(number, _words(tape), tape.pick(_PADS))


def _fixed(number: int, wire: int) -> Write:
    return lambda tape: fixed(number, _words(tape), wire)


def _within(number: int, content: Write) -> Write:
    return lambda tape: delimited(number, content(tape), tape.pick(_PADS))


def _foreign(tape: Tape, number: int, wires: Sequence[int] = _WIRES) -> bytes:
    """Write a field that is to be skipped, with one of some wire types; groups nest."""
    wire = tape.pick(wires)
    if wire == START_GROUP:
        inner = [_foreign(tape, tape.pick((1, 0, 5, 1000))) for _ in range(tape.pick((0, 0, 1, 2)))]
        return group(number, b"".join(inner))
    if wire == LENGTH:
        return _text(number)(tape)
    return (_number(number) if wire == VARINT else _fixed(number, wire))(tape)


def _unknown(tape: Tape) -> bytes:
    return _foreign(tape, tape.pick(UNKNOWN_FIELDS))


def _misfit(number: int, fitting: int) -> Write:
    """Write a known field's number with a wire type that is not the field's: unknown, too."""
    wires = [wire for wire in _WIRES if wire != fitting]
    return lambda tape: _foreign(tape, number, wires)


def _any_of(*fields: Write, most: int = 4) -> Write:
    """Write up to so many of these fields, in any order, any of them more than once."""
    options = (*fields, _unknown)
    return lambda tape: b"".join(tape.pick(options)(tape) for _ in range(tape.below(most + 1)))


_leaf: Final = _any_of(
    _text(1),
    _text(1),
    _number(2),
    _number(3),
    _fixed(4, FIXED64),
    _text(7),
    _number(8),
    _misfit(2, VARINT),
    most=2,
)


def _any_value(tape: Tape) -> bytes:
    """Write an AnyValue in up to ten arrays and key-value lists."""
    value = _leaf(tape)
    for _ in range(tape.pick((0, 0, 0, 0, 1, 2, 3, 10))):
        beside = tape.pick((b"", b"", delimited(1, b"")))
        if tape.below(2):
            value = delimited(5, beside + delimited(1, value))
        else:
            pair = delimited(1, tape.pick(KEYS)) + delimited(2, value)
            value = delimited(6, beside + delimited(1, pair))
    return value


def _pair(tape: Tape) -> bytes:
    return delimited(1, tape.pick(KEYS)) + delimited(2, _any_value(tape), tape.pick(_PADS))


# Values twice merge: two arrays append, else the last member counts.
_odd_pair: Final = _any_of(
    _text(1, KEYS), _within(2, _any_value), _within(2, _any_value), _number(3)
)


def _attribute(number: int) -> Write:
    plain, odd = _within(number, _pair), _within(number, _odd_pair)
    return lambda tape: tape.pick((plain, plain, plain, odd))(tape)


_event: Final = _any_of(_fixed(1, FIXED64), _text(2), _attribute(3), _number(4))
_link: Final = _any_of(
    _text(1, (*TRACE_IDS, b"")),
    _text(2, (*SPAN_IDS, b"")),
    _text(3, TRACE_STATES),
    _attribute(4),
    _fixed(6, FIXED32),
    _misfit(1, LENGTH),
)
_odd_link: Final = _any_of(_text(2, WRONG_IDS), _text(2, WRONG_IDS), _text(1, WRONG_IDS), most=2)
_status: Final = _any_of(_text(2), _number(3))
_span_fields: Final = (
    _attribute(9),
    _attribute(9),
    _attribute(9),
    _text(5),
    _fixed(7, FIXED64),
    _fixed(8, FIXED64),
    _text(3, TRACE_STATES),
    _text(4, (*SPAN_IDS, b"", bytes(8))),
    _number(6),
    _number(10),
    _fixed(16, FIXED32),
    _within(11, _event),
    _within(13, _link),
    _within(15, _status),
    _within(15, _status),
    _misfit(6, VARINT),
    _misfit(7, FIXED64),
    _misfit(1, LENGTH),
    _misfit(9, LENGTH),
    _unknown,
)


def _span(tape: Tape) -> bytes:
    """Write a valid span: each id somewhere among the rest, at times after a wrong one."""
    fields = [tape.pick(_span_fields)(tape) for _ in range(tape.below(9))]
    for number, ids in ((1, TRACE_IDS), (2, SPAN_IDS)):
        wrong = tape.pick((b"", b"", b"", _text(number, WRONG_IDS)(tape)))
        fields.insert(tape.below(len(fields) + 1), wrong + _text(number, ids)(tape))
    return b"".join(fields)


def _odd_span(tape: Tape) -> bytes:
    """Write a span whose ids, or whose links' ids, may be wrong or missing."""
    link = _within(13, _odd_link)
    odd = (link, link, _text(4, WRONG_IDS), _text(1, WRONG_IDS), _text(2, WRONG_IDS))
    right = _span(tape) if tape.below(3) else b""
    return right + b"".join(tape.pick(odd)(tape) for _ in range(tape.pick((1, 0, 2))))


def _holding(held: Write, *more: Write) -> Write:
    """Write a few of what a message is there to hold, mostly one, among its other fields."""
    options = (*more, _unknown)

    def write(tape: Tape) -> bytes:
        fields = [held(tape) for _ in range(tape.pick((1, 1, 1, 1, 1, 2, 2, 3, 3, 0)))]
        for _ in range(tape.below(3)):
            fields.insert(tape.below(len(fields) + 1), tape.pick(options)(tape))
        return b"".join(fields)

    return write


def _record_of(span: Write) -> Write:
    scope = _any_of(_text(1), _text(2), _attribute(3), _number(4))
    entity = _any_of(_text(1), _text(3), _text(4))
    resource = _any_of(_attribute(1), _attribute(1), _attribute(1), _number(2), _within(3, entity))
    scope_spans = _holding(_within(2, span), _within(1, scope), _text(3))
    resource_spans = _holding(
        _within(2, scope_spans), _within(1, resource), _within(1, resource), _text(3)
    )
    return _holding(_within(1, resource_spans))


_LENGTHS: Final = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 65_536)
_SPLINTERS: Final = (
    *(varint(length) for length in _LENGTHS),
    *(b"\x80" * size + b"\0" for size in range(1, 12)),
    *(b"\xff" * size + b"\x0f" for size in range(1, 12)),
    *(tag(number, wire) for number in (0, 1, 2, 5, 9, 100) for wire in range(8)),
)


def _splinter(tape: Tape) -> bytes:
    return tape.pick(_SPLINTERS) if tape.below(2) else tape.raw(tape.below(9) + 1)


def _mutated(tape: Tape, original: bytes) -> bytes:
    value = bytearray(original)
    for _ in range(tape.below(3) + 1):
        at = int.from_bytes(tape.raw(2), "little") % (len(value) + 1)
        match tape.pick(("flip", "delete", "insert", "truncate", "splice")):
            case "flip":
                value[at : at + 1] = bytes(byte ^ 1 << tape.below(8) for byte in value[at : at + 1])
            case "delete":
                del value[at : at + tape.pick((1, 2, 9))]
            case "insert":
                value[at:at] = _splinter(tape)
            case "truncate":
                del value[at:]
            case _:
                start = tape.below(len(value) % 256 + 1)
                value[at:at] = value[start : start + tape.below(30)]
    return bytes(value)


def _tower(tape: Tape) -> bytes:
    """Nest values or groups about as deep as a decoder goes."""
    if tape.below(2):
        groups = 94 + tape.below(8)
        return in_span(tag(50, START_GROUP) * groups + tag(50, END_GROUP) * groups)
    value = tape.pick((b"", group(100), delimited(5, b"")))
    for _ in range(44 + tape.below(6)):
        value = delimited(5, delimited(1, value))
    return in_span(delimited(9, delimited(2, value)))


_valid: Final = _record_of(_span)
_odd: Final = _record_of(_odd_span)
_HOSTILE: Final[tuple[Write, ...]] = (
    lambda tape: _mutated(tape, _valid(tape)),
    lambda tape: _mutated(tape, in_span(_span(tape))),
    lambda tape: _mutated(tape, _odd(tape)),
    _odd,
    _tower,
    lambda tape: in_span(b"".join(_splinter(tape) for _ in range(tape.below(5)))),
    lambda tape: tape.raw(tape.below(40)),
)


def _tapes() -> st.SearchStrategy[Tape]:
    return st.binary(min_size=400, max_size=400).map(Tape)


def records() -> st.SearchStrategy[bytes]:
    """Draw records that are to be taken, of every shape that the schema allows."""
    return _tapes().map(_valid)


def hostile_records() -> st.SearchStrategy[bytes]:
    """Draw records that a decoder may have to refuse, and some that only look like it."""
    return _tapes().map(lambda tape: tape.pick(_HOSTILE)(tape))
