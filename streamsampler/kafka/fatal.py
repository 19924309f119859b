"""A client's fatal error as the binding tells of it: raised out of a call that serves callbacks."""

from confluent_kafka import KafkaError, KafkaException


def fatal_error(raised: BaseException) -> KafkaError | None:
    """Find the client's error in what a call raised.

    While the binding has it in hand, it goes on calling back; then Python complains of a callback
    that returned with an exception set, and the error is that complaint's cause.

    Args:
        raised: By `poll`, `flush` or `close`.

    Returns:
        The error; None where it was something else.
    """
    told = raised.__cause__ if isinstance(raised, SystemError) else raised
    return told.args[0] if isinstance(told, KafkaException) else None
