"""What a consumer says instead of a record: what passes by itself, and what never will."""

from typing import Final

from confluent_kafka import KafkaError

from streamsampler.kafka.errors import FailStopError
from streamsampler.kafka.rights import missing_right

_PASSING: Final = frozenset(
    {
        # The library's own error codes begin with an underscore; they are public all the same.
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001 - the partitions are lost, and come back
    }
)


def check_passing(error: KafkaError, place: str) -> None:
    """Stop at an error that does not pass by itself.

    Args:
        error: What the consumer said; no end of a partition.
        place: What was read, for the sentence.

    Raises:
        FailStopError: It would be so for ever.
    """
    passing = error.retriable() or error.code() in _PASSING
    if passing and not error.fatal():
        return
    right = missing_right(error, "Read")
    end = f": {right}." if right else "."
    raise FailStopError(f"{place}: cannot be read: {error.str().rstrip('.')}{end}")
