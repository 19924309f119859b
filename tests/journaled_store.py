"""A block store that can be set back to any moment: what a kill leaves of it."""

from pathlib import Path

from streamsampler.store import BlockStore, StoreSettings


class JournaledStore(BlockStore):
    """Notes every write; without a write-ahead log, those up to some moment outlive a kill."""

    def __init__(self, path: Path, settings: StoreSettings | None = None) -> None:
        super().__init__(path, settings)
        self.writes: list[tuple[int, int, bytes | None]] = []

    def put(self, partition: int, number: int, value: bytes) -> None:
        super().put(partition, number, value)
        self.writes.append((partition, number, value))

    def delete(self, partition: int, numbers: list[int]) -> None:
        super().delete(partition, numbers)
        self.writes += [(partition, number, None) for number in numbers]

    def set_back(self, writes: int) -> None:
        """Be as if only so many writes had been made."""
        kept = self.writes[:writes]
        for partition in self.partitions():
            self.clear(partition)
        for partition, number, value in kept:
            if value is None:
                super().delete(partition, [number])
            else:
                super().put(partition, number, value)
        self.writes = kept
