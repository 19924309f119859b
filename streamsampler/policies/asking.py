"""Predicates asked of all spans of a batch at once: one column of answers for each question.

A question that several predicates are put together from is asked once a batch.

Hot: a few NumPy passes over the spans for each question that is no string test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamsampler.policies.distinct import DistinctValues, Numbered
from streamsampler.policies.ottl import FAILED, TRUE, Pool, Program, SpanView, parse_condition
from streamsampler.policies.predicates import (
    AllOf,
    AnyOf,
    BoolTest,
    Condition,
    ConditionFails,
    FlagsTest,
    HasKey,
    IsRoot,
    Negated,
    NumberTest,
    SpanPredicate,
    StateTest,
    StatusIn,
    StringTest,
)
from streamsampler.spans.columns import ABSENT, BOOL, INT, Booleans, Bytes, Int64s, Rows
from streamsampler.spans.scan import Scan

STATUS_CODES = 3
"""OTLP names 0 to 2; any other number is in no policy."""


@dataclass(slots=True)
class Spans:
    """The n spans of a batch, as questions see them.

    Attributes:
        buffer: uint8, which the scan's positions speak of.
        scan: The batch's columns.
        view: The same as OTTL conditions see it.
        numbered: The values of string columns, by key; the tracestate's under None.
        answered: What OTTL conditions answered so far.
    """

    buffer: Bytes
    scan: Scan
    view: SpanView
    numbered: dict[bytes | None, Numbered] = field(default_factory=dict)
    answered: dict[Program, Bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, buffer: Bytes, scan: Scan, keys: tuple[bytes, ...]) -> "Spans":
        """Take a batch.

        Args:
            buffer: uint8, which the scan's positions speak of.
            scan: The batch's columns.
            keys: The wanted attributes that it has columns of.
        """
        view = SpanView(
            buffer, scan.spans, keys, scan.attributes, scan.resources, scan.scopes,
            scan.scope_attributes, scan.events, scan.event_attributes,
        )  # fmt: skip
        return cls(buffer, scan, view)

    def __len__(self) -> int:
        return len(self.scan.spans)

    def either(self, own: Booleans, shared: Booleans) -> Booleans:
        """Answers of the spans, or else of their resources.

        Args:
            own: bool[n]; changed.
            shared: bool[resources].

        Returns:
            bool[n].
        """
        if shared.any():
            own |= shared[self.scan.spans["resource"]]
        return own


Answers = list[Booleans]
Question = Callable[[Spans, Answers], Booleans]
"""Answers bool[n] for each span; the answers of the questions before it are at hand."""


class Questions:
    """What several predicates ask, in an order in which each finds the answers it needs."""

    def __init__(
        self, keys: Mapping[bytes, int], strings: Mapping[bytes | None, DistinctValues]
    ) -> None:
        """Begin without questions.

        Args:
            keys: The columns of the wanted attributes.
            strings: The distinct values of string columns, by key; the tracestate's under None.
        """
        self._keys = keys
        self._strings = strings
        self._pool = Pool()
        self._programs: dict[tuple[str, bool], Program] = {}
        self._places: dict[SpanPredicate, int] = {}
        self._questions: list[Question] = []

    def place(self, predicate: SpanPredicate) -> int:
        """Take a predicate in.

        Args:
            predicate: Any.

        Returns:
            Where its answers will be found.
        """
        if predicate not in self._places:
            question = self._question(predicate)  # takes in what it is put together from
            self._places[predicate] = len(self._questions)
            self._questions.append(question)
        return self._places[predicate]

    def ask(self, spans: Spans) -> Answers:
        """Ask everything of a batch.

        Args:
            spans: The batch.

        Returns:
            bool[n] for each place.
        """
        answers: Answers = []
        for question in self._questions:
            answers.append(question(spans, answers))
        return answers

    def _question(self, predicate: SpanPredicate) -> Question:  # noqa: C901, PLR0911 - one for each
        match predicate:
            case StatusIn(codes):
                return _status(codes)
            case StringTest() | StateTest():
                key = predicate.key if isinstance(predicate, StringTest) else None
                return _string(self._strings[key], predicate, key)
            case NumberTest(key, least, most):
                return _number(self._keys[key], least, most)
            case BoolTest(key, value):
                return _bool(self._keys[key], value=value)
            case HasKey(key):
                return _has(self._keys[key])
            case FlagsTest(mask):
                return lambda spans, _: (spans.scan.spans["flags"] & np.uint32(mask)) != 0
            case IsRoot():
                return lambda spans, _: spans.scan.spans["parent_id"] == 0
            case AllOf(tests):
                return _folded(np.logical_and, [self.place(test) for test in tests], start=True)
            case AnyOf(tests):
                return _folded(np.logical_or, [self.place(test) for test in tests], start=False)
            case Negated(test):
                place = self.place(test)
                return lambda _, answers: ~answers[place]
            case Condition(text, events):
                return _condition(self._program(text, events=events), TRUE, events=events)
            case ConditionFails(text, events):
                return _condition(self._program(text, events=events), FAILED, events=events)

    def _program(self, text: str, *, events: bool) -> Program:
        """One for each condition, whatever is asked of its answers."""
        if (text, events) not in self._programs:
            parsed = parse_condition(text, events=events)
            self._programs[text, events] = Program(parsed, self._pool)
        return self._programs[text, events]


def _folded(combine: np.ufunc, places: Sequence[int], *, start: bool) -> Question:
    def ask(spans: Spans, answers: Answers) -> Booleans:
        folded = np.full(len(spans), start)
        for place in places:
            combine(folded, answers[place], out=folded)
        return folded

    return ask


def _condition(program: Program, wanted: int, *, events: bool) -> Question:
    """Which spans a condition answers as wanted for, or for one of their events."""

    def ask(spans: Spans, _answers: Answers) -> Booleans:
        if program not in spans.answered:
            spans.answered[program] = program.evaluate(spans.view)
        met: Booleans = spans.answered[program] == wanted
        if not events:
            return met
        of_span = np.zeros(len(spans), np.bool_)
        of_span[spans.scan.events["span"][met]] = True
        return of_span

    return ask


def status_numbers(spans: Rows) -> Int64s:
    """The status codes of spans.

    Args:
        spans: `SPAN` rows [n].

    Returns:
        int[n], 0 to 2, and `STATUS_CODES` for what is no status code.
    """
    status = spans["status"]
    return np.where((status >= 0) & (status < STATUS_CODES), status, STATUS_CODES)


def _status(codes: frozenset[int]) -> Question:
    passing = np.zeros(STATUS_CODES + 1, np.bool_)
    passing[list(codes)] = True
    return lambda spans, _: passing[status_numbers(spans.scan.spans)]


def _string(values: DistinctValues, test: StringTest | StateTest, key: bytes | None) -> Question:
    place = values.apart.index(test)
    return lambda spans, _: values.passing(spans.numbered[key], place)


def _attribute(key: int, test: Callable[[Rows], Booleans]) -> Question:
    """Ask something of an attribute of each span, and of its resource."""

    def ask(spans: Spans, _answers: Answers) -> Booleans:
        scan = spans.scan
        return spans.either(test(scan.attributes[:, key]), test(scan.resources[:, key]))

    return ask


def _number(key: int, least: int | None, most: int | None) -> Question:
    def within(rows: Rows) -> Booleans:
        passed: Booleans = rows["kind"] == INT
        words = rows["word"]
        if least is not None:
            passed &= words >= least
        if most is not None:
            passed &= words <= most
        return passed

    return _attribute(key, within)


def _bool(key: int, *, value: bool) -> Question:
    return _attribute(key, lambda rows: (rows["kind"] == BOOL) & (rows["word"] == int(value)))


def _has(key: int) -> Question:
    return _attribute(key, lambda rows: rows["kind"] != ABSENT)
