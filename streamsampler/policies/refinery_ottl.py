"""One condition of a Refinery rule as an OTTL condition.

Refinery's events are flat: a span's attributes, its resource's, and a few fields made from the span
itself, which have OTTL paths of their own. Of several fields, the first that a span has counts.

Source: Refinery, sample/rules.go; husky, the fields of a span.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streamsampler.policies.refinery_values import (
    UnmappedError,
    as_bool,
    equal_forms,
    literal,
    pattern_of,
    quoted,
    typed,
    typed_list,
)
from streamsampler.policies.sentences import listed

ROOT_PREFIX: Final = "root."
COMPARISONS: Final = {"=": "==", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
TEXTUAL: Final = ("starts-with", "contains", "does-not-contain", "matches")
SPECIAL: Final = {
    "name": "name",
    "duration_ms": "(end_time_unix_nano - start_time_unix_nano)",
    "status_code": "status.code",
    "status_message": "status.message",
    "span.kind": "kind",
    "type": "kind",
    "trace.trace_id": "trace_id.string",
    "trace.span_id": "span_id.string",
    "library.name": "instrumentation_scope.name",
    "library.version": "instrumentation_scope.version",
}
"""Fields that are no attributes, and their OTTL paths."""

PARENT: Final = "trace.parent_id"
ERROR: Final = "error"
_MAYBE_EMPTY: Final = ("status_message", "library.name", "library.version")
_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
_NS_PER_MS: Final = 1_000_000
_LONGEST_NAME: Final = 60  # characters

Test = Callable[[str], str]
"""From an OTTL path to what is to hold of it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition, checked.

    Attributes:
        fields: Without the prefix for the root.
        root: Whether the fields are the root span's.
        operator: As Refinery has it.
        value: What is compared with.
        datatype: What both sides are made before; empty: nothing.
    """

    fields: tuple[str, ...]
    root: bool
    operator: str
    value: object
    datatype: str

    @property
    def name(self) -> str:
        """The condition in a few words."""
        prefix = ROOT_PREFIX if self.root else ""
        value = self.value if isinstance(self.value, str) else json.dumps(self.value)
        fields = "|".join(f"{prefix}{field}" for field in self.fields)
        shown_value = "" if self.value is None else value
        text = " ".join(f"{fields} {self.operator} {shown_value}".split())
        return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."


def to_ottl(condition: Condition) -> str:
    """Writes a condition in OTTL.

    Args:
        condition: Any but has-root-span.

    Returns:
        An OTTL condition of spans.

    Raises:
        UnmappedError: It has no counterpart.
    """
    if condition.operator == "exists":
        return " or ".join(_present(field) for field in condition.fields)
    if condition.operator == "not-exists":
        return " and ".join(_absent(field) for field in condition.fields)
    always = any(_always_there(field) for field in condition.fields)
    if condition.operator == "!=" and condition.datatype != "string" and not always:
        is_there = " or ".join(_present(field) for field in condition.fields)
        return f"({is_there}) and not ({_first_present(condition)})"
    if _negative(condition):
        return f"not ({_first_present(condition)})"
    return _first_present(condition)


def _negative(condition: Condition) -> bool:
    return condition.operator in ("!=", "does-not-contain", "not-in")


def _first_present(condition: Condition) -> str:
    """That the first of the fields that a span has passes the test, or the opposite's test."""
    ways = []
    for i, field in enumerate(condition.fields):
        missing = [_absent(earlier) for earlier in condition.fields[:i]]
        passes = _passes(condition, field)
        ways.append(" and ".join([*missing, f"({passes})"]) if missing else passes)
        if _always_there(field):
            break
    return " or ".join(ways) if len(ways) == 1 else " or ".join(f"({way})" for way in ways)


def _paths(field: str) -> tuple[str, ...]:
    if field in SPECIAL:
        return (SPECIAL[field],)
    return (f"attributes[{quoted(field)}]", f"resource.attributes[{quoted(field)}]")


def _always_there(field: str) -> bool:
    return field in SPECIAL and field not in _MAYBE_EMPTY


def _present(field: str) -> str:
    if field == PARENT:
        return "not IsRootSpan()"
    if field in SPECIAL:
        return f'{SPECIAL[field]} != ""' if field in _MAYBE_EMPTY else "true"
    there = " or ".join(f"{path} != nil" for path in _paths(field))
    return f"status.code == STATUS_CODE_ERROR or {there}" if field == ERROR else there


def _absent(field: str) -> str:
    if field == PARENT:
        return "IsRootSpan()"
    if field in SPECIAL:
        return f'{SPECIAL[field]} == ""' if field in _MAYBE_EMPTY else "false"
    missing = " and ".join(f"{path} == nil" for path in _paths(field))
    return f"status.code != STATUS_CODE_ERROR and {missing}" if field == ERROR else missing


def _passes(condition: Condition, field: str) -> str:
    """The test of a field; of a negative operator, what it denies."""
    if field == PARENT:
        raise UnmappedError(f"compares {PARENT}; whether it exists is all that can be asked")
    operator = "=" if condition.operator == "!=" else condition.operator
    tests = _tests(condition, operator)
    if field in ("span.kind", "type"):
        tests = _kind_tests(condition, operator)
    elif field == "duration_ms":
        tests = _duration_tests(condition, operator)
    found = [test(path) for path in _paths(field) for test in tests]
    if field == ERROR:
        found = [*_status_says(condition, operator), *found]
    return " or ".join(found)


def _tests(condition: Condition, operator: str) -> list[Test]:
    if operator in TEXTUAL:
        pattern = quoted(pattern_of(condition.operator, condition.value))
        return [lambda path: f"IsMatch({path}, {pattern})"]
    if operator in ("in", "not-in"):
        values = typed_list(condition.value, condition.datatype)
        as_texts = condition.datatype in ("", "string")
        forms = [form for value in values for form in equal_forms(value, as_texts=as_texts)]
        return [_compare("==", form) for form in dict.fromkeys(forms)]
    value = typed(condition.value, condition.datatype)
    if operator == "=":
        forms = equal_forms(value, as_texts=condition.datatype == "string")
        return [_compare("==", form) for form in forms]
    if isinstance(value, bool):
        raise UnmappedError(f"compares a boolean by {operator}", "Operator")
    return [_compare(COMPARISONS[operator], literal(value))]


def _compare(operator: str, value: str) -> Test:
    return lambda path: f"{path} {operator} {value}"


def _kind_tests(condition: Condition, operator: str) -> list[Test]:
    values = (
        typed_list(condition.value, condition.datatype)
        if operator in ("in", "not-in")
        else [condition.value]
    )
    unknown = [value for value in values if value not in _KINDS]
    if operator not in ("=", "in", "not-in") or unknown:
        raise UnmappedError(f"asks for a kind of span in another way than {listed(_KINDS)}")
    return [_compare("==", f"SPAN_KIND_{str(value).upper()}") for value in values]


def _duration_tests(condition: Condition, operator: str) -> list[Test]:
    value = condition.value
    if condition.datatype in ("int", "float"):
        value = typed(condition.value, condition.datatype)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if operator not in COMPARISONS or not number:
        raise UnmappedError("asks of duration_ms what is no comparison with a number")
    assert isinstance(value, int | float)
    nanoseconds = round(value * _NS_PER_MS)
    return [_compare(COMPARISONS[operator], str(nanoseconds))]


def _status_says(condition: Condition, operator: str) -> list[str]:
    """The field `error` is made true of a span whose status is an error."""
    value = condition.value
    as_text = operator == "=" and condition.datatype in ("", "bool", "string")
    if not as_text or (condition.datatype == "" and not isinstance(value, bool)):
        raise UnmappedError("asks of error what is neither that it exists nor whether it is true")
    return ["status.code == STATUS_CODE_ERROR"] if as_bool(value) else []
