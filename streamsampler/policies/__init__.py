"""Policies: what an operator writes, checked, and compiled to predicates and vector verdicts.

Text becomes a `PolicySet` here, and a set becomes span predicates for the scan and one function
that decides all due traces at once. No Kafka, no files, no clock and no randomness may come in:
chance is a function of the trace id, time is a column.
"""

from streamsampler.policies.compiled import (
    DROPPED,
    NOT_SAMPLED,
    SAMPLED,
    CompiledSet,
    DueTraces,
    Verdicts,
    Votes,
    compile_policies,
)
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.loading import load_policy_set
from streamsampler.policies.predicates import SpanPredicate, StatusIn, StringTest
from streamsampler.policies.schema import Policy, PolicySet, Settings, TenantSource
from streamsampler.policies.tenants import NO_TENANT, OVERFLOW, OVERFLOW_NAME, TenantNumbers
from streamsampler.policies.types.always import AlwaysSampleSettings
from streamsampler.policies.types.attribute import StringAttributeSettings
from streamsampler.policies.types.latency import LatencySettings
from streamsampler.policies.types.probabilistic import ProbabilisticSettings
from streamsampler.policies.types.status import StatusCodeSettings
from streamsampler.policies.types.tenant import TenantSettings

__all__ = [
    "DROPPED",
    "NOT_SAMPLED",
    "NO_TENANT",
    "OVERFLOW",
    "OVERFLOW_NAME",
    "SAMPLED",
    "AlwaysSampleSettings",
    "CompiledSet",
    "DueTraces",
    "LatencySettings",
    "Policy",
    "PolicyError",
    "PolicySet",
    "ProbabilisticSettings",
    "Settings",
    "SpanPredicate",
    "StatusCodeSettings",
    "StatusIn",
    "StringAttributeSettings",
    "StringTest",
    "TenantNumbers",
    "TenantSettings",
    "TenantSource",
    "Verdicts",
    "Votes",
    "compile_policies",
    "load_policy_set",
]
