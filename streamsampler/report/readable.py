"""Numbers and foreign text as people read them."""

import unicodedata
from typing import Final

_UNITS: Final = ((60_000_000_000, "min"), (1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))


def duration_text(duration_ns: int) -> str:
    """Write a duration with three digits and a unit.

    Args:
        duration_ns: ns; negative where an end came before its start.

    Returns:
        Such as ``1.25 s``, ``340 ms``, ``12.5 µs``, ``0 ns``.
    """
    sign = "-" if duration_ns < 0 else ""
    size = abs(duration_ns)
    for unit_ns, unit in _UNITS:
        if size >= unit_ns:
            value = size / unit_ns
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{sign}{value:.{digits}f} {unit}"
    return f"{sign}{size} ns"


def share_text(part: int, whole: int) -> str:
    """Write a part of a whole in percent.

    Args:
        part: Any count.
        whole: The count it is a part of; nothing is a part of 0.

    Returns:
        Such as ``12.3 %``; ``<0.1 %`` for what would round to nothing, a hyphen for a whole of 0.
    """
    if not whole:
        return "-"
    percent = 100 * part / whole
    return "<0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"


def printable(text: str) -> str:
    """Make foreign text safe for one line of a terminal or a page.

    Escape sequences, line breaks, characters that turn the direction of writing and lone
    surrogates are replaced, as a span's name must not redraw the screen it is shown on.

    Args:
        text: Anything.

    Returns:
        The same with each such character replaced by U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join("�" if unicodedata.category(sign)[0] == "C" else _plain(sign) for sign in text)


def _plain(sign: str) -> str:
    return " " if unicodedata.category(sign) in {"Zl", "Zp"} else sign
