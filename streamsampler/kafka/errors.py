"""What stops a worker."""


class FailStopError(RuntimeError):
    """Something that the sampler must not go on after; the text is a sentence for the operator.

    Nothing is committed past it, so whoever takes over begins where the last commit stands.
    """
