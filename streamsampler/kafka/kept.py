"""Which partitions' blocks are kept for their return, though somebody else owns them now."""

from collections.abc import Mapping


class KeptBlocks:
    """Partitions that left, oldest first, within a size and an age.

    Args:
        most_bytes: Of all of them together.
        most_ms: How long one is kept.
        found: What the store held at the start: partition and bytes.
        now_ms: The monotonic clock.
    """

    def __init__(
        self, most_bytes: int, most_ms: int, found: Mapping[int, int], now_ms: int
    ) -> None:
        self._most_bytes = most_bytes
        self._most_ms = most_ms
        self._kept = {partition: (size, now_ms) for partition, size in found.items()}

    def left(self, partition: int, size: int, now_ms: int) -> None:
        """Note that a partition left.

        Args:
            partition: Its number.
            size: Bytes of its blocks.
            now_ms: The monotonic clock.
        """
        self._kept.pop(partition, None)
        if size:
            self._kept[partition] = (size, now_ms)

    def came(self, partition: int) -> None:
        """Note that a partition is ours again."""
        self._kept.pop(partition, None)

    def surplus(self, now_ms: int) -> list[int]:
        """Tell which partitions' blocks are to go; they are not kept any more.

        Args:
            now_ms: The monotonic clock.

        Returns:
            Those that are too old, then the oldest of what is too much.
        """
        gone = []
        total = sum(size for size, _ in self._kept.values())
        for partition, (size, since_ms) in list(self._kept.items()):
            if now_ms - since_ms <= self._most_ms and total <= self._most_bytes:
                break
            del self._kept[partition]
            total -= size
            gone.append(partition)
        return gone
