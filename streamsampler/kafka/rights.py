"""Rights that brokers with ACLs want, and how their want is told."""

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError

_NEEDED: Final[Mapping[int, str]] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "rights on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Read on the group, which is named by group_id",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Write and Describe on transactional ids "
    "that begin with group_id",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "rights on the cluster",
}


def missing_right(error: KafkaError) -> str | None:
    """Tell which right is missing.

    Args:
        error: A broker's answer.

    Returns:
        What follows a sentence that names the error; None where no right is missing.
    """
    needed = _NEEDED.get(error.code())
    return None if needed is None else f"the user lacks {needed} (docs/security.md lists all)"
