"""Whole numbers as the Collector takes them: 5.0 is one, "5" is none."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

MOST_INT64: Final = 2**63 - 1


def integral(value: object) -> object:
    """A number without a fraction as a whole number; anything else as it is.

    Args:
        value: What was written.
    """
    return int(value) if isinstance(value, float) and value.is_integer() else value


Int64 = Annotated[
    int,
    BeforeValidator(integral),
    Field(ge=-(2**63), le=MOST_INT64, description="a whole number of 64 bits"),
]
Count = Annotated[
    int,
    BeforeValidator(integral),
    Field(ge=0, le=MOST_INT64, description="a whole number, 0 or more"),
]
