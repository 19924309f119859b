"""One condition of a Refinery rule as a policy of ours that asks the same of a span.

Plain tests of one attribute become attribute policies, which cost least; all else becomes one OTTL
condition.

Source: Refinery, config/sampler_config.go and sample/rules.go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streamsampler.policies.document import Path
from streamsampler.policies.importing import Remarks, policy
from streamsampler.policies.refinery_ottl import (
    COMPARISONS,
    ERROR,
    PARENT,
    ROOT_PREFIX,
    SPECIAL,
    TEXTUAL,
    Condition,
    to_ottl,
)
from streamsampler.policies.refinery_values import (
    DATATYPES,
    UnmappedError,
    as_bool,
    as_int,
    only_text,
    pattern_of,
    typed,
    typed_list,
)
from streamsampler.policies.sentences import did_you_mean, listed, shown

DESCENDANTS: Final = "?.NUM_DESCENDANTS"
_KNOWN: Final = ("Field", "Fields", "Operator", "Value", "Datatype")
_OPERATORS: Final = (
    *COMPARISONS,
    *TEXTUAL,
    "exists",
    "not-exists",
    "has-root-span",
    "in",
    "not-in",
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """A condition as a policy.

    Attributes:
        policy: Plain data.
        of_spans: Whether it asks something of a span; else it asks of the trace.
        root: Whether it asks the root span only.
        never: Whether Refinery never finds it true where one span must meet all conditions.
    """

    policy: dict[str, object]
    of_spans: bool = True
    root: bool = False
    never: bool = False


def map_condition(value: Mapping[str, object], path: Path, remarks: Remarks) -> Mapped | None:
    """Writes a condition as a policy.

    Args:
        value: The condition.
        path: To it.
        remarks: Takes what is to be said of it.

    Returns:
        The policy; None where it has no counterpart, which was said.
    """
    remarks.unread(path, value, _KNOWN)
    try:
        condition = _checked(value)
        mapped = _map(condition)
    except UnmappedError as error:
        where = (*path, error.key) if error.key and error.key in value else path
        remarks.lost(where, str(error))
        return None
    for note in _notes(condition):
        remarks.note(path, note)
    return mapped


def _checked(value: Mapping[str, object]) -> Condition:
    operator = str(value.get("Operator", "")).lower()
    if operator not in _OPERATORS:
        question = did_you_mean(operator, _OPERATORS)
        raise UnmappedError(
            f"is {shown(value.get('Operator'))}, which is no operator; "
            f"{question or 'expected one of ' + listed(_OPERATORS)}",
            "Operator",
        )
    datatype = str(value.get("Datatype") or "")
    if datatype and datatype not in DATATYPES:
        raise UnmappedError(
            f"is {shown(datatype)}: expected one of {listed(DATATYPES)}", "Datatype"
        )
    single, several = value.get("Field"), value.get("Fields")
    given = [single] if single else several
    if operator == "has-root-span":
        given = []
    elif not isinstance(given, list) or not given or (single and several):
        raise UnmappedError("has no Field, or both Field and Fields")
    fields = [str(each) for each in given or []]
    at_root = [each.startswith(ROOT_PREFIX) for each in fields]
    if len(set(at_root)) > 1:
        raise UnmappedError("mixes fields of the root with fields of any span", "Fields")
    plain = tuple(each.removeprefix(ROOT_PREFIX) for each in fields)
    return Condition(plain, any(at_root), operator, value.get("Value"), datatype)


def _map(condition: Condition) -> Mapped:
    if condition.operator == "has-root-span":
        return _has_root(condition)
    if DESCENDANTS in condition.fields:
        return _span_count(condition)
    for field in condition.fields:
        if field.startswith(("meta.", "?.")) or field in ("span.num_events", "span.num_links"):
            raise UnmappedError(f"asks for {field}, which Refinery makes itself")
    kind, settings = _attribute_policy(condition) or ("", {})
    if not kind:
        kind = "ottl_condition"
        settings = {"error_mode": "ignore", "span": [to_ottl(condition)]}
    if condition.root:
        settings["scope"] = "root"
    elif settings.get("invert_match"):
        settings["scope"] = "same_span"
    return Mapped(policy(condition.name, kind, settings), root=condition.root)


def _has_root(condition: Condition) -> Mapped:
    wanted = as_bool(condition.value)
    asks = policy(
        "has-root-span", "ottl_condition", {"error_mode": "ignore", "span": ["IsRootSpan()"]}
    )
    if not wanted:
        asks = policy("no root span", "not", {"not_sub_policy": asks})
    return Mapped(asks, of_spans=False, never=True)


def _span_count(condition: Condition) -> Mapped:
    if len(condition.fields) > 1 or condition.operator not in COMPARISONS:
        raise UnmappedError(f"asks for {DESCENDANTS} in a way that span_count cannot")
    least, most = _bounds(condition.operator, as_int(condition.value))
    if condition.operator == "!=" or (most is not None and most < 1):
        raise UnmappedError(f"asks for {DESCENDANTS} in a way that span_count cannot")
    settings: dict[str, object] = {"min_spans": max(1, least or 1)}
    if most is not None:
        settings["max_spans"] = most
    return Mapped(policy(condition.name, "span_count", settings), of_spans=False)


def _bounds(operator: str, number: int) -> tuple[int | None, int | None]:
    """The least and the most that pass; for != those that do not."""
    least = number + (operator == ">") if operator in (">", ">=", "=", "!=") else None
    most = number - (operator == "<") if operator in ("<", "<=", "=", "!=") else None
    return least, most


# Attribute policies: one attribute, a test that is false where it is missing.


def _attribute_policy(condition: Condition) -> tuple[str, dict[str, object]] | None:
    """The type and settings of a policy for one plain attribute; None where only OTTL can ask."""
    (key, *others), operator = condition.fields, condition.operator
    if others or key in SPECIAL or key in (PARENT, ERROR):
        return None
    if operator in ("starts-with", "contains", "matches"):
        pattern = pattern_of(operator, condition.value)
        settings = {"key": key, "values": [pattern], "enabled_regex_matching": True}
        return "string_attribute", settings
    if operator == "in":
        values = typed_list(condition.value, condition.datatype)
        if all(isinstance(each, str) and each and only_text(each) for each in values):
            return "string_attribute", {"key": key, "values": values}
    return _comparing_policy(condition, key) if operator in COMPARISONS else None


def _comparing_policy(condition: Condition, key: str) -> tuple[str, dict[str, object]] | None:
    value = typed(condition.value, condition.datatype)
    if isinstance(value, bool):
        return _boolean_policy(key, condition.operator, value=value)
    if isinstance(value, int):
        return _numeric_policy(key, condition.operator, value)
    return _text_policy(condition, key, value) if isinstance(value, str) else None


def _boolean_policy(key: str, operator: str, *, value: bool) -> tuple[str, dict[str, object]]:
    if operator not in ("=", "!="):
        raise UnmappedError(f"compares a boolean by {operator}", "Operator")
    return "boolean_attribute", {"key": key, "value": value == (operator == "=")}


def _numeric_policy(key: str, operator: str, value: int) -> tuple[str, dict[str, object]]:
    least, most = _bounds(operator, value)
    settings: dict[str, object] = {"key": key}
    if least is not None:
        settings["min_value"] = least
    if most is not None:
        settings["max_value"] = most
    if operator == "!=":
        settings["invert_match"] = True
    return "numeric_attribute", settings


def _text_policy(
    condition: Condition, key: str, value: str
) -> tuple[str, dict[str, object]] | None:
    plain = bool(value) and (not condition.datatype or only_text(value))
    if condition.operator == "=" and plain:
        return "string_attribute", {"key": key, "values": [value]}
    if condition.operator == "!=" and plain and not condition.datatype:
        return "string_attribute", {"key": key, "values": [value], "invert_match": True}
    return None


# What is nearly the same.


def _notes(condition: Condition) -> list[str]:
    notes = []
    if condition.operator in ("does-not-contain", "not-in") or (
        condition.operator == "!=" and condition.datatype == "string"
    ):
        notes.append(
            "is true, as in Refinery, as soon as one span lacks the field; a string_attribute "
            "with invert_match and a scope asks only spans that have it"
        )
    everywhere = any(field in SPECIAL or field == PARENT for field in condition.fields)
    if condition.operator == "not-exists" and not condition.root and not everywhere:
        notes.append("is true, as in Refinery, as soon as one span lacks the field")
    if DESCENDANTS in condition.fields:
        notes.append("counts events and links, too, in Refinery; span_count counts spans")
    return notes
