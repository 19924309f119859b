"""Percentages as policies have them: a number from 0 to 100, or always."""

from typing import Annotated, Final

from pydantic import BeforeValidator

from streamsampler.estimates import MODULUS, threshold

SMALLEST_PERCENTAGE: Final = 100 / MODULUS
PERCENTAGE: Final = "a percentage from 0 to 100, or always"
"""What errors say is expected of one."""


def percentage(value: object) -> float:
    """Read a percentage.

    Args:
        value: What was written.

    Returns:
        0 to 100; 100 for `always`.

    Raises:
        ValueError: It is none.
    """
    if value == "always":
        return 100.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"expected {PERCENTAGE}")
    if 0 < value < SMALLEST_PERCENTAGE:
        raise ValueError(f"the smallest percentage above 0 is {SMALLEST_PERCENTAGE:.2g}")
    return float(value)


Percentage = Annotated[float, BeforeValidator(percentage)]


def threshold_or_never(percentage: float | None) -> int:
    """The rejection threshold of a percentage.

    Args:
        percentage: 0 to 100; None for 0.

    Returns:
        T, or MODULUS, which no randomness reaches.
    """
    return threshold(percentage / 100) if percentage else MODULUS
