"""A worker that ends, or stands still, at an exact point of a commit.

Called as `interrupted_worker.py POINT RECORDS SIGNAL run --config FILE`: in the first transaction
with so many records of traces the process sends itself the signal at the point.
"""

import os
import signal
import sys
from typing import Any

from confluent_kafka import Producer

from streamsampler.cli import main
from streamsampler.kafka import clients

POINTS = ("before_offsets", "after_offsets", "after_commit")
FLUSH_SECONDS = 10.0


class InterruptedProducer(Producer):
    """The producer of a worker, with an interruption planned."""

    point = ""
    records = 0
    signal = signal.SIGKILL
    interrupted = False
    """Of the process, as a worker goes on with a new producer when it was fenced."""
    _produced = 0

    def begin_transaction(self) -> None:
        self._produced = 0
        super().begin_transaction()

    def produce(self, *arguments: Any, **named: Any) -> None:
        super().produce(*arguments, **named)
        self._produced += 1

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        self._reached("before_offsets")
        super().send_offsets_to_transaction(*arguments)
        self._reached("after_offsets")

    def commit_transaction(self, *arguments: Any) -> None:
        super().commit_transaction(*arguments)
        self._reached("after_commit")

    def _reached(self, point: str) -> None:
        if point != self.point or self._produced < self.records or self.interrupted:
            return
        InterruptedProducer.interrupted = True
        self.flush(FLUSH_SECONDS)  # so that the brokers have what an abort must undo
        os.kill(os.getpid(), self.signal)


if __name__ == "__main__":
    point, records, number = sys.argv[1:4]
    del sys.argv[1:4]
    assert point in POINTS
    InterruptedProducer.point = point
    InterruptedProducer.records = int(records)
    InterruptedProducer.signal = signal.Signals(int(number))
    clients.Producer = InterruptedProducer  # type: ignore[attr-defined]
    main()
