"""What a worker's loop is connected to."""

from dataclasses import dataclass

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from streamsampler.kafka.control_plane import ControlPlane
from streamsampler.kafka.outbox import Outbox
from streamsampler.kafka.policy_topic import PolicyTopic
from streamsampler.spans.formats import Translate
from streamsampler.store import BlockStore


@dataclass(frozen=True, slots=True)
class Links:
    """What a worker is connected to; each is its opener's, but the consumer, which `run` closes.

    Attributes:
        consumer: A member of the group, not yet subscribed.
        admin: For offsets.
        outbox: For what is written.
        policies: The policies topic, read to its end.
        control_plane: The way to it and from it.
        store: The engine's blocks.
        translate: From the input's format to OTLP protobuf; None where they are one.
    """

    consumer: Consumer
    admin: AdminClient
    outbox: Outbox
    policies: PolicyTopic
    control_plane: ControlPlane
    store: BlockStore
    translate: Translate | None
