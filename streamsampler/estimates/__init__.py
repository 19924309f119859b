"""Mathematics of sampling: probabilities, thresholds, adjusted counts, and shares of budgets.

Pure functions over numbers and NumPy columns. No spans, no policies, no settings and no I/O may
come in here; nothing of ours is imported.
"""

from streamsampler.estimates.rates import eased, faded, smoothed
from streamsampler.estimates.shares import logarithmic, water_filling
from streamsampler.estimates.threshold import (
    MODULUS,
    NO_THRESHOLD,
    adjusted_count,
    adjusted_counts,
    decode,
    encode,
    parse_randomness,
    probability,
    raised,
    randomness,
    randomness_of_ids,
    threshold,
    thresholds,
)

__all__ = [
    "MODULUS",
    "NO_THRESHOLD",
    "adjusted_count",
    "adjusted_counts",
    "decode",
    "eased",
    "encode",
    "faded",
    "logarithmic",
    "parse_randomness",
    "probability",
    "raised",
    "randomness",
    "randomness_of_ids",
    "smoothed",
    "threshold",
    "thresholds",
    "water_filling",
]
