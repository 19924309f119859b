"""`probabilistic`: keeps a percentage of the traces, the same ones as the Collector does.

Hot code: the hash is asked of every due trace, sixteen passes over two columns, about 20 ns a
trace where thousands are due at once.
"""

from fractions import Fraction
from typing import Final, Literal

import numpy as np
from pydantic import Field, field_validator

from streamsampler.estimates import adjusted_counts, threshold, thresholds
from streamsampler.estimates.threshold import SMALLEST_PROBABILITY
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.votes import NO_THRESHOLD, Bools, DueTraces, Vote, Votes, Words

DEFAULT_SALT: Final = "default-hash-seed"

FNV_OFFSET: Final = 0xCBF29CE484222325
FNV_PRIME: Final = 0x100000001B3
WORD: Final = 2**64 - 1

_BY: Final = {"hash_seed": "hash", "equalizing": "randomness", "proportional": "randomness"}


class ProbabilisticSettings(Settings):
    """Which share, and the salt that makes one stage's choice independent of another's.

    Source: Collector, tailsamplingprocessor, probabilistic.
    """

    sampling_percentage: float = Field(default=0.0, description="a number of percent")
    hash_salt: str = Field(default=DEFAULT_SALT, description="a string")
    mode: Literal["hash_seed", "equalizing", "proportional"] = "hash_seed"

    @field_validator("hash_salt")
    @classmethod
    def _default_for_empty(cls, salt: str) -> str:
        return salt or DEFAULT_SALT

    def remarks(self) -> tuple[str, ...]:
        """A percentage that is no chance."""
        if self.sampling_percentage <= 0:
            return ("keeps no trace, as sampling_percentage is not above 0",)
        if self.mode != "hash_seed" and self.sampling_percentage / 100 < SMALLEST_PROBABILITY:
            smallest = 100 * SMALLEST_PROBABILITY
            return (f"keeps no trace, as the smallest percentage of this mode is {smallest:.2g}",)
        return ()


def fnv1a(data: bytes, state: int = FNV_OFFSET) -> int:
    """The 64-bit FNV-1a hash.

    Args:
        data: What to hash.
        state: The hash of what came before it.

    Source: Fowler, Noll, Vo: FNV-1a, 64 bits.
    """
    for byte in data:
        state = ((state ^ byte) * FNV_PRIME) & WORD
    return state


def hash_ids(salt: bytes, id_hi: Words, id_lo: Words) -> Words:
    """The 64-bit FNV-1a hashes of a salt followed by the 16 bytes of each trace id.

    Args:
        salt: Hashed before each id.
        id_hi: uint64[n], first halves of the ids, big-endian.
        id_lo: uint64[n], second halves.

    Returns:
        uint64[n].
    """
    state = np.full(len(id_hi), fnv1a(salt), dtype=np.uint64)
    byte = np.empty_like(state)
    for half in (id_hi, id_lo):
        for shift in range(56, -8, -8):
            np.right_shift(half, np.uint64(shift), out=byte)
            byte &= np.uint64(0xFF)
            state ^= byte
            state *= np.uint64(FNV_PRIME)  # wraps at 2**64, as the hash wants it
    return state


def largest_hash(percentage: float) -> int:
    """The largest hash that is still sampled.

    The product is rounded to 64 binary digits and then cut, as the Collector's arithmetic has it.

    Args:
        percentage: Between 0 and 100, both exclusive.

    Returns:
        A 64-bit number.

    Source: Collector, tailsamplingprocessor, probabilistic.
    """
    numerator, denominator = (percentage / 100).as_integer_ratio()
    product = numerator * WORD
    unit = 1 << max(0, product.bit_length() - 64)
    return round(Fraction(product, unit)) * unit // denominator


def _compile(settings: ProbabilisticSettings, _compilation: Compilation) -> Vote:
    percentage = settings.sampling_percentage
    if percentage >= 100:
        return lambda traces, _asked: Votes(np.ones(len(traces), np.bool_))
    by_hash = settings.mode == "hash_seed"
    if percentage <= 0 or (not by_hash and percentage / 100 < SMALLEST_PROBABILITY):
        return lambda traces, _asked: Votes(np.zeros(len(traces), np.bool_))
    if by_hash:
        return _vote_by_hash(percentage, settings.hash_salt.encode())
    if settings.mode == "proportional":
        return _vote_proportionally(percentage / 100)
    return _vote_by_randomness(threshold(percentage / 100))


def _vote_by_hash(percentage: float, salt: bytes) -> Vote:
    limit = np.uint64(largest_hash(percentage))

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        n = len(traces)
        return Votes(
            sampled=hash_ids(salt, traces.id_hi, traces.id_lo) <= limit,
            threshold=np.full(n, NO_THRESHOLD, np.uint64),
            adjusted=np.full(n, 100 / percentage),
        )

    return vote


def _vote_by_randomness(rejected: int) -> Vote:
    """Keep where R >= T, so that what was sampled before is brought to T in all."""

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        thresholds = np.full(len(traces), rejected, np.uint64)
        return Votes(sampled=traces.randomness >= thresholds, threshold=thresholds)

    return vote


def _vote_proportionally(share: float) -> Vote:
    """Keep a share of what arrives: where R >= T(p(T_in) p)."""

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        chances = share / adjusted_counts(traces.incoming)
        rejected = thresholds(np.maximum(chances, SMALLEST_PROBABILITY))
        return Votes(sampled=traces.randomness >= rejected, threshold=rejected)

    return vote


def _grounds(settings: ProbabilisticSettings) -> str:
    return f"{settings.sampling_percentage:g} % by {_BY[settings.mode]}"


PROBABILISTIC: Final = PolicyType(
    "probabilistic", ProbabilisticSettings, _compile, grounds=_grounds
)
