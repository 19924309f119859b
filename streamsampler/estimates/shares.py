"""How a budget is shared: nobody's unused share is wasted, and nobody starves."""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def water_filling(demands: Floats, weights: Floats, budget: float) -> Floats:
    """Share a budget among those who ask for some of it.

    Those who ask for no more than their part by weight get all they ask for; what they leave is
    shared in the same way among the others. The order in which they stand changes nothing.

    Args:
        demands: float64[n], how much each asks for, 0 or more.
        weights: float64[n], what their parts are to one another, all above 0.
        budget: How much there is, 0 or more.

    Returns:
        float64[n], how much each gets; exactly its demand, where it gets all of that.
    """
    ratios = demands / weights
    order = np.lexsort((demands, ratios))  # equals are alike, so that ties cannot matter
    sorted_demands, sorted_weights = demands[order], weights[order]
    taken_before = np.concatenate(([0.0], np.cumsum(sorted_demands)[:-1]))[: len(order)]
    weight_left = np.cumsum(sorted_weights[::-1])[::-1]
    levels = (budget - taken_before) / weight_left
    short = np.flatnonzero(ratios[order] > levels)
    if not len(short):
        return demands.copy()
    first = short[0]
    level = max(0.0, float(levels[first]))
    satisfied = np.empty(len(demands), np.bool_)
    satisfied[order] = np.arange(len(demands)) < first
    filled: Floats = np.where(satisfied, demands, np.minimum(demands, weights * level))
    return filled


def logarithmic(counts: Floats, budget: float) -> Floats:
    """Share a budget by the logarithms of counts, one key in N at a time.

    A key's part is to the budget as the logarithm of its count is to the sum of all keys'. What one
    does not need, as it asks for less or as its rate is 1 in a whole number, is handed on in equal
    parts to those after it. What the last ones leave is nobody's.

    Args:
        counts: float64[n], how much each asks for, above 0; in the order of their names, so that a
            sharing depends on nothing else.
        budget: How much there is, 0 or more.

    Returns:
        float64[n], rates 1/N; 0 where nothing is left for a key.

    Source: the sample rates of dynsampler (golden vector in the tests).
    """
    logs = np.log10(np.maximum(counts, 1.0))
    total = float(logs.sum())
    # Where no key counts more than 1, logarithms say nothing, and all parts are equal.
    parts = budget * logs / total if total else np.full(len(counts), budget / max(1, len(counts)))
    rates = np.zeros(len(counts))
    over = 0.0
    for place, (count, part) in enumerate(zip(counts.tolist(), parts.tolist(), strict=True)):
        handed = over / (len(rates) - place)
        share = part + handed
        if share > 0:
            rates[place] = 1.0 / max(1, math.ceil(count / share))
        over += share - handed - count * rates[place]
    return rates
