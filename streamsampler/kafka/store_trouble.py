"""A block store that fails, as its disk is full or broken, is tried again until it can be used."""

from collections.abc import Collection
from typing import Final

import structlog

from streamsampler.store import BlockStore, StoreError

MEND_MS: Final = 5_000
"""How long a store that failed is left alone before it is opened again."""

_log = structlog.get_logger("streamsampler.worker")


class StoreTrouble:
    """What is wrong with the store, and when it is tried again.

    Args:
        store: The store.

    Attributes:
        problem: What is wrong; empty: nothing is.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store
        self._again_at_ms = 0
        self.problem = ""

    def begin(self, error: StoreError, partitions: Collection[int], now_ms: int) -> None:
        """Take note that the store failed.

        Args:
            error: What it said.
            partitions: Those that have to wait for it.
            now_ms: The monotonic clock.
        """
        self._note(error, now_ms)
        _log.error(
            "store_failed",
            problem=self.problem,
            partitions=list(partitions),
            mend="nothing is committed past it; the partitions go on by themselves when there is "
            "room at store.path",
        )

    def is_over(self, now_ms: int) -> bool:
        """Try the store again where it failed, now and then.

        Args:
            now_ms: The monotonic clock.

        Returns:
            Whether it can be used.
        """
        if not self.problem:
            return True
        if now_ms < self._again_at_ms:
            return False
        try:
            self._store.reopen()
        except StoreError as error:
            self._note(error, now_ms)
            _log.error("store_failed_again", problem=self.problem)
            return False
        _log.info("store_mended", after=self.problem)
        self.problem = ""
        return True

    def _note(self, error: StoreError, now_ms: int) -> None:
        self.problem = str(error)
        self._again_at_ms = now_ms + MEND_MS
