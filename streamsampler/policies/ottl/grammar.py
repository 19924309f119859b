"""OTTL's grammar: text to a tree of what was written, before anything is known of its meaning.

One rule stands for values and conditions alike, as a bracket may begin either and LALR looks one
token ahead; `checking` tells them apart. Reading takes no recursion, and brackets are counted
first, so no text makes the tree deeper than Python walks with ease.

Source: OpenTelemetry Collector, pkg/ottl, LANGUAGE.md and its lexer's rules.
"""

import re
from functools import lru_cache
from typing import Final, TypeAlias, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from streamsampler.policies.ottl.errors import ConditionError
from streamsampler.policies.sentences import shorten

LONGEST: Final = 10_000
"""Characters of a condition."""

DEEPEST: Final = 16
"""Brackets within brackets."""

MOST_PIECES: Final = 2_000
"""Words, strings and signs of a condition; the parser reads so many within 100 ms."""

_PIECE: Final = re.compile(r'"(?:\\.|[^\\"])*"?|\w+|\S', re.DOTALL)

Written: TypeAlias = Tree[Token] | Token
"""A piece of a condition as it was written: a rule of the grammar with its parts, or a token."""

_GRAMMAR: Final = r"""
?start: either
?either: both | both (_OR both)+ -> any_of
?both: negated | negated (_AND negated)+ -> all_of
?negated: compared | _NOT compared -> negation
?compared: sum | sum COMPARISON sum -> comparison
?sum: product | product (SIGN product)+ -> arithmetic
?product: signed | signed (MULTIPLICATION signed)+ -> arithmetic
?signed: atom | SIGN atom -> sign
?atom: "(" either ")" -> bracket
    | FLOAT -> double
    | INT -> int
    | STRING -> string
    | BYTES -> bytes
    | (TRUE | FALSE) -> bool
    | NIL -> nil
    | NAME -> enum
    | path
    | call
    | list
path: field ("." field)*
field: LOWER index*
call: (NAME | LOWER) "(" (either ("," either)*)? ")" index*
list: "[" (either ("," either)*)? "]"
index: "[" (STRING | INT) "]"

_OR: "or"
_AND: "and"
_NOT: "not"
TRUE: "true"
FALSE: "false"
NIL: "nil"
COMPARISON: "==" | "!=" | ">=" | "<=" | ">" | "<"
SIGN: "+" | "-"
MULTIPLICATION: "*" | "/"
BYTES.3: /0x[0-9a-fA-F]+/
FLOAT.2: /[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?/
INT.1: /[0-9]+/
STRING: /"([^"\\]|\\.)*"/s
NAME: /[A-Z][A-Za-z0-9_]*/
LOWER: /[a-z][A-Za-z0-9_]*/
WHITESPACE: /[ \t\r\n\f]+/
%ignore WHITESPACE
"""


def read(text: str) -> Written:
    """Read a condition.

    Args:
        text: The condition.

    Returns:
        What was written.

    Raises:
        ConditionError: It is no sentence of the grammar, too long, or nested too deep.
    """
    if len(text) > LONGEST:
        sentence = f"the condition has {len(text)} characters; {LONGEST} are the most"
        raise ConditionError(LONGEST + 1, sentence)
    _check_size(text)
    try:
        written: Written = _parser().parse(text)
    except UnexpectedCharacters as error:
        at = cast("int", error.pos_in_stream)  # lark's types know only that it begins as None
        raise ConditionError(at + 1, _bad_character(text[at:])) from None
    except UnexpectedToken as error:
        raise _unexpected(text, error.token) from None
    return written


def column_of(written: Written) -> int:
    """Where a piece begins.

    Args:
        written: Any piece; every rule has a token.

    Returns:
        Characters from 1.
    """
    at: int | None = written.start_pos if isinstance(written, Token) else written.meta.start_pos
    assert at is not None
    return at + 1


_ENDS: Final = "the condition ends here and is not complete"


def _check_size(text: str) -> None:
    """Refuse what would take the parser long, or make its tree deep."""
    depth = 0
    for count, piece in enumerate(_PIECE.finditer(text)):
        if count == MOST_PIECES:
            sentence = f"the condition has more than {MOST_PIECES} words and signs; split it"
            raise ConditionError(piece.start() + 1, sentence)
        if piece[0] in "([":
            depth += 1
            if depth > DEEPEST:
                sentence = f"more than {DEEPEST} brackets are open here; leave some out"
                raise ConditionError(piece.start() + 1, sentence)
        elif piece[0] in ")]":
            depth -= 1


def _bad_character(rest: str) -> str:
    if rest[0] == '"':
        return "this string has no end; close it with a double quote"
    if rest[0] in "'`":
        return "strings stand in double quotes"
    if rest[0] == "=":
        return "= assigns; write == to compare"
    if rest[0] == "{":
        return "maps are not supported here"
    if rest.startswith(("&&", "||", "!")):
        return "write and, or, not"
    return f"{rest[0]!r} means nothing here"


def _unexpected(text: str, token: Token) -> ConditionError:
    if token.type == "$END":
        return ConditionError(len(text) + 1, _ENDS)
    column = (token.start_pos or 0) + 1
    if token.lower() in {"and", "or", "not"} and not token.islower():
        return ConditionError(column, f"{token} is written in lower case: {token.lower()}")
    return ConditionError(column, f"{shorten(token)} does not fit here")


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="basic", propagate_positions=True)
