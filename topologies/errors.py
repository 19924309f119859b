"""What keeps a topology from running."""


class TopologyError(RuntimeError):
    """A topology cannot start or go on; the text is a sentence for the operator."""
