"""`always_sample`: keeps every trace."""

from typing import Final

import numpy as np

from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.schema import Settings
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes


class AlwaysSampleSettings(Settings):
    """It has none."""


def _compile(_settings: AlwaysSampleSettings, _compilation: Compilation) -> Vote:
    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        return Votes(np.ones(len(traces), np.bool_))

    return vote


ALWAYS_SAMPLE: Final = PolicyType(
    "always_sample", AlwaysSampleSettings, _compile, grounds=lambda _settings: "every trace"
)
