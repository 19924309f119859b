"""What an import of another sampler's rules gives: a set as plain data, and what is to be said."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from streamsampler.policies.document import Document, Path, Place
from streamsampler.policies.sentences import path_text


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence on a place of the source.

    Attributes:
        place: Where it is; None where no place is known.
        sentence: With the place in front, as it is shown.
        lost: Whether something there is not in the set; else it is there and means nearly, and
            not quite, the same.
    """

    place: Place | None
    sentence: str
    lost: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome of an import.

    Attributes:
        document: The set as plain data, in the form that `load_policy_set` reads.
        remarks: In the order of the source.
    """

    document: dict[str, object]
    remarks: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class Remarks:
    """Collects what is to be said of a document while it is imported.

    Attributes:
        source: The document.
        said: The remarks so far.
    """

    source: Document
    said: list[Remark] = field(default_factory=list)

    def lost(self, path: Path, reason: str) -> None:
        """Says that something is not in the set.

        Args:
            path: To it.
            reason: What follows the path in the sentence.
        """
        self._say(path, reason, lost=True)

    def note(self, path: Path, reason: str) -> None:
        """Says that something is in the set and not quite the same.

        Args:
            path: To it.
            reason: What follows the path in the sentence.
        """
        self._say(path, reason, lost=False)

    def _say(self, path: Path, reason: str, *, lost: bool) -> None:
        place = self.source.at(path, key=True)
        subject = path_text(path) or "the document"
        sentence = f"{self.source.cite(place)}: {subject} {reason}."
        self.said.append(Remark(place, sentence, lost))

    def ordered(self) -> tuple[Remark, ...]:
        """The remarks in the order of the source."""
        return tuple(sorted(self.said, key=lambda remark: remark.place or Place(0, 0)))

    def unread(self, path: Path, given: Iterable[str], known: Iterable[str]) -> None:
        """Says of each key that is not known that it is not in the set.

        Args:
            path: To the mapping.
            given: Its keys.
            known: Those that are read.
        """
        for key in sorted(set(given) - set(known)):
            self.lost((*path, key), "is not known and was left out")


def policy(name: str, kind: str, settings: dict[str, object] | None = None) -> dict[str, object]:
    """A policy as plain data.

    Args:
        name: Its name.
        kind: Its type.
        settings: The block of that type; None for a type without settings.

    Returns:
        A mapping as it stands in a list of policies.
    """
    written: dict[str, object] = {"name": name, "type": kind}
    if settings is not None:
        written[kind] = settings
    return written


def named_apart(policies: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Policies, each under a name of its own.

    Args:
        policies: As they are to stand in one list.

    Returns:
        The same, a number behind each name that an earlier one has.
    """
    taken: set[str] = set()
    apart = []
    for each in policies:
        name, count = str(each["name"]), 1
        while name in taken:
            count += 1
            name = f"{each['name']} ({count})"
        taken.add(name)
        apart.append({**each, "name": name})
    return apart
