"""How rates follow traffic: what has been counted is smoothed, and what is kept rises slowly."""

from typing import Final

import numpy as np
import numpy.typing as npt

MOST_RISE: Final = 1.5
"""By how much a rate may grow from one interval to the next."""

Floats = npt.NDArray[np.float64]


def smoothed(means: Floats, counts: Floats, weight: float) -> Floats:
    """The moving means after one more interval, m <- a c + (1 - a) m.

    Args:
        means: float64[n], the means so far; NaN where nothing has been counted yet.
        counts: float64[n], what the interval counted.
        weight: a, above 0 and at most 1; how much the interval counts.

    Returns:
        float64[n]; the count itself, where it is the first, and still NaN, where that is 0.
    """
    first = np.where(counts > 0, counts, np.nan)
    return np.where(np.isnan(means), first, weight * counts + (1 - weight) * means)


def faded(means: Floats, weight: float, intervals: int) -> Floats:
    """The moving means after intervals in which nothing was counted.

    Args:
        means: float64[n], the means so far; NaN where nothing has been counted yet.
        weight: As for `smoothed`.
        intervals: How many, 0 or more.

    Returns:
        float64[n].
    """
    fading: Floats = means * (1 - weight) ** intervals
    return fading


def eased(before: Floats, wanted: Floats, most_rise: float = MOST_RISE) -> Floats:
    """Rates on their way to those that are wanted: up by steps, down at once.

    A rate that rises too fast lets through a wave that was not expected; one that falls slowly
    goes on letting it through.

    Args:
        before: float64[n], the rates of the interval before, above 0; NaN where there were none.
        wanted: float64[n], the rates that would be right now.
        most_rise: The largest rate after a rate of 1.

    Returns:
        float64[n].
    """
    return np.where(np.isnan(before), wanted, np.minimum(wanted, before * most_rise))
