"""From text to a policy set: finds the block, checks everything, says all that is wrong at once."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from streamsampler.policies.block import INSTEAD, Block
from streamsampler.policies.compiled import compile_policies
from streamsampler.policies.document import Document, Path, Place, read_document
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.schema import Policy, PolicySet, Settings, TenantSource
from streamsampler.policies.sentences import (
    did_you_mean,
    explain,
    fields_at,
    listed,
    no_such_key,
    path_text,
    shown,
)
from streamsampler.policies.tenants import TenantNumbers
from streamsampler.policies.types import NOT_SUPPORTED, TYPES

COMPONENT: Final = "tail_sampling"

_LONGEST_NAME: Final = 60  # characters of a placeholder that a sentence repeats
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")
_Model = TypeVar("_Model", bound=BaseModel)


def load_policy_set(text: str, source: str, types: Mapping[str, PolicyType] = TYPES) -> PolicySet:
    """Loads a policy set.

    Args:
        text: YAML or JSON: the bare block of settings, or the block under `tail_sampling`, or a
            Collector's configuration with it under `processors`.
        source: What to call the text in sentences, a file name for example.
        types: The registry of types.

    Returns:
        The set, complete and checked, with warnings.

    Raises:
        PolicyError: With everything that is wrong.
    """
    document = read_document(text, source)
    base, block = _find_block(document)
    reading = _Reading(document, base, types)
    policy_set = reading.policy_set(block)
    if policy_set is None:
        raise PolicyError(reading.said(reading.problems))
    try:
        compile_policies(policy_set, TenantNumbers(), types)
    except PolicyError as error:
        place = document.cite(document.at((*base, "policies"), key=True))
        raise PolicyError(f"{place}: {problem}" for problem in error.problems) from error
    return policy_set


def _find_block(document: Document) -> tuple[Path, dict[str, object]]:
    """The block of settings, and the path to it."""
    path: Path = ()
    value = document.value
    if isinstance(value, dict) and "policies" not in value and "processors" in value:
        path, value = ("processors",), value["processors"]
        if not isinstance(value, dict) or not _components(value):
            place = document.cite(document.at(path))
            raise PolicyError([f"{place}: processors has no {COMPONENT} block; add one there."])
    if isinstance(value, dict) and "policies" not in value and (names := _components(value)):
        if len(names) > 1:
            place = document.cite(document.at(path))
            raise PolicyError([f"{place}: there are several blocks, {listed(names)}; keep one."])
        path, value = (*path, names[0]), value[names[0]]
    if not isinstance(value, dict):
        problem = f"the policy set is {shown(value)}: expected a mapping with a list of policies."
        raise PolicyError([f"{document.cite(document.at(path))}: {problem}"])
    return path, value


def _components(value: Mapping[str, object]) -> list[str]:
    return [key for key in value if key == COMPONENT or key.startswith(f"{COMPONENT}/")]


@dataclass(frozen=True, slots=True)
class _Said:
    place: Place | None
    sentence: str


@dataclass(slots=True)
class _Reading:
    """One pass over a block, collecting problems and warnings."""

    document: Document
    base: Path
    types: Mapping[str, PolicyType]
    problems: list[_Said] = field(default_factory=list)
    warnings: list[_Said] = field(default_factory=list)

    def policy_set(self, block: Mapping[str, object]) -> PolicySet | None:
        """The set, or None where there are problems."""
        for key in INSTEAD:
            if block.get(key) is not None:
                self._warn((key,), f"has no meaning here: {INSTEAD[key]}")
        own = {key: value for key, value in block.items() if key not in INSTEAD}
        for path, text in _strings(own, ()):
            if found := _PLACEHOLDER.search(text):
                name = found[0][:_LONGEST_NAME]
                self._refuse(
                    path, f"holds {name}, which is not expanded here; write the value itself"
                )
        head = self._check(Block, own, (), also_known=INSTEAD)
        policies = list(self._policies(own.get("policies")))
        if self.problems or head is None:
            return None
        if own.get("completion_grace") and head.completion_grace >= head.decision_wait:
            self._warn(
                ("completion_grace",),
                "is not shorter than decision_wait, so no trace is decided early",
            )
        return PolicySet(
            policies=tuple(policies),
            decision_wait_ms=head.decision_wait,
            completion_grace_ms=head.completion_grace,
            decision_ttl_ms=head.decision_ttl,
            sample_on_first_match=head.sample_on_first_match,
            tenant=TenantSource(head.tenant.key, head.tenant.source),
            warnings=self.said(self.warnings),
        )

    def said(self, sentences: Iterable[_Said]) -> tuple[str, ...]:
        """Sentences with their places, in the order of the text."""
        ordered = sorted(sentences, key=lambda said: said.place or Place(0, 0))
        return tuple(f"{self.document.cite(said.place)}: {said.sentence}" for said in ordered)

    def _policies(self, items: object) -> Iterator[Policy]:
        names: dict[str, str] = {}
        for i, item in enumerate(items if isinstance(items, list) else ()):
            path: Path = ("policies", i)
            if not isinstance(item, dict):
                self._refuse(path, f"is {shown(item)}: expected a mapping with name and type")
                continue
            name = self._name(item.get("name"), path, names)
            policy_type = self._type(item.get("type"), path)
            self._check_keys(item, path, policy_type)
            settings = policy_type and self._settings(item, path, policy_type)
            if name and policy_type and settings:
                yield Policy(name, policy_type.name, settings)

    def _name(self, name: object, policy: Path, names: dict[str, str]) -> str | None:
        path = (*policy, "name")
        if name is None or name == "":
            problem = "is missing" if name is None else "is empty"
            self._refuse(path, f"{problem}; every policy needs a name")
        elif not isinstance(name, str):
            self._refuse(path, f"is {shown(name)}: expected a string; write it in quotes")
        elif name in names:
            self._refuse(path, f"is {shown(name)}, which {names[name]} has; give it another name")
        else:
            names[name] = path_text(policy)
            return name
        return None

    def _type(self, name: object, policy: Path) -> PolicyType | None:
        path = (*policy, "type")
        if not isinstance(name, str):
            problem = "is missing" if name is None else f"is {shown(name)}"
            self._refuse(path, f"{problem}; expected one of {listed(sorted(self.types))}")
        elif name in self.types:
            return self.types[name]
        elif name in NOT_SUPPORTED:
            self._refuse(
                path,
                f"is {shown(name)}, a type of the Collector that is not supported by this version; "
                f"supported are {listed(sorted(self.types))}",
            )
        else:
            question = did_you_mean(name, {*self.types, *NOT_SUPPORTED})
            mend = question or f"expected one of {listed(sorted(self.types))}"
            self._refuse(path, f"is {shown(name)}, which is unknown; {mend}")
        return None

    def _check_keys(
        self, policy: Mapping[str, object], path: Path, policy_type: PolicyType | None
    ) -> None:
        own = ["name", "type", policy.get("type")]
        blocks = {*self.types, *NOT_SUPPORTED}
        for key in policy:
            if key in own:
                continue
            if key not in blocks:
                self._refuse((*path, key), no_such_key(key, {"name", "type", *blocks}), key=True)
            elif policy_type is not None:
                self._warn((*path, key), f"is not read, as the policy's type is {policy_type.name}")

    def _settings(
        self, policy: Mapping[str, object], path: Path, policy_type: PolicyType
    ) -> Settings | None:
        value = policy.get(policy_type.name)
        path = (*path, policy_type.name)
        if value is None and policy_type.needs_settings:
            self._refuse(path, "is missing; a policy of this type needs its settings")
            return None
        settings = self._check(policy_type.settings, {} if value is None else value, path)
        for remark in settings.remarks() if settings else ():
            self._warn(path, remark)
        return settings

    def _check(
        self, model: type[_Model], value: object, path: Path, also_known: Iterable[str] = ()
    ) -> _Model | None:
        """The model filled with a block, or None after its problems were noted."""
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
                where = (*path, *details["loc"])
                if details["type"] == "extra_forbidden":
                    inner_block = details["loc"][:-1]
                    known = {*fields_at(model, inner_block), *(() if inner_block else also_known)}
                    self._refuse(where, no_such_key(str(where[-1]), known), key=True)
                else:
                    self._refuse(where, explain(details, model))
        return None

    def _refuse(self, path: Path, reason: str, *, key: bool = False) -> None:
        self.problems.append(self._say(path, reason, key=key))

    def _warn(self, path: Path, reason: str) -> None:
        self.warnings.append(self._say(path, reason, key=True))

    def _say(self, path: Path, reason: str, *, key: bool) -> _Said:
        subject = path_text(path) or "the policy set"
        end = "" if reason.endswith("?") else "."
        place = self.document.at((*self.base, *path), key=key)
        return _Said(place, f"{subject} {reason}{end}")


def _strings(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Every string in a block, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _strings(inner, (*path, i))
