"""A worker's window on itself: whether it lives, whether it is ready, and what it has counted.

The worker's loop tells `Vitals` what happened, in its own thread and a few times a second; the
HTTP server answers in another thread from what was told last, so that nobody who asks can hold the
loop up. What is pushed by OTLP has threads of its own, too. No Kafka, no settings and no clock come
in here: a partition's state is a word, time is an argument.
"""

from streamsampler.observe.address import AddressError, nth_address
from streamsampler.observe.server import HealthServer
from streamsampler.observe.standing import PartitionStanding, StoreStanding, WorkerStanding
from streamsampler.observe.vitals import Vitals

__all__ = [
    "AddressError",
    "HealthServer",
    "PartitionStanding",
    "StoreStanding",
    "Vitals",
    "WorkerStanding",
    "nth_address",
]
