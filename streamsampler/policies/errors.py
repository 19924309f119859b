"""What is raised for a policy set that cannot be used."""

from collections.abc import Iterable


class PolicyError(ValueError):
    """A policy set is refused.

    Attributes:
        problems: Everything that is wrong with it, each a sentence with its place.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        """Keeps the problems.

        Args:
            problems: At least one sentence.
        """
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("\n".join(self.problems))
