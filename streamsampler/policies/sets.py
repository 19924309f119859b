"""The policy sets of the group: the default, and those of tenants who have their own."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from streamsampler.policies.durations import format_ms
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.schema import PolicySet

DEFAULT: Final = "default"
"""The name of the set that decides for everyone who has no set of their own."""

MOST_SETS: Final = 200
LONGEST_NAME: Final = 255  # characters

_UNSAID: Final = PolicySet(policies=())


@dataclass(frozen=True, slots=True)
class PolicySets:
    """All policy sets that are in force together.

    A trace is decided by its tenant's own set where there is one, else by the default. How long
    traces are waited for and remembered, and where the tenant is read from, is settled before a
    trace's tenant is known, so the default says it for all.

    Attributes:
        default: The set named `DEFAULT`.
        tenants: The tenants' own sets by tenant, in the order of the names.
        version: The default's where it is alone, else the first 12 hex digits of the SHA-256 of
            all names with their versions.

    Raises:
        PolicyError: There are too many sets, or a tenant has a name that cannot be one.
    """

    default: PolicySet
    tenants: Mapping[str, PolicySet] = field(default_factory=dict)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        problems = [problem for name in self.tenants if (problem := _problem_of(name))]
        if len(self.tenants) >= MOST_SETS:
            problems.append(
                f"there are {len(self.tenants) + 1} policy sets, and at most {MOST_SETS} may be in "
                "force together; delete some tenants' sets, or let tenants share the default."
            )
        if problems:
            raise PolicyError(problems)
        object.__setattr__(self, "tenants", dict(sorted(self.tenants.items())))
        object.__setattr__(self, "version", self._version())

    def _version(self) -> str:
        if not self.tenants:
            return self.default.version
        canonical = json.dumps(list(self.versions.items()), separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sets, the default's first."""
        return (DEFAULT, *self.tenants)

    @property
    def versions(self) -> dict[str, str]:
        """The version of each set by its name, the default's first."""
        own = {tenant: one.version for tenant, one in self.tenants.items()}
        return {DEFAULT: self.default.version, **own}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What tenants' sets say that only the default may, a sentence each.

        A tenant's value that is the one of a set that does not mention it counts as not said.
        """
        return tuple(
            warning
            for tenant, own in self.tenants.items()
            for warning in _without_effect(tenant, own, self.default)
        )

    def of(self, tenant: str) -> PolicySet:
        """Tell which set decides a tenant's traces.

        Args:
            tenant: Its name; empty for none.

        Returns:
            Its own, else the default.
        """
        return self.tenants.get(tenant, self.default)


def sets_of(policies: PolicySet | PolicySets) -> PolicySets:
    """Take one set for all, where one is given.

    Args:
        policies: One set, or several.

    Returns:
        The sets; one alone is the default.
    """
    return PolicySets(policies) if isinstance(policies, PolicySet) else policies


def _problem_of(name: str) -> str:
    """What is wrong with a tenant's name as the name of a set; empty where nothing is."""
    if not name:
        return f"a set has no name; it must be {DEFAULT}, or a tenant's name."
    if name == DEFAULT:
        return f"no tenant's own set can be named {DEFAULT}: that is the set of all others."
    if len(name) > LONGEST_NAME:
        return (
            f"the set name {name[:20]}… has {len(name):,} characters; at most {LONGEST_NAME} "
            "are allowed."
        )
    return ""


def _without_effect(tenant: str, own: PolicySet, default: PolicySet) -> Iterator[str]:
    for name in ("decision_wait", "completion_grace", "decision_ttl"):
        said, unsaid, rules = (
            getattr(one, f"{name}_ms") for one in (own, _UNSAID, default)
        )  # fmt: skip
        if said not in {unsaid, rules}:
            yield (
                f"{tenant}: {name} is {format_ms(said)} and has no effect in a tenant's own set: "
                f"the default's {format_ms(rules)} holds for all."
            )
    if own.tenant not in {_UNSAID.tenant, default.tenant}:
        yield (
            f"{tenant}: tenant reads {own.tenant.key} ({own.tenant.source}) and has no effect in "
            f"a tenant's own set: all are told by the default's {default.tenant.key} "
            f"({default.tenant.source})."
        )
