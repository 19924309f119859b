"""The policies of a set, and the parts of policies, from plain data to settings models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streamsampler.policies.document import Path, strings_within
from streamsampler.policies.findings import Findings
from streamsampler.policies.policy_type import PolicyType
from streamsampler.policies.schema import Policy, Settings
from streamsampler.policies.sentences import did_you_mean, listed, no_such_key, path_text, shown

MOST_POLICIES: Final = 500
"""Of one set, parts included."""
MOST_LEVELS: Final = 5
"""The policies of a set are the first, their parts the second."""

_AT_THE_TOP: Final = frozenset({"dry_run", "priority"})


@dataclass(slots=True)
class PolicyReader:
    """Reads policies and notes what is wrong with them.

    Attributes:
        types: The registry of types.
        findings: Added to.
        met: How many policies there have been so far.
        texts: How many characters of texts that take time to read, by type.
    """

    types: Mapping[str, PolicyType]
    findings: Findings
    met: int = 0
    texts: dict[str, int] = field(default_factory=dict)

    def policies(self, items: object) -> tuple[Policy, ...]:
        """Read the policies of a set.

        Args:
            items: What stands under `policies`.

        Returns:
            Those that are sound.
        """
        if not isinstance(items, list):
            return ()
        if len(items) > MOST_POLICIES:
            problem = f"has {len(items)} policies; {MOST_POLICIES} is the most, with parts"
            self.findings.refuse(("policies",), problem)
            return ()
        return self._siblings({("policies", i): item for i, item in enumerate(items)}, 1)

    def _siblings(self, items: Mapping[Path, object], level: int) -> tuple[Policy, ...]:
        """Policies that stand side by side, by their paths."""
        names: dict[str, str] = {}
        read = [self._policy(item, path, names, level) for path, item in items.items()]
        return tuple(policy for policy in read if policy)

    def _policy(self, item: object, path: Path, names: dict[str, str], level: int) -> Policy | None:
        self.met += 1
        if self.met > MOST_POLICIES:
            if self.met == MOST_POLICIES + 1:
                problem = f"is one too many; a set has at most {MOST_POLICIES} policies, with parts"
                self.findings.refuse(path, problem)
            return None
        if not isinstance(item, dict):
            problem = f"is {shown(item)}: expected a mapping with name and type"
            self.findings.refuse(path, problem)
            return None
        name = self._name(item.get("name"), path, names)
        policy_type = self._type(item.get("type"), path, level)
        self._check_keys(item, path, policy_type, level)
        settings = policy_type and self._settings(item, path, policy_type, level)
        dry_run = level == 1 and self._dry_run(item.get("dry_run"), path)
        priority = self._priority(item.get("priority"), path) if level == 1 else None
        if name and policy_type and settings:
            return Policy(name, policy_type.name, settings, dry_run, priority)
        return None

    def _name(self, name: object, policy: Path, names: dict[str, str]) -> str | None:
        path, refuse = (*policy, "name"), self.findings.refuse
        if name is None or name == "":
            problem = "is missing" if name is None else "is empty"
            refuse(path, f"{problem}; every policy needs a name")
        elif not isinstance(name, str):
            refuse(path, f"is {shown(name)}: expected a string; write it in quotes")
        elif name in names:
            refuse(path, f"is {shown(name)}, which {names[name]} has; give it another name")
        else:
            names[name] = path_text(policy)
            return name
        return None

    def _type(self, name: object, policy: Path, level: int) -> PolicyType | None:
        path, refuse = (*policy, "type"), self.findings.refuse
        known = sorted(name for name in self.types if level == 1 or not self.types[name].drops)
        if not isinstance(name, str):
            problem = "is missing" if name is None else f"is {shown(name)}"
            refuse(path, f"{problem}; expected one of {listed(known)}")
        elif name in known:
            return self.types[name]
        elif name in self.types:
            refuse(path, f"is {shown(name)}, which stands at the top of a set only; use and")
        else:
            mend = did_you_mean(name, known) or f"expected one of {listed(known)}"
            refuse(path, f"is {shown(name)}, which is unknown; {mend}")
        return None

    def _check_keys(
        self,
        policy: Mapping[str, object],
        path: Path,
        policy_type: PolicyType | None,
        level: int,
    ) -> None:
        head = {"name", "type", *(_AT_THE_TOP if level == 1 else ())}
        for key in policy:
            where = (*path, key)
            if key in head or key == policy.get("type"):
                continue
            if key in _AT_THE_TOP:
                problem = "is for policies at the top of a set; a part decides nothing by itself"
                self.findings.refuse(where, problem, key=True)
            elif key not in self.types:
                problem = no_such_key(key, {*head, *self.types})
                self.findings.refuse(where, problem, key=True)
            elif policy_type is not None:
                problem = f"is not read, as the policy's type is {policy_type.name}"
                self.findings.warn(where, problem)

    def _dry_run(self, value: object, policy: Path) -> bool:
        if value is not None and not isinstance(value, bool):
            problem = f"is {shown(value)}: expected true or false"
            self.findings.refuse((*policy, "dry_run"), problem)
        return value is True

    def _priority(self, value: object, policy: Path) -> str | None:
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            problem = f"is {shown(value)}: expected a string or a number"
            self.findings.refuse((*policy, "priority"), problem)
        return str(value)

    def _settings(
        self, policy: Mapping[str, object], path: Path, policy_type: PolicyType, level: int
    ) -> Settings | None:
        value = policy.get(policy_type.name)
        path = (*path, policy_type.name)
        if value is None and policy_type.needs_settings:
            problem = "is missing; a policy of this type needs its settings"
            self.findings.refuse(path, problem)
            return None
        block: object = {} if value is None else value
        if policy_type.most_text and not self._has_room(block, path, policy_type):
            return None
        told = frozenset[str]()
        if policy_type.parts and isinstance(block, dict):
            block, told = self._with_parts(block, path, policy_type, level)
        settings = self.findings.check(policy_type.settings, block, path, told=told)
        for remark in settings.remarks() if settings else ():
            self.findings.warn(path, remark)
        return settings

    def _has_room(self, block: object, path: Path, policy_type: PolicyType) -> bool:
        """Whether a set's texts of one type are short enough to be read at once."""
        name, most = policy_type.name, policy_type.most_text
        before = self.texts.get(name, 0)
        self.texts[name] = before + sum(len(text) for _, text in strings_within(block))
        if self.texts[name] <= most:
            return True
        if before <= most:
            problem = f"is too much; a set has at most {most} characters of {name} in all"
            self.findings.refuse(path, problem)
        return False

    def _with_parts(
        self, block: Mapping[str, object], path: Path, policy_type: PolicyType, level: int
    ) -> tuple[dict[str, object], frozenset[str]]:
        """A block with its parts read, and their key where something was wrong with them."""
        key = policy_type.parts
        where, written = (*path, key), block.get(key)
        others = {name: value for name, value in block.items() if name != key}
        if written is None:
            return others, frozenset()
        problem, items = "", dict[Path, object]()
        if level == MOST_LEVELS:
            problem = f"is too deep; policies have parts down to {MOST_LEVELS} levels"
        elif policy_type.one_part and isinstance(written, dict):
            items = {where: written}
        elif not policy_type.one_part and isinstance(written, list):
            items = {(*where, i): item for i, item in enumerate(written)}
        else:
            wanted = "a mapping, one policy" if policy_type.one_part else "a list of policies"
            problem = f"is {shown(written)}: expected {wanted}"
        if problem:
            self.findings.refuse(where, problem)
            return others, frozenset({key})
        read = self._siblings(items, level + 1)
        if len(read) < len(items):
            return others, frozenset({key})
        return {**others, key: read}, frozenset()
