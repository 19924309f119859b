"""Mathematics of sampling: probabilities, thresholds and adjusted counts.

Pure functions over numbers and NumPy columns. No spans, no policies, no settings and no I/O may
come in here; nothing of ours is imported.
"""

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
)

__all__ = [
    "MODULUS",
    "NO_THRESHOLD",
    "adjusted_count",
    "adjusted_counts",
    "decode",
    "encode",
    "parse_randomness",
    "probability",
    "raised",
    "randomness",
    "randomness_of_ids",
    "threshold",
]
