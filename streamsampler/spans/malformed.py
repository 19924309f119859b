"""What is wrong with a record that no translation can take."""


class MalformedRecord(ValueError):  # noqa: N818 - a record for the dead letters, no failure of ours
    """A record's value that is not what its format says.

    Attributes:
        reason: One snake_case word, for counting and for the dead letter's headers.
        detail: A sentence with the place in the value, what stands there and the mend.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
