"""Rights that brokers with ACLs want, and how their want is told."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError

_NEEDED: Final[Mapping[int, str]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "{asked} on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Read on the group, which is named by group_id",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Write and Describe on transactional ids "
    "that begin with group_id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "rights on the cluster",
}


def missing_right(error: KafkaError, asked: str = "rights") -> str | None:
    """Tell which right is missing.

    Args:
        error: A broker's answer.
        asked: What was asked of a topic; the answer does not say it.

    Returns:
        What follows a sentence that names the error; None where no right is missing.
    """
    needed = _NEEDED.get(error.code())
    if needed is None:
        return None
    return f"the user lacks {needed.format(asked=asked)} (docs/security.md lists all)"
