"""The types of policies, one file per family, and the registry of them.

A new type is a file here with its settings model, its compile function and a PolicyType, and one
entry below. Votes are functions over columns: no Kafka, no clock and no loop over traces.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.types.always import ALWAYS_SAMPLE
from streamsampler.policies.types.attribute import STRING_ATTRIBUTE
from streamsampler.policies.types.latency import LATENCY
from streamsampler.policies.types.probabilistic import PROBABILISTIC
from streamsampler.policies.types.status import STATUS_CODE
from streamsampler.policies.types.tenant import TENANT

TYPES: Final[Mapping[str, PolicyType]] = MappingProxyType(
    {
        policy_type.name: policy_type
        for policy_type in (
            ALWAYS_SAMPLE,
            STATUS_CODE,
            LATENCY,
            STRING_ATTRIBUTE,
            PROBABILISTIC,
            TENANT,
        )
    }
)

NOT_SUPPORTED: Final = frozenset(
    {
        "and",
        "boolean_attribute",
        "bytes_limiting",
        "composite",
        "drop",
        "not",
        "numeric_attribute",
        "ottl_condition",
        "rate_limiting",
        "span_count",
        "trace_flags",
        "trace_state",
    }
)
"""Types that the Collector has and this version has not."""

__all__ = ["NOT_SUPPORTED", "TYPES"]
