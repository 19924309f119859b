"""OTTL conditions: their text read and judged, and asked of all spans of a batch at once.

A condition is judged when it is loaded: what is not supported is refused with its place in the
text, so that what is left answers, or fails for the type of some attribute. Spans are seen as the
columns of a `SpanView` alone; no loop over spans comes in here.
"""

from streamsampler.policies.ottl.errors import ConditionError
from streamsampler.policies.ottl.parsing import ParsedCondition, parse_condition
from streamsampler.policies.ottl.pool import Pool
from streamsampler.policies.ottl.program import Program
from streamsampler.policies.ottl.values import FAILED, FALSE, TRUE
from streamsampler.policies.ottl.view import SpanView

__all__ = [
    "FAILED",
    "FALSE",
    "TRUE",
    "ConditionError",
    "ParsedCondition",
    "Pool",
    "Program",
    "SpanView",
    "parse_condition",
]
