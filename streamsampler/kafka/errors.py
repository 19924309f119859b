"""What ends a worker, a session of it, or a transaction."""


class FailStopError(RuntimeError):
    """Something that the sampler must not go on after; the text is a sentence for the operator.

    Nothing is committed past it, so whoever takes over begins where the last commit stands.
    """


class RestartError(RuntimeError):
    """The Kafka clients are of no use any more; the worker goes on with new ones.

    Nothing of the open transaction counts. The text says what was refused.
    """


class RollBackError(RuntimeError):
    """What was done since the last commit must be undone, and is done again from there."""


class NotYetError(RuntimeError):
    """A broker cannot tell at the moment, and will; asked again in a while."""
