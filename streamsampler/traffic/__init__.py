"""Traffic of a simulated shop, and the oracle that knows each trace's right verdict.

Here live the model of the shop, its encoders (by hand, for speed), the delivery of its spans as
records, and the writers to files and topics. A run is a pure function of its settings. Nothing of
the engine may come in: the oracle judges by the definitions of the policies alone.
"""

from streamsampler.traffic.files import FORMATS, open_output
from streamsampler.traffic.model import GeneratedRecord, Span, Trace
from streamsampler.traffic.oracle import Expectation, judge, unknown_policies
from streamsampler.traffic.settings import TrafficSettings
from streamsampler.traffic.stream import Traffic, generate
from streamsampler.traffic.topic import TopicWrite, write_topic

__all__ = [
    "FORMATS",
    "Expectation",
    "GeneratedRecord",
    "Span",
    "TopicWrite",
    "Trace",
    "Traffic",
    "TrafficSettings",
    "generate",
    "judge",
    "open_output",
    "unknown_policies",
    "write_topic",
]
