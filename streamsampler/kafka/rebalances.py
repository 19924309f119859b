"""Whether the group is rebalancing, so that a commit does not meet a change of generation.

With the classic protocol the group's generation rises when the last member has joined again, and a
member learns of it a moment later. A transaction that is committed in that moment names the old
generation, is refused and must be undone. So a commit waits while the coordinator says that a
rebalance is under way: a second or so, as members learn of it with their heartbeats.
"""

from typing import Final

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from streamsampler.config import Settings

MOST_WAIT_MS: Final = 4_000
"""Longer than members need to join again; well within a transaction's time."""
ASK_SECONDS: Final = 0.5
_UNDER_WAY: Final = frozenset(
    {ConsumerGroupState.PREPARING_REBALANCING, ConsumerGroupState.COMPLETING_REBALANCING}
)


class Rebalances:
    """Asks the coordinator; some 2 ms each time.

    Args:
        settings: With KIP-848's protocol a member's own epoch counts, and with at least once
            nothing is undone: then nobody is asked.
        admin: Whom to ask.
    """

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        self._group = settings.group_id
        self._admin = admin
        self._matters = (
            settings.group_protocol == "classic" and settings.guarantee == "exactly_once"
        )
        self._since_ms: int | None = None

    def to_be_waited_for(self, now_ms: int) -> bool:
        """Tell whether a commit should wait.

        Args:
            now_ms: The monotonic clock.

        Returns:
            True while a rebalance is under way, for so long that members can have joined. A
            coordinator that does not answer is not waited for: the commit will tell.
        """
        if not self._matters or not self._is_under_way():
            self._since_ms = None
            return False
        if self._since_ms is None:
            self._since_ms = now_ms
        return now_ms - self._since_ms < MOST_WAIT_MS

    def _is_under_way(self) -> bool:
        described = self._admin.describe_consumer_groups([self._group], request_timeout=ASK_SECONDS)
        try:
            return described[self._group].result().state in _UNDER_WAY
        except KafkaException:
            return False
