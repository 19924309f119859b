"""What is raised for a condition that cannot be used."""


class ConditionError(ValueError):
    """A condition is refused.

    Attributes:
        column: Where in its text, characters from 1.
        sentence: What is wrong there, and the mend.
    """

    def __init__(self, column: int, sentence: str) -> None:
        """Keeps the place and the sentence.

        Args:
            column: Where in the text, characters from 1.
            sentence: What is wrong there, and the mend.
        """
        self.column = column
        self.sentence = sentence
        super().__init__(f"column {column}: {sentence}")
