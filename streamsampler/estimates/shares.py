"""How a budget is shared: nobody's unused share is wasted, and nobody starves."""

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
