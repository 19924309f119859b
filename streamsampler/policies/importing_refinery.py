"""Refinery's rules as a policy set.

Refinery takes the first rule that matches, and its rate alone counts; a trace that no rule matches
is kept. Here a trace is kept when any policy samples it, a `drop` comes before all others, and
one number of each trace is held against every percentage. So what follows a rule needs to know of
it in two cases only: a later rule that keeps more than the rule did asks that the rule did not
match, and a drop asks that of all rules before it. With that the outcome is Refinery's.

Source: Refinery, rules.yaml version 2; sample/rules.go.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamsampler.policies.document import Document, Path
from streamsampler.policies.errors import PolicyError
from streamsampler.policies.importing import Imported, Remarks, named_apart, policy
from streamsampler.policies.refinery_conditions import Mapped, map_condition
from streamsampler.policies.sentences import did_you_mean, listed, shown

DEFAULT_TARGET: Final = "__default__"
VERSION: Final = 2
_ALL: Final = 100.0  # percent
_PERCENTAGE: Final = {  # of samplers with a rate: its key, and what holds without it
    "DeterministicSampler": ("SampleRate", 1),
    "DynamicSampler": ("SampleRate", 1),
    "EMADynamicSampler": ("GoalSampleRate", 10),
}
_THROUGHPUT: Final = (
    "EMAThroughputSampler",
    "WindowedThroughputSampler",
    "TotalThroughputSampler",
)
_GOAL: Final = "GoalThroughputPerSec"
_DEFAULT_GOAL: Final = 100
_RULES: Final = "RulesBasedSampler"
_SAMPLERS: Final = (*_PERCENTAGE, *_THROUGHPUT, _RULES)
_WITHOUT: Final = {
    "FieldList": "one rate holds for all traces here, where Refinery has one for each key",
    "MaxKeys": "there are no keys here",
    "UseTraceLength": "there are no keys here",
    "ClearFrequency": "the rate is not learned here",
    "AdjustmentInterval": "the rate is not learned here",
    "Weight": "the rate is not learned here",
    "AgeOutValue": "the rate is not learned here",
    "BurstMultiple": "the rate is not learned here",
    "BurstDetectionDelay": "the rate is not learned here",
    "UpdateFrequency": "the limit is a token bucket here",
    "LookbackFrequency": "the limit is a token bucket here",
    "InitialSampleRate": "the limit is a token bucket here, which needs no rate to begin with",
}


@dataclass(frozen=True, slots=True)
class _Share:
    """How much of what matches is kept.

    Attributes:
        percentage: The chance of a trace, 0 to 100.
        spans_per_second: A limit on top; None: none.
    """

    percentage: float = _ALL
    spans_per_second: int | None = None

    @property
    def at_least(self) -> float:
        """What is kept for certain of what a later rule could ask for."""
        return self.percentage if self.spans_per_second is None else 0.0


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule that can be said here.

    Attributes:
        name: Its name.
        tests: Policies all of which must be true of a trace; none: any trace.
        share: What it keeps; None: it drops.
    """

    name: str
    tests: tuple[dict[str, object], ...]
    share: _Share | None


def import_refinery(document: Document, target: str | None = None) -> Imported:
    """Writes Refinery's rules as a policy set.

    Args:
        document: rules.yaml, read.
        target: The environment or dataset whose sampler is wanted; None: the default.

    Returns:
        The set, and what is to be said of it.

    Raises:
        PolicyError: The document is no rules file of this version, or has no such target.
    """
    samplers = _samplers(document)
    name = DEFAULT_TARGET if target is None else target
    if name not in samplers:
        refusal = f"there is no sampler for {shown(name)}"
        mend = did_you_mean(name, samplers) or f"there are {listed(sorted(samplers))}"
        place = document.cite(document.at(("Samplers",), key=True))
        raise PolicyError([f"{place}: {refusal}; {mend}"])
    remarks = Remarks(document)
    assert isinstance(document.value, dict)
    remarks.unread((), document.value, ("RulesVersion", "Samplers"))
    for other in samplers:
        if other != name:
            remarks.lost(
                ("Samplers", other),
                "is of another environment and was left out; import it by --environment",
            )
    rules = list(_Reading(remarks).sampler(samplers[name], ("Samplers", name)))
    policies = named_apart(_ordered(rules))
    imported: dict[str, object] = {"sample_on_first_match": True, "policies": policies}
    return Imported(imported, remarks.ordered())


def _samplers(document: Document) -> Mapping[str, object]:
    value = document.value
    version = value.get("RulesVersion") if isinstance(value, dict) else None
    if not isinstance(value, dict) or version != VERSION:
        place = document.cite(document.at(("RulesVersion",)))
        problem = f"RulesVersion is {shown(version)}: expected {VERSION}, as Refinery 2 and later"
        raise PolicyError([f"{place}: {problem} have it; convert the file with Refinery's tool."])
    samplers = value.get("Samplers")
    if not isinstance(samplers, dict) or not samplers:
        place = document.cite(document.at(("Samplers",), key=True))
        raise PolicyError([f"{place}: Samplers is {shown(samplers)}: expected a mapping."])
    return samplers


@dataclass(slots=True)
class _Reading:
    """One pass over a sampler.

    Attributes:
        remarks: Takes what is to be said.
        noted: What was said once and need not be said again.
    """

    remarks: Remarks
    noted: set[str] = field(default_factory=set)

    def sampler(self, choice: object, path: Path) -> Iterator[_Rule]:
        """The rules of a sampler; one without rules is a single rule for all traces."""
        found = self._chosen(choice, path, _SAMPLERS)
        if found is None:
            return
        kind, settings = found
        path = (*path, kind)
        if kind == _RULES:
            yield from self._rules(settings, path)
        else:
            share = self._share(kind, settings, path)
            if share is not None:
                yield _Rule(kind, (), share)

    def _chosen(
        self, choice: object, path: Path, kinds: Sequence[str]
    ) -> tuple[str, Mapping[str, object]] | None:
        """The one sampler in a choice, and its settings."""
        given = choice if isinstance(choice, dict) else {}
        self.remarks.unread(path, given, kinds)
        named = [kind for kind in kinds if kind in given]
        if not named:
            self.remarks.lost(path, f"has no sampler; expected one of {listed(kinds)}")
            return None
        for other in named[1:]:
            self.remarks.lost((*path, other), f"is not read, as {named[0]} comes before it")
        settings = given[named[0]]
        return named[0], settings if isinstance(settings, dict) else {}

    def _share(self, kind: str, settings: Mapping[str, object], path: Path) -> _Share | None:
        """What a sampler keeps; None where its rate cannot be read, which was said."""
        key, default = _PERCENTAGE.get(kind, (_GOAL, _DEFAULT_GOAL))
        self.remarks.unread(path, settings, (key, "UseClusterSize", *_WITHOUT))
        for option, reason in _WITHOUT.items():
            if option in settings:
                self.remarks.lost((*path, option), f"was left out: {reason}")
        number = settings.get(key, default)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            self.remarks.lost((*path, key), f"is {shown(number)}: expected a whole number above 0")
            return None
        if key == _GOAL:
            if not settings.get("UseClusterSize"):
                self._once(
                    (*path, key),
                    "is the goal of each instance of Refinery; spans_per_second is the whole "
                    "group's",
                )
            return _Share(spans_per_second=number)
        return self._one_in(number, (*path, key))

    def _one_in(self, number: int, path: Path) -> _Share:
        if number > 1:
            self._once(
                path,
                "is a share of what arrives in Refinery; mode equalizing counts in what a head "
                "sampler left out before, mode proportional does not",
            )
        return _Share(_ALL / number)

    def _once(self, path: Path, reason: str) -> None:
        if reason not in self.noted:
            self.noted.add(reason)
            self.remarks.note(path, reason)

    def _rules(self, settings: Mapping[str, object], path: Path) -> Iterator[_Rule]:
        self.remarks.unread(path, settings, ("Rules", "CheckNestedFields"))
        if settings.get("CheckNestedFields"):
            nested = (*path, "CheckNestedFields")
            self.remarks.lost(nested, "was left out: fields within JSON texts are not looked into")
        rules = settings.get("Rules")
        ended: str | None = None
        for i, value in enumerate(rules if isinstance(rules, list) else ()):
            where: Path = (*path, "Rules", i)
            if ended is not None:
                self.remarks.note(where, f"is never reached, as {shown(ended)} matches all")
                continue
            rule = self._rule(value if isinstance(value, dict) else {}, where, i)
            if rule is not None:
                yield rule
                ended = None if rule.tests else rule.name
        if ended is None:
            yield _Rule("no rule matched", (), _Share())

    def _rule(self, value: Mapping[str, object], path: Path, index: int) -> _Rule | None:
        known = ("Name", "SampleRate", "Drop", "Scope", "Conditions", "Sampler")
        self.remarks.unread(path, value, known)
        name = str(value.get("Name") or f"rule {index + 1}")
        scope = value.get("Scope") or "trace"
        if scope not in ("trace", "span"):
            self.remarks.lost((*path, "Scope"), f"is {shown(scope)}: expected trace or span")
            self._left_out(name, path)
            return None
        given = value.get("Conditions")
        mapped = [
            map_condition(each, (*path, "Conditions", i), self.remarks)
            for i, each in enumerate(given if isinstance(given, list) else ())
            if isinstance(each, dict)
        ]
        tests = [each for each in mapped if each is not None]
        if len(tests) < len(given if isinstance(given, list) else ()):
            self._left_out(name, path)
            return None
        if scope == "span" and any(each.never for each in tests):
            self.remarks.note(path, "never matches in Refinery, as has-root-span is of no span")
            return None
        share = self._rule_share(value, path)
        if share is None and not self._drops(value, path):
            self._left_out(name, path)
            return None
        return _Rule(name, _tests(tests, one_span=scope == "span"), share)

    def _left_out(self, name: str, path: Path) -> None:
        self.remarks.lost(
            path, f"({shown(name)}) was left out, so its traces go on to the rules below it"
        )

    def _rule_share(self, value: Mapping[str, object], path: Path) -> _Share | None:
        """What a rule keeps; None where it drops, or where that cannot be read."""
        if value.get("Sampler") is not None:
            where = (*path, "Sampler")
            found = self._chosen(value["Sampler"], where, (*_PERCENTAGE, *_THROUGHPUT))
            return None if found is None else self._share(*found, (*where, found[0]))
        rate = value.get("SampleRate", 0)
        if value.get("Drop") is True or not isinstance(rate, int) or rate < 1:
            return None
        return self._one_in(rate, (*path, "SampleRate"))

    def _drops(self, value: Mapping[str, object], path: Path) -> bool:
        """Whether a rule that keeps no share drops what it matches."""
        if value.get("Sampler") is not None:
            return False
        if value.get("Drop") is not True:
            self.remarks.note(path, "has no Sampler, no Drop and no SampleRate, and so drops all")
        return True


def _tests(mapped: Sequence[Mapped], *, one_span: bool) -> tuple[dict[str, object], ...]:
    """The policies of a rule's conditions; those for one span together in one policy."""
    together = [each.policy for each in mapped if each.of_spans and not each.root]
    if not one_span or len(together) < 2:
        return tuple(named_apart(each.policy for each in mapped))
    alone = [each.policy for each in mapped if not (each.of_spans and not each.root)]
    parts = named_apart(_without_scope(each) for each in together)
    same = policy("one span", "and", {"scope": "same_span", "and_sub_policy": parts})
    return tuple(named_apart([*alone, same])) if alone else (same,)


def _without_scope(written: dict[str, object]) -> dict[str, object]:
    kind = str(written["type"])
    settings = written[kind]
    assert isinstance(settings, dict)
    own = {key: value for key, value in settings.items() if key != "scope"}
    return {**written, kind: own}


def _ordered(rules: Sequence[_Rule]) -> Iterator[dict[str, object]]:
    """The policies of rules of which the first that matches counts."""
    for i, rule in enumerate(rules):
        before = [each for each in rules[:i] if each.share is not None]
        if rule.share is None:
            yield _joined(rule.name, "drop", [*rule.tests, *map(_not, before)])
            continue
        stricter = [
            each
            for each in before
            if each.share is not None and each.share.at_least < rule.share.percentage
        ]
        parts = [*rule.tests, *map(_not, stricter), *_chances(rule.share)]
        yield _joined(rule.name, "and", parts)


def _chances(share: _Share) -> Iterator[dict[str, object]]:
    if share.percentage < _ALL:
        whole = share.percentage.is_integer()
        settings: dict[str, object] = {
            "sampling_percentage": int(share.percentage) if whole else share.percentage,
            "mode": "equalizing",
        }
        yield policy("rate", "probabilistic", settings)
    if share.spans_per_second is not None:
        limit: dict[str, object] = {"spans_per_second": share.spans_per_second}
        yield policy("throughput", "rate_limiting", limit)


def _not(rule: _Rule) -> dict[str, object]:
    matches = _joined(rule.name, "and", rule.tests)
    return policy(f"not {rule.name}", "not", {"not_sub_policy": matches})


def _joined(name: str, kind: str, parts: Sequence[dict[str, object]]) -> dict[str, object]:
    """One policy of a kind with parts; what it is itself where that says the same."""
    if kind == "and" and not parts:
        return policy(name, "always_sample")
    if kind == "and" and len(parts) == 1:
        return {**parts[0], "name": name}
    own = named_apart(parts) or [policy("every trace", "always_sample")]
    return policy(name, kind, {f"{kind}_sub_policy": own})
