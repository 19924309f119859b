"""A checked condition: what is read, computed and compared, each value with its type.

Everything here is frozen data. What has no meaning was refused before; what is left can fail for
a span only where an attribute is not of the type that an operation needs.
"""

from dataclasses import dataclass
from enum import Enum, auto

Constant = bytes | int | float | None
"""What a literal stands for; a bool is 0 or 1, times and durations are nanoseconds."""


class Type(Enum):
    """What is known of a value before it is read.

    ANY is an attribute's: nil, string, bool, int, double, or what no condition looks into (an
    array, a map, bytes). NUMBER is an int or a double, or no value at all. LIST is what Split
    gives; it is counted or a part is taken of it, and no more.
    """

    NIL = auto()
    STRING = auto()
    BOOL = auto()
    INT = auto()
    DOUBLE = auto()
    NUMBER = auto()
    ANY = auto()
    TIME = auto()
    DURATION = auto()
    SPAN_ID = auto()
    TRACE_ID = auto()
    LIST = auto()


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the text.

    Attributes:
        type: NIL to DOUBLE, DURATION, SPAN_ID or TRACE_ID. A span id is its eight bytes as a
            signed number, big-endian; a trace id its 32 hexadecimal digits.
        value: The value.
    """

    type: Type
    value: Constant


@dataclass(frozen=True, slots=True)
class Read:
    """A value of the span, its resource, its scope or one of its events.

    Attributes:
        type: What it can be.
        path: A name of `paths.PATHS`.
        key: The attribute's key or the tracestate member's; empty where the path has none.
    """

    type: Type
    path: str
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two values computed to one.

    Attributes:
        type: INT, DOUBLE, NUMBER, TIME or DURATION.
        sign: One of + - * /.
        left: Its first operand.
        right: Its second operand.
    """

    type: Type
    sign: str
    left: "Value"
    right: "Value"


@dataclass(frozen=True, slots=True)
class Minus:
    """A number with its sign turned."""

    type: Type
    value: "Value"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of values.

    Attributes:
        type: What it gives.
        name: A name of `functions.FUNCTIONS`.
        values: Arguments that are computed for each span.
        settings: Arguments that stand in the text.
    """

    type: Type
    name: str
    values: "tuple[Value, ...]"
    settings: tuple[bytes | int, ...] = ()


Value = Literal | Read | Arithmetic | Minus | Call


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether two values compare as they should.

    Attributes:
        sign: One of == != < <= > >=.
        left: The first value.
        right: The second value.
    """

    sign: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Truth:
    """Whether a value that is yes or no is yes."""

    value: Value


@dataclass(frozen=True, slots=True)
class All:
    """Whether all are true; the first that is not, or fails, settles it."""

    parts: "tuple[Test, ...]"


@dataclass(frozen=True, slots=True)
class Any:
    """Whether one is true; the first that is, or fails, settles it."""

    parts: "tuple[Test, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Whether another is false."""

    part: "Test"


Test = Comparison | Truth | All | Any | Not
