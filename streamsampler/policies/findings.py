"""What is wrong with a policy set, or doubtful, while it is read: sentences with their places."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from streamsampler.policies.document import Document, Path, Place
from streamsampler.policies.sentences import explain, fields_at, no_such_key, path_text

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence.

    Attributes:
        place: Where in the text; None where that is not known.
        sentence: With its subject, without the place.
    """

    place: Place | None
    sentence: str


@dataclass(slots=True)
class Findings:
    """Problems and warnings so far.

    Attributes:
        document: The text that is read.
        base: The path to the block of settings in it.
        problems: Why the set is refused.
        warnings: What is accepted and has no or an unlikely meaning.
    """

    document: Document
    base: Path
    problems: list[Said] = field(default_factory=list)
    warnings: list[Said] = field(default_factory=list)

    def refuse(self, path: Path, reason: str, *, key: bool = False) -> None:
        """Note a problem.

        Args:
            path: From the block.
            reason: What follows the path in the sentence.
            key: It stands at the key, rather than at its value.
        """
        self.problems.append(self._say(path, reason, key=key))

    def warn(self, path: Path, reason: str) -> None:
        """Note a warning, at the key.

        Args:
            path: From the block.
            reason: What follows the path in the sentence.
        """
        self.warnings.append(self._say(path, reason, key=True))

    def _say(self, path: Path, reason: str, *, key: bool) -> Said:
        subject = path_text(path) or "the policy set"
        end = "" if reason.endswith("?") else "."
        place = self.document.at((*self.base, *path), key=key)
        return Said(place, f"{subject} {reason}{end}")

    def told(self, sentences: Iterable[Said]) -> tuple[str, ...]:
        """Sentences with their places, in the order of the text.

        Args:
            sentences: Problems or warnings.
        """
        ordered = sorted(sentences, key=lambda said: said.place or Place(0, 0))
        return tuple(f"{self.document.cite(said.place)}: {said.sentence}" for said in ordered)

    def check(
        self,
        model: type[Model],
        value: object,
        path: Path,
        *,
        also_known: Iterable[str] = (),
        told: Collection[str] = (),
    ) -> Model | None:
        """Fill a model with a block, noting what is wrong with it.

        Args:
            model: The block's model.
            value: The block.
            path: Its path.
            also_known: Keys that it may have besides the model's.
            told: Keys whose problems have been noted; they have no value in the block.

        Returns:
            None where there is a problem.
        """
        given = value
        if isinstance(value, dict):  # an empty value leaves a setting at its default
            given = {key: inner for key, inner in value.items() if inner is not None}
        try:
            return model.model_validate(given)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            inner = {details["loc"][:-1] for details in errors if details["type"] != "missing"}
            for details in errors:
                if details["loc"] in inner and details["loc"]:
                    continue  # a list is too short only because its items were refused
                if details["loc"] and details["loc"][0] in told:
                    continue
                where = (*path, *details["loc"])
                if details["type"] == "extra_forbidden":
                    inner_block = details["loc"][:-1]
                    known = {*fields_at(model, inner_block), *(() if inner_block else also_known)}
                    self.refuse(where, no_such_key(str(where[-1]), known), key=True)
                else:
                    self.refuse(where, explain(details, model))
        return None
