"""How an app gets on: alive is who published, not who merely runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

STALLED_MS: Final = 120_000
"""So long without a round of publishing is no rebalance and no recovery any more."""


@dataclass(slots=True)
class Progress:
    """What an app has done since its start.

    Attributes:
        started_ms: When it started; ms of any clock that only goes on, as all times here.
        records: Taken from the sketches topic, of any kind.
        undecodable: Of those, passed over as nobody could read them.
        rounds: Times it looked whether there is something to publish, while it owned its shards.
        round_ms: When it last did; None: not yet.
        tables: Written to the tables topic.
        published_ms: When it last wrote one and the broker had it; None: not yet.
        refused: Tables that could not be written.
    """

    started_ms: float
    records: int = 0
    undecodable: int = 0
    rounds: int = 0
    round_ms: float | None = field(default=None)
    tables: int = 0
    published_ms: float | None = field(default=None)
    refused: int = 0

    def stalled(self, now_ms: float) -> bool:
        """Tell whether the last round is too long ago.

        Args:
            now_ms: The time now.

        Returns:
            Whether somebody should start the app anew.
        """
        last = self.started_ms if self.round_ms is None else self.round_ms
        return now_ms - last > STALLED_MS

    def answer(self, now_ms: float) -> Mapping[str, int | bool | None]:
        """Say it for the web view and the log.

        Args:
            now_ms: The time now.

        Returns:
            Field and value; times as ms ago, None for never.
        """
        return {
            "stalled": self.stalled(now_ms),
            "published_ms_ago": _ago(self.published_ms, now_ms),
            "round_ms_ago": _ago(self.round_ms, now_ms),
            "rounds": self.rounds,
            "tables": self.tables,
            "refused": self.refused,
            "records": self.records,
            "undecodable": self.undecodable,
        }


def _ago(then_ms: float | None, now_ms: float) -> int | None:
    return None if then_ms is None else round(now_ms - then_ms)
