"""Rejection thresholds and randomness of OpenTelemetry's consistent probability sampling.

A trace has 56 bits of randomness R, a sampling probability p has a 56-bit rejection threshold
T = 2**56 - round(p * 2**56), and the trace is kept when R >= T. The threshold travels in the
tracestate as ``ot=th:<hex>`` with the trailing zeros cut, the randomness as ``ot=rv:<hex>``.

Everything here is exact: T is computed from p and never from 1 - p, whose subtraction loses the
digits of a small p, and a multiplication by 2**56 only moves a float's exponent.

Source: OpenTelemetry specification, trace, "TraceState: Probability Sampling".
"""

import re
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

MODULUS: Final = 2**56
"""How many values randomness and thresholds have: both lie in [0, MODULUS)."""

NO_THRESHOLD: Final = 2**64 - 1
"""Stands in a column of thresholds where no probability can be given; greater than any T."""

HEX_DIGITS: Final = 14
SMALLEST_PROBABILITY: Final = 1 / MODULUS

_TH = re.compile(r"[0-9a-f]{1,14}")
_RV = re.compile(r"[0-9a-f]{14}")

Words = npt.NDArray[np.uint64]


def threshold(p: float | Fraction) -> int:
    """The rejection threshold of a sampling probability.

    Args:
        p: A probability in [2**-56, 1].

    Returns:
        T in [0, MODULUS); 0 keeps everything.

    Raises:
        ValueError: p lies outside; a probability of 0 has no threshold, it is a drop.
    """
    if not SMALLEST_PROBABILITY <= p <= 1:  # also true for a NaN
        raise ValueError(f"{p} has no threshold; a sampling probability lies between 2**-56 and 1")
    return MODULUS - round(p * MODULUS)


def thresholds(p: npt.NDArray[np.float64]) -> Words:
    """The rejection thresholds of sampling probabilities.

    Args:
        p: float64[n], each in [0, 1].

    Returns:
        uint64[n]; MODULUS, which no randomness reaches, where p is too small to have a threshold.
    """
    kept_values = np.rint(p * MODULUS).astype(np.uint64)  # exact: only the exponent changes
    kept_values[p < SMALLEST_PROBABILITY] = 0
    return np.uint64(MODULUS) - kept_values


def probability(rejection_threshold: int) -> float:
    """The share of traces that a threshold keeps, p(T) = (M - T) / M.

    Args:
        rejection_threshold: T in [0, MODULUS).

    Raises:
        ValueError: T lies outside.
    """
    _check(rejection_threshold)
    return (MODULUS - rejection_threshold) / MODULUS


def adjusted_count(rejection_threshold: int) -> float:
    """How many traces one kept trace stands for, M / (M - T).

    Computed as the column form computes it, so that both give the same float.

    Args:
        rejection_threshold: T in [0, MODULUS).

    Raises:
        ValueError: T lies outside.
    """
    _check(rejection_threshold)
    return float(MODULUS) / float(MODULUS - rejection_threshold)


def adjusted_counts(thresholds: Words) -> npt.NDArray[np.float64]:
    """How many traces each kept trace stands for.

    Args:
        thresholds: uint64[n], each in [0, MODULUS) or NO_THRESHOLD.

    Returns:
        float64[n]; NaN where there is no threshold.
    """
    known = thresholds < MODULUS
    kept_values = np.where(known, np.uint64(MODULUS) - thresholds, np.uint64(1))
    return np.where(known, float(MODULUS) / kept_values.astype(np.float64), np.nan)


def encode(rejection_threshold: int) -> str:
    """A threshold as the tracestate's th value: hex digits without the trailing zeros.

    The zeros on the left stay: ``08`` keeps 96.875 %, ``8`` keeps 50 %.

    Args:
        rejection_threshold: T in [0, MODULUS).

    Returns:
        1 to 14 lower-case hex digits.

    Raises:
        ValueError: T lies outside.
    """
    _check(rejection_threshold)
    return f"{rejection_threshold:014x}".rstrip("0") or "0"


def decode(th: str) -> int:
    """The threshold that a th value of the tracestate says.

    Args:
        th: 1 to 14 lower-case hex digits.

    Returns:
        T in [0, MODULUS).

    Raises:
        ValueError: The value is anything else.
    """
    if _TH.fullmatch(th) is None:
        raise ValueError(f"{th!r} is no th value; it has 1 to 14 lower-case hex digits")
    return int(th.ljust(HEX_DIGITS, "0"), 16)


def parse_randomness(rv: str) -> int | None:
    """The randomness that an rv value of the tracestate says.

    Args:
        rv: What stands behind ``rv:``.

    Returns:
        R in [0, MODULUS), or None where it is not exactly 14 lower-case hex digits; the trace id
        then takes its place.
    """
    return int(rv, 16) if _RV.fullmatch(rv) else None


def randomness(trace_id: bytes, rv: str | None = None) -> int:
    """The randomness R of a trace.

    Args:
        trace_id: The 16 bytes of its id.
        rv: The rv value of its tracestate, where it has one.

    Returns:
        R in [0, MODULUS): the rv value where it is valid, else the low 56 bits of the id.
    """
    explicit = None if rv is None else parse_randomness(rv)
    return int.from_bytes(trace_id[-7:], "big") if explicit is None else explicit


def randomness_of_ids(id_lo: Words) -> Words:
    """The randomness of traces without an rv value.

    Args:
        id_lo: uint64[n], the last eight bytes of each trace id, big-endian.

    Returns:
        uint64[n], each in [0, MODULUS).
    """
    return id_lo & np.uint64(MODULUS - 1)


def raised(incoming: int | None, verdict: int | None) -> int | None:
    """The threshold that a kept span goes out with: a threshold only ever rises.

    Args:
        incoming: T that the span came with; None where its tracestate had no th.
        verdict: T of the verdict; None where no probability can be given.

    Returns:
        T to write, or None where th is to be erased because the verdict's chance is unknown.
    """
    if verdict is None:
        return None
    return verdict if incoming is None else max(incoming, verdict)


def _check(rejection_threshold: int) -> None:
    if not 0 <= rejection_threshold < MODULUS:
        raise ValueError(f"{rejection_threshold} is no threshold; it lies between 0 and 2**56 - 1")
