"""The types of policies, one file per family, and the registry of them.

A new type is a file here with its settings model, its compile function and a PolicyType, and one
entry below. Votes are functions over columns: no Kafka, no clock and no loop over traces.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.types.adaptive import ADAPTIVE
from streamsampler.policies.types.always import ALWAYS_SAMPLE
from streamsampler.policies.types.and_ import AND
from streamsampler.policies.types.attribute import STRING_ATTRIBUTE
from streamsampler.policies.types.boolean_attribute import BOOLEAN_ATTRIBUTE
from streamsampler.policies.types.bytes_limiting import BYTES_LIMITING
from streamsampler.policies.types.canary import CANARY
from streamsampler.policies.types.composite import COMPOSITE
from streamsampler.policies.types.drop import DROP
from streamsampler.policies.types.latency import LATENCY
from streamsampler.policies.types.not_ import NOT
from streamsampler.policies.types.numeric_attribute import NUMERIC_ATTRIBUTE
from streamsampler.policies.types.ottl_condition import OTTL_CONDITION
from streamsampler.policies.types.probabilistic import PROBABILISTIC
from streamsampler.policies.types.rare import RARE
from streamsampler.policies.types.rate_limiting import RATE_LIMITING
from streamsampler.policies.types.shape import SHAPE
from streamsampler.policies.types.span_count import SPAN_COUNT
from streamsampler.policies.types.status import STATUS_CODE
from streamsampler.policies.types.tenant import TENANT
from streamsampler.policies.types.trace_flags import TRACE_FLAGS
from streamsampler.policies.types.trace_state import TRACE_STATE

TYPES: Final[Mapping[str, PolicyType]] = MappingProxyType(
    {
        policy_type.name: policy_type
        for policy_type in (
            ALWAYS_SAMPLE,
            STATUS_CODE,
            LATENCY,
            STRING_ATTRIBUTE,
            NUMERIC_ATTRIBUTE,
            BOOLEAN_ATTRIBUTE,
            TRACE_STATE,
            TRACE_FLAGS,
            SPAN_COUNT,
            PROBABILISTIC,
            OTTL_CONDITION,
            ADAPTIVE,
            RATE_LIMITING,
            BYTES_LIMITING,
            COMPOSITE,
            TENANT,
            CANARY,
            SHAPE,
            RARE,
            AND,
            NOT,
            DROP,
        )
    }
)

__all__ = ["TYPES"]
