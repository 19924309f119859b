"""What was written, judged: names, types, and what has no meaning or is not supported here.

A condition that passes can be evaluated; what is refused is refused with its place.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from lark import Token, Tree

from streamsampler.policies.ottl.call_checks import Argument, check_call
from streamsampler.policies.ottl.errors import ConditionError
from streamsampler.policies.ottl.go_values import unquote
from streamsampler.policies.ottl.grammar import Written, column_of
from streamsampler.policies.ottl.path_checks import Field, Key, Path, check_path
from streamsampler.policies.ottl.paths import ENUMS
from streamsampler.policies.ottl.tree import (
    All,
    Any,
    Arithmetic,
    Comparison,
    Literal,
    Minus,
    Not,
    Test,
    Truth,
    Type,
    Value,
)
from streamsampler.policies.sentences import did_you_mean, shorten

_NUMERIC: Final = frozenset({Type.INT, Type.DOUBLE, Type.NUMBER, Type.ANY})
_TEMPORAL: Final[Mapping[tuple[Type, str, Type], Type]] = {
    (Type.TIME, "-", Type.TIME): Type.DURATION,
    (Type.TIME, "+", Type.DURATION): Type.TIME,
    (Type.TIME, "-", Type.DURATION): Type.TIME,
    (Type.DURATION, "+", Type.TIME): Type.TIME,
    (Type.DURATION, "+", Type.DURATION): Type.DURATION,
    (Type.DURATION, "-", Type.DURATION): Type.DURATION,
}
_CONDITIONS: Final = frozenset({"any_of", "all_of", "negation", "comparison"})
_LARGEST_INT: Final = (1 << 63) - 1

Rule: TypeAlias = Tree[Token]


def check(written: Written, *, events: bool) -> Test:
    """Judge a condition.

    Args:
        written: What was written.
        events: Whether it is asked of events.

    Returns:
        The condition.

    Raises:
        ConditionError: It has no meaning, or one that is not supported here.
    """
    rule = _rule(written)
    match rule.data:
        case "any_of":
            return Any(tuple(check(part, events=events) for part in rule.children))
        case "all_of":
            return All(tuple(check(part, events=events) for part in rule.children))
        case "negation":
            return Not(check(rule.children[0], events=events))
        case "bracket":
            return check(rule.children[0], events=events)
        case "comparison":
            left, sign, right = rule.children
            operands = [_compared(side, events=events) for side in (left, right)]
            return Comparison(str(sign), *operands)
    value = _value(rule, events=events)
    if rule.data in {"bool", "call"} and value.type is Type.BOOL:
        return Truth(value)
    sentence = "this is a value and no condition; compare it with something, as in == true"
    raise ConditionError(column_of(rule), sentence)


def _compared(written: Written, *, events: bool) -> Value:
    value = _value(written, events=events)
    if value.type is Type.LIST:
        sentence = "a list is not compared; take a part of it, as in Split(...)[0]"
        raise ConditionError(column_of(written), sentence)
    return value


def _rule(written: Written) -> Rule:
    assert isinstance(written, Tree)
    return written


def _value(written: Written, *, events: bool) -> Value:
    rule = _rule(written)
    column = column_of(rule)
    first = rule.children[0] if rule.children else None
    match rule.data:
        case "bracket":
            assert first is not None
            return _value(first, events=events)
        case "arithmetic":
            return _arithmetic(rule, events=events)
        case "sign":
            return _signed(rule, events=events)
        case "path":
            return check_path(_path(rule), events=events)
        case "call":
            return _call(rule, events=events)
        case "list":
            raise ConditionError(column, "a list stands here only within Concat([...], ...)")
        case "bytes":
            sentence = "bytes stand here only within SpanID(...) and TraceID(...)"
            raise ConditionError(column, sentence)
    if rule.data in _CONDITIONS:
        raise ConditionError(column, "a condition is no value; and, or, not go around comparisons")
    assert isinstance(first, Token)
    return _literal(str(rule.data), str(first), column)


def _literal(rule: str, text: str, column: int) -> Literal:
    if rule == "string":
        return Literal(Type.STRING, _string(text, column))
    if rule == "nil":
        return Literal(Type.NIL, None)
    if rule == "bool":
        return Literal(Type.BOOL, int(text == "true"))
    if rule == "int":
        number = int(text[:20])
        if number > _LARGEST_INT:
            raise ConditionError(column, "a whole number has 63 bits; this one is larger")
        return Literal(Type.INT, number)
    if rule == "double":
        double = float(text)
        if double == float("inf"):
            raise ConditionError(column, "this number is too large")
        return Literal(Type.DOUBLE, double)
    if text not in ENUMS:
        question = did_you_mean(text, ENUMS) or "those of STATUS_CODE_ and SPAN_KIND_ are known"
        raise ConditionError(column, f"{shorten(text)} is unknown; {question}")
    return Literal(Type.INT, ENUMS[text])


def _string(quoted: str, column: int) -> bytes:
    found = unquote(quoted[1:-1])
    if isinstance(found, bytes):
        return found
    escape = quoted[found + 1 : found + 3]
    sentence = (
        f"{escape} is no escape; write \\{escape} for a backslash"
        if escape.startswith("\\")
        else "a string ends on its line; write \\n for a line break"
    )
    raise ConditionError(column + 1 + found, sentence)


def _arithmetic(rule: Rule, *, events: bool) -> Value:
    """Left to right, as all signs of a rule bind alike."""
    left = _value(rule.children[0], events=events)
    for sign, operand in zip(rule.children[1::2], rule.children[2::2], strict=True):
        right = _value(operand, events=events)
        computed = _type_of(left.type, str(sign), right.type)
        if computed is None:
            sentence = f"{_name(left.type)} {sign} {_name(right.type)} cannot be computed"
            raise ConditionError(column_of(sign), sentence)
        left = Arithmetic(computed, str(sign), left, right)
    return left


def _type_of(left: Type, sign: str, right: Type) -> Type | None:
    if left in _NUMERIC and right in _NUMERIC:
        if left is right is Type.INT:
            return Type.INT
        return Type.DOUBLE if {left, right} <= {Type.INT, Type.DOUBLE} else Type.NUMBER
    return _TEMPORAL.get((left, sign, right))


def _name(kind: Type) -> str:
    return "a value" if kind is Type.ANY else f"{kind.name.lower().replace('_', ' ')}"


def _signed(rule: Rule, *, events: bool) -> Value:
    sign, operand = rule.children
    value = _value(operand, events=events)
    if value.type not in _NUMERIC:
        raise ConditionError(column_of(rule), f"{_name(value.type)} has no sign")
    if sign == "+":
        return value
    if isinstance(value, Literal):
        assert isinstance(value.value, int | float)
        return Literal(value.type, -value.value)
    return Minus(Type.NUMBER if value.type is Type.ANY else value.type, value)


def _path(rule: Rule) -> Path:
    fields = []
    for child in rule.children:
        name, *indices = _rule(child).children
        fields.append(Field(str(name), column_of(name), _keys(indices)))
    return tuple(fields)


def _keys(indices: list[Written]) -> tuple[tuple[Key, int], ...]:
    keys: list[tuple[Key, int]] = []
    for index in indices:
        token = _rule(index).children[0]
        assert isinstance(token, Token)
        column = column_of(token)
        is_string = token.type == "STRING"
        keys.append((_string(token, column) if is_string else int(token[:20]), column))
    return tuple(keys)


def _call(rule: Rule, *, events: bool) -> Value:
    name, *rest = rule.children
    indices = [part for part in rest if _rule(part).data == "index"]
    written = rest[: len(rest) - len(indices)]
    arguments = [_argument(part, events=events) for part in written]
    return check_call(Field(str(name), column_of(name), _keys(indices)), arguments, events=events)


def _argument(written: Written, *, events: bool) -> Argument:
    """An argument as far as it is known before the function is.

    What is a list, bytes or a path to a whole map is no value elsewhere.
    """
    rule = _rule(written)
    column = column_of(rule)
    if rule.data == "list":
        parts = tuple(_value(part, events=events) for part in rule.children)
        return Argument(column, parts=parts)
    if rule.data == "bytes":
        return Argument(column, digits=str(rule.children[0])[2:])
    if rule.data == "path":
        return Argument(column, path=_path(rule))
    return Argument(column, value=_value(rule, events=events))
