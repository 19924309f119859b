"""What the records of the policies topic leave in force; no Kafka in here.

A record's key is the name of a set: `default`, or a tenant whose own set it is. A record is checked
completely before it takes effect, alone and together with the sets of the other names. One that is
bad changes nothing: the last good set of its name stays, and the refusal is kept and told.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import structlog

from streamsampler.policies import (
    PolicyError,
    PolicySet,
    TenantNumbers,
    compile_policies,
    load_policy_set,
)
from streamsampler.policies.policy_type import MAX_PREDICATES
from streamsampler.policies.predicates import SpanPredicate
from streamsampler.policies.sets import DEFAULT, LONGEST_NAME, PolicySets

MOST_REFUSALS: Final = 20
_LONGEST_SENTENCE: Final = 500  # characters

_log = structlog.get_logger("streamsampler.policies")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that did not take effect.

    Attributes:
        key: The name of the set.
        offset: Of the record.
        sentence: What is wrong with it, with its place; the log has all of it.
    """

    key: str
    offset: int
    sentence: str

    @property
    def kind(self) -> Literal["default", "tenant"]:
        """Whose set it was: everyone's, or one tenant's."""
        return "default" if self.key == DEFAULT else "tenant"


def _ignore(_: Refusal) -> None:
    pass


class _Taken(NamedTuple):
    """A good set, and what it asks of each span."""

    policies: PolicySet
    asks: frozenset[SpanPredicate]


class PolicyInForce:
    """Takes record by record in, in the order of the offsets.

    Tenants' sets that come before the first default wait for it: without one, everything else
    would have to be kept or dropped.

    Args:
        source: What sentences call the topic.
        on_refusal: Told of each refusal, once.

    Attributes:
        policies: The sets in force; None while there is no default.
    """

    def __init__(self, source: str, on_refusal: Callable[[Refusal], None] = _ignore) -> None:
        self._source = source
        self._on_refusal = on_refusal
        self._taken: dict[str, _Taken] = {}
        self._refused: dict[str, Refusal] = {}
        self.policies: PolicySets | None = None

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """Of the names whose last record was refused, that refusal; the latest ones, latest last.

        At most `MOST_REFUSALS`.
        """
        return tuple(self._refused.values())

    def take(self, key: bytes | None, value: bytes | None, offset: int) -> bool:
        """Take a record of the topic in.

        Args:
            key: The name of a set, UTF-8.
            value: The set, YAML or JSON in UTF-8. None, a deletion, takes a tenant's set away,
                whose traces the default decides from then on; but it leaves the last default in
                force.
            offset: Of the record, for sentences.

        Returns:
            Whether other sets are in force now. A bad one is refused and said so.
        """
        place, name = f"{self._source} offset {offset}", (key or b"").decode(errors="replace")
        try:
            name = _name_of(key, place)
            taken = self._with(name, value, place)
            policies = _together(taken, name, place)
        except PolicyError as error:
            self._refuse(name, offset, error)
            return False
        self._refused.pop(name, None)
        self._taken = taken
        return self._put_in_force(policies)

    def _with(self, name: str, value: bytes | None, place: str) -> dict[str, _Taken]:
        """The good sets as the record would have them."""
        taken = dict(self._taken)
        if value is not None:
            taken[name] = _taken(value, place)
            for warning in taken[name].policies.warnings:
                _log.warning("policy_set_warning", set=name, warning=warning)
        elif name == DEFAULT:
            _log.warning("policy_set_deleted", place=place, in_force=self._version(name))
        elif taken.pop(name, None):
            _log.info("tenant_policy_set_deleted", set=name, place=place)
        return taken

    def _refuse(self, name: str, offset: int, error: PolicyError) -> None:
        name = name[:LONGEST_NAME]
        _log.error(
            "policy_set_refused",
            set=name,
            place=f"{self._source} offset {offset}",
            problem=str(error),
            in_force=self._version(name),
        )
        refusal = Refusal(name, offset, _in_short(error))
        self._refused.pop(name, None)
        self._refused[name] = refusal
        if len(self._refused) > MOST_REFUSALS:
            del self._refused[next(iter(self._refused))]
        self._on_refusal(refusal)

    def _put_in_force(self, policies: PolicySets | None) -> bool:
        before, self.policies = self.policies, policies
        if policies is None:
            return False
        for warning in policies.warnings:
            if before is None or warning not in before.warnings:
                _log.warning("policy_set_warning", warning=warning)
        return before is None or before.version != policies.version

    def _version(self, name: str) -> str | None:
        taken = self._taken.get(name)
        return taken.policies.version if taken else None


def _in_short(error: PolicyError) -> str:
    first, more = error.problems[0], len(error.problems) - 1
    sentence = first if len(first) <= _LONGEST_SENTENCE else f"{first[:_LONGEST_SENTENCE]}…"
    return f"{sentence} (and {more} more)" if more else sentence


def _name_of(key: bytes | None, place: str) -> str:
    if not key:
        raise PolicyError([f"{place}: no key; it must be {DEFAULT}, or a tenant's name."])
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise PolicyError([f"{place}: byte {error.start} of the key is not UTF-8."]) from error


def _together(taken: Mapping[str, _Taken], name: str, place: str) -> PolicySets | None:
    """Put the sets together, as one scan has to answer what all of them ask.

    Returns:
        They; None where there is no default.

    Raises:
        PolicyError: They cannot be in force together.
    """
    asks = {predicate for one in taken.values() for predicate in one.asks}
    if len(asks) > MAX_PREDICATES:
        problem = (
            f"with the set {name}, all sets together ask {len(asks)} different questions of each "
            f"span, and at most {MAX_PREDICATES} can be asked; merge policies that test the same "
            "key, or leave some out."
        )
        raise PolicyError([f"{place}: {problem}"])
    tenants = {other: one.policies for other, one in taken.items() if other != DEFAULT}
    default = taken.get(DEFAULT)
    try:
        sets = PolicySets(default.policies if default else PolicySet(policies=()), tenants)
    except PolicyError as error:
        raise PolicyError(f"{place}: {problem}" for problem in error.problems) from error
    return sets if default else None


def _taken(value: bytes, source: str) -> _Taken:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise PolicyError([f"{source}: byte {error.start} is not UTF-8."]) from error
    policies = load_policy_set(text, source)
    compiled = compile_policies(policies, TenantNumbers())
    return _Taken(policies, frozenset(compiled.predicates.values()))


def checked_policy_set(value: bytes, source: str) -> PolicySet:
    """Read a policy set and make sure that it can take effect.

    Args:
        value: YAML or JSON in UTF-8.
        source: What sentences call it.

    Returns:
        The set.

    Raises:
        PolicyError: It cannot be used; says all that is wrong.
    """
    return _taken(value, source).policies
