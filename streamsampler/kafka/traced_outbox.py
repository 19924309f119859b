"""An outbox whose commits are traced: one span for each attempt, a trace of its own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, TopicPartition
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from streamsampler.estimates.summaries import Summary
from streamsampler.kafka.errors import RollBackError
from streamsampler.kafka.outbox import Outbox
from streamsampler.kafka.records import Reading
from streamsampler.outcome import Outcome

NAME: Final = "commit"
PREFIX: Final = "streamsampler.commit."


@dataclass(slots=True)
class _Written:
    """What was written since the last commit."""

    records: int = 0
    kept_bytes: int = 0
    decisions: int = 0
    dead_letters: int = 0

    def add(self, outcome: Outcome) -> None:
        self.records += len(outcome.emissions)
        self.kept_bytes += sum(len(one.value) for one in outcome.emissions)
        self.decisions += len(outcome.decisions)
        self.dead_letters += len(outcome.dead_letters)


class TracedOutbox(Outbox):
    """Does what another outbox does, and tells of its commits.

    Args:
        inner: Does it.
        tracer: Is told.
        group_id: The workers' consumer group.
        transactions: Whether a commit is a Kafka transaction.
    """

    def __init__(self, inner: Outbox, tracer: Tracer, group_id: str, *, transactions: bool) -> None:
        self._inner = inner
        self._tracer = tracer
        self._same: dict[str, str | bool] = {
            "messaging.system": "kafka",
            "messaging.operation.name": NAME,
            "messaging.consumer.group.name": group_id,
            f"{PREFIX}transaction": transactions,
        }
        self._written = _Written()

    @property
    def written_bytes(self) -> int:
        """See `Outbox`."""
        return self._inner.written_bytes

    def add(self, outcome: Outcome, reading: Reading | None = None) -> None:
        """See `Outbox`."""
        self._written.add(outcome)
        self._inner.add(outcome, reading)

    def add_summaries(self, summaries: Iterable[Summary], shards: int) -> None:
        """See `Outbox`."""
        self._inner.add_summaries(summaries, shards)

    def commit(
        self, consumer: Consumer, offsets: Sequence[TopicPartition], overdue: Callable[[], bool]
    ) -> str | None:
        """See `Outbox`; where there is nothing to commit, there is nothing to tell."""
        if not offsets and not self.written_bytes:
            return self._inner.commit(consumer, offsets, overdue)
        span = self._begin(offsets)
        try:
            refused = self._inner.commit(consumer, offsets, overdue)
        except Exception as error:
            _end(span, "aborted" if isinstance(error, RollBackError) else "failed", str(error))
            raise
        self._written = _Written()
        _end(span, "committed" if refused is None else "refused", refused)
        return refused

    def abort(self) -> bool:
        """See `Outbox`."""
        self._written = _Written()
        return self._inner.abort()

    def _begin(self, offsets: Sequence[TopicPartition]) -> Span:
        written = self._written
        return self._tracer.start_span(
            NAME,
            Context(),
            SpanKind.CLIENT,
            {
                **self._same,
                f"{PREFIX}partitions": [one.partition for one in offsets],
                f"{PREFIX}records": written.records,
                f"{PREFIX}kept_bytes": written.kept_bytes,
                f"{PREFIX}decisions": written.decisions,
                f"{PREFIX}dead_letters": written.dead_letters,
                f"{PREFIX}written_bytes": self.written_bytes,
            },
        )


def _end(span: Span, result: str, reason: str | None) -> None:
    """End a span; whatever kept a commit from going through is an error's description."""
    span.set_attribute(f"{PREFIX}result", result)
    if reason is not None:
        span.set_status(Status(StatusCode.ERROR, reason))
    span.end()
