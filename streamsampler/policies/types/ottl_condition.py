"""`ottl_condition`: keeps traces in which an OTTL condition is true of some span or event."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from streamsampler.policies.ottl import ConditionError, parse_condition
from streamsampler.policies.policy_type import Compilation, PolicyType
from streamsampler.policies.predicates import AnyOf, Condition, ConditionFails, SpanPredicate
from streamsampler.policies.schema import Settings
from streamsampler.policies.scopes import SCOPE, Scope, SpanRule, of_one_span
from streamsampler.policies.sentences import shorten
from streamsampler.policies.votes import Bools, DueTraces, Vote, Votes

MOST_TEXT: Final = 20_000
"""Characters of all conditions of a set: reading them takes 3 us a character."""


def _of_span(text: str) -> str:
    return _checked(text, events=False)


def _of_event(text: str) -> str:
    return _checked(text, events=True)


def _checked(text: str, *, events: bool) -> str:
    try:
        parse_condition(text, events=events)
    except ConditionError as error:
        raise ValueError(f"in column {error.column}, {error.sentence}") from None
    return text


class OttlConditionSettings(Settings):
    """Which conditions, and what becomes of those that cannot be evaluated.

    Source: Collector, tailsamplingprocessor, ottl_condition; an error mode that is not given
    propagates, as long as its feature gate for another default is not on.
    """

    error_mode: Literal["ignore", "silent", "propagate"] = Field(
        default="propagate", description="ignore, silent or propagate"
    )
    span: tuple[Annotated[str, AfterValidator(_of_span)], ...] = Field(
        default=(), strict=False, description="a list of conditions on spans"
    )
    spanevent: tuple[Annotated[str, AfterValidator(_of_event)], ...] = Field(
        default=(), strict=False, description="a list of conditions on span events"
    )
    scope: Scope = Field(default="any_span", description=SCOPE)

    @model_validator(mode="after")
    def _has_a_condition(self) -> "OttlConditionSettings":
        if not self.span and not self.spanevent:
            raise ValueError("expected a condition at least, under span or spanevent")
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them, those on spans first."""
        on_spans = [Condition(text, events=False) for text in self.span]
        return (*on_spans, *(Condition(text, events=True) for text in self.spanevent))


def _any_of(tests: tuple[SpanPredicate, ...]) -> SpanPredicate:
    return tests[0] if len(tests) == 1 else AnyOf(tests)


def _test(settings: OttlConditionSettings) -> SpanPredicate:
    return of_one_span(SpanRule(_any_of(settings.conditions), settings.scope))


def _failing(settings: OttlConditionSettings) -> SpanPredicate:
    tests = tuple(ConditionFails(one.text, one.events) for one in settings.conditions)
    return of_one_span(SpanRule(_any_of(tests), settings.scope))


def _compile(settings: OttlConditionSettings, compilation: Compilation) -> Vote:
    """A span of which a condition is true samples, whatever fails for other spans.

    The Collector stops at the first failure, so there it depends on the order of the spans.
    """
    bit = compilation.bit(_test(settings))
    failing = compilation.bit(_failing(settings)) if settings.error_mode == "propagate" else None

    def vote(traces: DueTraces, _asked: Bools) -> Votes:
        sampled = traces.has(bit)
        if failing is None:
            return Votes(sampled)
        return Votes(sampled, failed=traces.has(failing) & ~sampled)

    return vote


def _grounds(settings: OttlConditionSettings) -> str:
    first, *more = settings.conditions
    return f"{shorten(first.text)}{f' or one of {len(more)} more' if more else ''}"


OTTL_CONDITION: Final = PolicyType(
    "ottl_condition",
    OttlConditionSettings,
    _compile,
    test=_test,
    grounds=_grounds,
    most_text=MOST_TEXT,
)
