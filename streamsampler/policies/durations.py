"""Durations as Go, and so the Collector, writes them: 30s, 1m30s, 500ms, 1.5h."""

import re
from fractions import Fraction
from typing import Final

NS_PER_MS: Final = 1_000_000
LONGEST_NS: Final = 2**63 - 1

_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "\N{GREEK SMALL LETTER MU}s": 1_000,
    "ms": NS_PER_MS,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(" + "|".join(_UNITS_NS) + ")", re.ASCII)
_WHOLE = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)", re.ASCII)
_LONGEST_TEXT: Final = 64  # characters


def parse_duration(text: str) -> int:
    """A Go duration in nanoseconds.

    Args:
        text: One or more numbers, each with its unit out of ns, us, ms, s, m, h; or 0.

    Returns:
        Nanoseconds, cut towards zero; negative where a minus sign stands in front.

    Raises:
        ValueError: It is no duration, or longer than Go can hold (292 years).

    Source: Go standard library, time.ParseDuration.
    """
    if len(text) > _LONGEST_TEXT or _WHOLE.fullmatch(text) is None:
        raise ValueError('it is no duration; write it like "30s", "1m30s" or "500ms"')
    nanoseconds = sum(
        int(Fraction(number) * _UNITS_NS[unit]) for number, unit in _PART.findall(text)
    )
    if nanoseconds > LONGEST_NS:
        raise ValueError("it is longer than 292 years")
    return -nanoseconds if text.startswith("-") else nanoseconds


def format_ms(milliseconds: int) -> str:
    """A number of milliseconds as a Go duration.

    Args:
        milliseconds: 0 or more.

    Returns:
        Whole seconds where it can be, such as 30s, else milliseconds, such as 1500ms.
    """
    seconds, rest = divmod(milliseconds, 1000)
    return f"{milliseconds}ms" if rest else f"{seconds}s"
